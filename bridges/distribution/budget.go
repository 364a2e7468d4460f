package outrigger

import "sync"

// budget bounds what all uploads together hold until the driver has persisted it. When it is used up, every upload that
// holds something is told to flush, so that no driver's persist step can stop another upload.
type budget struct {
	mu      sync.Mutex
	changed sync.Cond
	free    int64
	holders map[*upload]struct{}
}

func newBudget(bytes int64) *budget {
	b := &budget{free: bytes, holders: map[*upload]struct{}{}}
	b.changed.L = &b.mu
	return b
}

func (b *budget) join(u *upload) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.holders[u] = struct{}{}
}

func (b *budget) leave(u *upload) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.holders, u)
}

// take waits for room. False: given up, since the upload that asked has failed.
func (b *budget) take(bytes int64, u *upload) bool {
	for {
		b.mu.Lock()
		if b.free >= bytes {
			b.free -= bytes
			b.mu.Unlock()
			return true
		}
		holders := make([]*upload, 0, len(b.holders))
		for holder := range b.holders {
			holders = append(holders, holder)
		}
		b.mu.Unlock()
		// Not under the lock: an upload gives back while it holds its own.
		for _, holder := range holders {
			holder.askFlush()
		}
		b.mu.Lock()
		if b.free < bytes && !u.failed.Load() {
			b.changed.Wait()
		}
		b.mu.Unlock()
		if u.failed.Load() {
			return false
		}
	}
}

func (b *budget) give(bytes int64) {
	if bytes == 0 {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.free += bytes
	b.changed.Broadcast()
}

// wake lets those that wait look again whether they have failed meanwhile.
func (b *budget) wake() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.changed.Broadcast()
}
