package outrigger

import (
	"errors"
	"io"
	"time"

	blobv1 "github.com/outrigger-registry/outrigger/bridges/distribution/internal/gen/outrigger/blob/v1"
)

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
