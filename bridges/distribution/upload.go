package outrigger

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"io"
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

// appendStream is what one stream knows; the upload's lock guards it.
type appendStream struct {
	upload   *upload
	wire     blobv1.BlobService_AppendClient
	owed     *owed
	limit    time.Duration
	opened   bool
	openedAt time.Time
	received int64
	// Behind the last byte given to the stream.
	given     int64
	sending   bool
	finishing bool
	over      bool
}

// tick lets the timer run exactly while the driver owes a message.
func (s *appendStream) tick() {
	u := s.upload
	owing := !s.opened || s.sending || s.finishing || u.flushAt >= 0 || s.given-s.received >= u.store.known().persistStep
	if owing {
		s.owed.sign()
	} else {
		s.owed.stop()
	}
}

// send gives the stream what there is, until it is half-closed or over.
func (s *appendStream) send(attempt uint64) error {
	u := s.upload
	u.mu.Lock()
	defer u.mu.Unlock()
	u.sent, u.flushAt = 0, -1
	s.give(&blobv1.AppendRequest{Step: &blobv1.AppendRequest_Open{Open: &blobv1.Open{
		UploadId: u.plan.id, Sender: u.sender, Attempt: attempt, Create: u.mayCreate(), Algorithm: "sha256",
		Key: u.plan.key, NotAfterMs: uint64(time.Now().Add(s.limit).UnixMilli()),
	}}})
	for !s.over {
		switch {
		case !s.opened:
			u.changed.Wait()
		case u.sent < len(u.held):
			next := u.held[u.sent]
			u.sent++
			s.given = next.offset + int64(len(next.data))
			offset := uint64(next.offset)
			s.give(&blobv1.AppendRequest{Step: &blobv1.AppendRequest_Chunk{Chunk: &blobv1.Chunk{Offset: &offset, Data: next.data}}})
		case u.finish == committing:
			target := u.target
			size := uint64(u.end)
			target.Size = &size
			target.NotAfterMs = uint64(time.Now().Add(commitTime).UnixMilli())
			// Before it leaves.
			u.commitSent, s.finishing = true, true
			s.give(&blobv1.AppendRequest{Step: &blobv1.AppendRequest_Commit{Commit: target}})
			return ignoreEnd(s.wire.CloseSend())
		case u.finish == closing:
			s.finishing = true
			s.tick()
			return ignoreEnd(s.wire.CloseSend())
		case u.flush && u.flushAt < 0:
			u.flush = false
			u.flushAt = u.end
			s.give(&blobv1.AppendRequest{Step: &blobv1.AppendRequest_Flush{Flush: &blobv1.Flush{}}})
		default:
			u.changed.Wait()
		}
	}
	return nil
}

// give sends without the lock. What a failed send means, the stream's end says.
func (s *appendStream) give(message *blobv1.AppendRequest) {
	s.sending = true
	s.tick()
	s.upload.mu.Unlock()
	err := s.wire.Send(message)
	s.upload.mu.Lock()
	s.sending = false
	if err != nil {
		for !s.over {
			s.upload.changed.Wait()
		}
	}
	s.tick()
}

func ignoreEnd(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return asDriverError(err)
}

// receive reads the driver's answers to the end. Nil: all that was asked for is done.
func (s *appendStream) receive() error {
	for {
		message, err := s.wire.Recv()
		s.upload.mu.Lock()
		if err == nil {
			err = s.answer(message)
		} else if err == io.EOF {
			err = s.endedWell()
			s.upload.mu.Unlock()
			return err
		}
		s.tick()
		s.upload.changed.Broadcast()
		s.upload.mu.Unlock()
		if err != nil {
			return err
		}
	}
}

func (s *appendStream) answer(message *blobv1.AppendResponse) error {
	u := s.upload
	switch step := message.GetStep().(type) {
	case *blobv1.AppendResponse_Opened:
		if s.opened {
			return violation("blob.append.02", "an Append is opened twice")
		}
		if err := u.open(int64(step.Opened.GetPersisted())); err != nil {
			return err
		}
		s.opened, s.openedAt, s.received, s.given = true, time.Now(), u.persisted, u.persisted
		s.owed.limit = s.limit
		return nil
	case *blobv1.AppendResponse_Progress:
		received, persisted := int64(step.Progress.GetReceived()), int64(step.Progress.GetPersisted())
		if !s.opened || persisted > received || received > s.given {
			return violation("blob.append.09", "progress tells %d received and %d persisted; %d were sent", received, persisted, s.given)
		}
		if persisted < u.persisted {
			return errLost
		}
		s.received = received
		u.drop(persisted)
		if u.flushAt >= 0 && persisted >= u.flushAt {
			u.flushAt = -1
		}
		return nil
	case *blobv1.AppendResponse_Committed:
		info := step.Committed.GetInfo()
		if !u.commitSent || !s.finishing {
			return violation("blob.append.11", "an Append without commit is answered by committed")
		}
		if info.GetKey() != u.target.GetKey() || int64(info.GetSize()) != u.end {
			return violation("blob.append.12", "a commit of %d bytes to %s made %s of %d", u.end, u.target.GetKey(), info.GetKey(), info.GetSize())
		}
		if asked := u.target.GetDigest(); asked != "" && step.Committed.GetDigest() != asked {
			return violation("blob.append.12", "a commit of %s is answered with %s", asked, step.Committed.GetDigest())
		}
		u.result = step.Committed
		return nil
	default:
		return violation("blob.append.02", "an Append's answer is empty")
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

// endedWell: the driver ended the stream with OK.
func (s *appendStream) endedWell() error {
	u := s.upload
	switch {
	case !s.opened:
		return violation("blob.append.02", "an Append ends with OK before it is opened")
	case !s.finishing:
		return violation("blob.append.10", "an Append ends with OK before it was half-closed")
	case u.finish == committing && u.result == nil:
		return violation("blob.append.12", "a commit ends with OK and without committed")
	case u.finish == closing && u.persisted != u.end:
		return violation("blob.append.10", "a half-close leaves %d of %d bytes persisted", u.persisted, u.end)
	}
	return nil
}
