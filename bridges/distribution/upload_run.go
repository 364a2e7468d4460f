package outrigger

import (
	"context"
	"errors"
	"time"

	blobv1 "github.com/outrigger-registry/outrigger/bridges/distribution/internal/gen/outrigger/blob/v1"
)

// run opens streams until the upload has ended, one way or the other.
func (u *upload) run() {
	err := u.work()
	u.mu.Lock()
	u.done = true
	if err != nil && u.err == nil {
		u.err = err
	}
	u.failed.Store(u.err != nil)
	var held int64
	for _, one := range u.held {
		held += int64(len(one.data))
	}
	u.held, u.sent = nil, 0
	u.changed.Broadcast()
	u.mu.Unlock()
	u.store.budget.leave(u)
	u.store.budget.give(held)
	u.store.budget.wake()
	u.cancel(nil)
	close(u.ended)
}

func (u *upload) work() error {
	for attempt := uint64(1); ; attempt++ {
		before := u.mark()
		opened, err := u.stream(attempt)
		if err == nil {
			return nil
		}
		if cause := context.Cause(u.ctx); cause != nil {
			return cause
		}
		if !opened.IsZero() {
			u.patience.found(opened)
		}
		if u.mark() > before {
			u.patience.restored()
		}
		switch {
		case errors.Is(err, errGrown), errors.Is(err, errLost):
			return err
		case reasonOf(err) == reasonUploadNotFound:
			if !u.commitSent {
				return err
			}
			done, lookErr := u.lookForCommitted()
			if lookErr != nil || done {
				return lookErr
			}
			// The lost Commit had no effect.
			u.withoutEffect = true
			if !u.mayCreate() {
				return err
			}
		case reasonOf(err) == reasonOffsetMismatch && !opened.IsZero():
			// The driver has less than was sent on that very stream: Open tells where to go on.
		case !isPassing(err):
			return err
		}
		if reasonOf(err) == reasonStreamIdle {
			// Nothing was owed to us: open again once there is something to send.
			u.waitForWork()
			continue
		}
		u.log.WithField("attempt", attempt).Infof("an upload's stream broke and is opened again: %v", err)
		if err := u.patience.pause(u.ctx, err); err != nil {
			return err
		}
	}
}

// mark grows with what is achieved; only between streams.
func (u *upload) mark() int64 {
	if !u.told {
		return -1
	}
	return u.persisted
}

// waitForWork returns once there is something to tell the driver.
func (u *upload) waitForWork() {
	stop := context.AfterFunc(u.ctx, func() {
		u.mu.Lock()
		defer u.mu.Unlock()
		u.changed.Broadcast()
	})
	defer stop()
	u.mu.Lock()
	defer u.mu.Unlock()
	for len(u.held) == 0 && u.finish == notFinished && u.ctx.Err() == nil {
		u.changed.Wait()
	}
}

// lookForCommitted: the answer to our Commit was lost and the upload is gone; there with that size = done.
func (u *upload) lookForCommitted() (bool, error) {
	info, err := u.store.stat(u.ctx, u.target.GetKey())
	if err != nil || info == nil || int64(info.GetSize()) != u.end {
		return false, err
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	u.result = &blobv1.Committed{Info: info, Digest: u.target.GetDigest()}
	return true, nil
}

// mayCreate: only while nothing was ever acknowledged, and never where a commit may have taken the upload away.
func (u *upload) mayCreate() bool {
	return u.plan.create && u.persisted == 0 && (!u.commitSent || u.withoutEffect)
}

// stream is one Append, from its Open to its end. It answers when Open was answered; zero: it was not.
func (u *upload) stream(attempt uint64) (opened time.Time, err error) {
	if err := u.store.usable(u.ctx); err != nil {
		return opened, err
	}
	ctx, cancel := context.WithCancel(u.ctx)
	defer cancel()
	limit := u.store.config.StreamTimeout
	owed := newOwed(max(lastChance, min(limit, u.patience.left())), cancel)
	defer owed.stop()
	wire, err := u.store.writers.Append(u.store.outgoing(ctx, time.Time{}), waitForReady)
	if err != nil {
		return opened, owed.reason(asDriverError(err))
	}
	s := &appendStream{upload: u, wire: wire, owed: owed, limit: limit}
	ended := make(chan struct{})
	var received error
	go func() {
		defer close(ended)
		received = s.receive()
		u.mu.Lock()
		s.over = true
		u.changed.Broadcast()
		u.mu.Unlock()
	}()
	sendErr := s.send(attempt)
	if sendErr != nil {
		cancel()
	}
	<-ended
	if header, err := wire.Header(); err == nil {
		u.store.observe(header, wire.Trailer())
	}
	if sendErr != nil {
		return s.openedAt, sendErr
	}
	return s.openedAt, owed.reason(asDriverError(received))
}
