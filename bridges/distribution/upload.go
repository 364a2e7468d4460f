package outrigger

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sirupsen/logrus"

	blobv1 "github.com/outrigger-registry/outrigger/bridges/distribution/internal/gen/outrigger/blob/v1"
)

const (
	pieceBytes = 256 << 10
	// A commit is fenced by every later Open, so its not-after only has to be finite: a driver may read a large upload
	// again to hash it.
	commitTime = 15 * time.Minute
	// Where all patience is spent by the time a stall is noticed, one more Open may still take this.
	lastChance = 3 * time.Second
	// What an upload that begins where it is found has as its expected size.
	anySize = -1
)

var (
	errAborted = errors.New("the upload was cancelled")
	// errGrown: somebody else wrote to the upload.
	errGrown = errors.New("the upload has other bytes than it had when it was opened: another writer has it")
	errLost  = errors.New("the driver lost bytes that it had told to be persisted; the upload has to begin anew")
)

// uploadPlan says what is opened.
type uploadPlan struct {
	id string
	// A hint: what it will be.
	key string
	// What it holds already; anySize: whatever it holds.
	base int64
	// Make it where it is unknown; only with base 0.
	create bool
}

type finish int

const (
	notFinished finish = iota
	closing
	committing
)

// piece is bytes that the driver has not persisted yet, in a buffer that is used again afterwards.
type piece struct {
	offset int64
	data   []byte
	buffer *[pieceBytes]byte
}

var buffers = sync.Pool{New: func() any { return new([pieceBytes]byte) }}

// upload is one turn of writing to an upload. Streams break and the writer does not notice: what the driver has not
// persisted yet is kept and sent again over the next stream.
type upload struct {
	store    *blobStore
	plan     uploadPlan
	log      *logrus.Entry
	sender   string
	ctx      context.Context
	cancel   context.CancelCauseFunc
	patience *patience
	// For the budget, which must not wait for mu.
	failed atomic.Bool
	// The piece that is not full yet; the writer's alone.
	tail    *[pieceBytes]byte
	inTail  int
	started bool
	ended   chan struct{}

	mu      sync.Mutex
	changed sync.Cond
	held    []piece
	// Of held, those that the stream at hand was given.
	sent int
	// Behind the last byte taken.
	end       int64
	told      bool
	persisted int64
	flush     bool
	// Of a flush that is not answered yet.
	flushAt int64
	finish  finish
	target  *blobv1.Commit
	// A Commit left, on whichever stream: from here on nobody knows whether it took effect.
	commitSent bool
	// The key was looked at and is not there: the lost Commit did nothing.
	withoutEffect bool
	result        *blobv1.Committed
	done          bool
	err           error
}

// newUpload prepares an upload; the first full piece, or its end, opens it. Who asked may go away before it has ended
// (a client that hangs up has its bytes flushed all the same).
func (b *blobStore) newUpload(ctx context.Context, plan uploadPlan) *upload {
	var sender [16]byte
	_, _ = rand.Read(sender[:]) // never fails
	u := &upload{
		store:    b,
		plan:     plan,
		log:      b.log.WithField("upload", plan.id),
		sender:   hex.EncodeToString(sender[:]),
		patience: b.patience(),
		ended:    make(chan struct{}),
		end:      max(plan.base, 0),
		flushAt:  -1,
	}
	u.ctx, u.cancel = context.WithCancelCause(context.WithoutCancel(ctx))
	u.changed.L = &u.mu
	return u
}

// Write takes bytes; it waits while too many of them are not persisted.
func (u *upload) Write(data []byte) (int, error) {
	for taken := 0; taken < len(data); {
		if u.tail == nil {
			u.tail = buffers.Get().(*[pieceBytes]byte)
		}
		count := copy(u.tail[u.inTail:], data[taken:])
		u.inTail += count
		taken += count
		if u.inTail == pieceBytes {
			if err := u.push(); err != nil {
				return taken, err
			}
		}
	}
	return len(data), nil
}

// push hands the tail over.
func (u *upload) push() error {
	u.start()
	if u.inTail == 0 {
		return u.failure()
	}
	buffer, data := u.tail, u.tail[:u.inTail]
	u.tail, u.inTail = nil, 0
	if !u.store.budget.take(int64(len(data)), u) {
		return u.failure()
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	// The driver persists at the latest once it is a step behind; more than that need not be held.
	most := max(u.store.known().persistStep, pieceBytes) + 2*pieceBytes
	for u.err == nil && u.end-u.persistedOrBase()+int64(len(data)) > most && len(u.held) > 0 {
		u.changed.Wait()
	}
	if u.err != nil {
		u.store.budget.give(int64(len(data)))
		return u.err
	}
	u.held = append(u.held, piece{u.end, data, buffer})
	u.end += int64(len(data))
	u.changed.Broadcast()
	return nil
}

func (u *upload) persistedOrBase() int64 {
	if u.told {
		return u.persisted
	}
	return max(u.plan.base, 0)
}

func (u *upload) failure() error {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.err
}

func (u *upload) start() {
	if u.started {
		return
	}
	u.started = true
	u.store.budget.join(u)
	go u.run()
}

// askFlush is the budget's wish for its bytes.
func (u *upload) askFlush() {
	u.mu.Lock()
	defer u.mu.Unlock()
	if len(u.held) > 0 && !u.done {
		u.flush = true
		u.changed.Broadcast()
	}
}

// close persists what was written; the upload stays. It answers its size.
func (u *upload) close() (int64, error) {
	if err := u.push(); err != nil {
		return 0, err
	}
	u.conclude(closing, nil)
	return u.persisted, u.err
}

// commit makes the upload the blob of the key. With a digest nothing becomes visible unless the bytes have it.
func (u *upload) commit(key, digest string) (*blobv1.Committed, error) {
	if err := u.push(); err != nil {
		return nil, err
	}
	u.conclude(committing, &blobv1.Commit{Key: key, Digest: digest})
	return u.result, u.err
}

func (u *upload) conclude(how finish, target *blobv1.Commit) {
	u.mu.Lock()
	u.finish, u.target = how, target
	u.changed.Broadcast()
	u.mu.Unlock()
	<-u.ended
}

// abort stops writing and takes the upload's bytes away.
func (u *upload) abort(ctx context.Context) {
	u.cancel(errAborted)
	if u.started {
		<-u.ended
	}
	if err := u.store.abortUpload(ctx, u.plan.id); err != nil {
		u.log.Warnf("an upload could not be aborted and will expire: %v", err)
	}
}

// open is told what survived. The first time it must be what the writer began with.
func (u *upload) open(persisted int64) error {
	switch {
	case !u.told && u.plan.base == anySize:
		u.end = persisted
	case !u.told && persisted > u.plan.base, persisted > u.end:
		return errGrown
	case persisted < u.persistedOrBase():
		return errLost
	}
	u.told = true
	u.drop(persisted)
	u.sent = 0
	return nil
}

// drop lets go of what is persisted.
func (u *upload) drop(persisted int64) {
	u.persisted = persisted
	var freed int64
	gone := 0
	for gone < len(u.held) && u.held[gone].offset+int64(len(u.held[gone].data)) <= persisted {
		freed += int64(len(u.held[gone].data))
		buffers.Put(u.held[gone].buffer)
		u.held[gone] = piece{}
		gone++
	}
	u.held = u.held[gone:]
	u.sent = max(0, u.sent-gone)
	if len(u.held) > 0 && u.held[0].offset < persisted && u.sent == 0 {
		first := &u.held[0]
		cut := persisted - first.offset
		freed += cut
		first.data = first.data[cut:]
		first.offset = persisted
	}
	u.store.budget.give(freed)
}
