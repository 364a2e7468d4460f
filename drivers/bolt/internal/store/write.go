package store

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"syscall"
	"time"

	"go.etcd.io/bbolt"

	"github.com/outrigger-registry/outrigger/drivers/bolt/internal/fault"
)

// Action is what an operation does to its key.
type Action int

// The actions.
const (
	Put Action = iota + 1
	Delete
	Check
)

// Requirement is what must hold of the key for a Write to happen.
type Requirement int

// The requirements.
const (
	Always Requirement = iota
	IfAbsent
	IfPresent
	IfEtag
)

// Operation is one step of a Write.
type Operation struct {
	Key     string
	Action  Action
	Value   []byte // of Put
	Require Requirement
	Etag    string // of IfEtag
}

// A group is what one transaction, and so one sync of the disk, takes.
const (
	groupWrites = 256
	groupBytes  = 16 << 20
)

// pending is a Write on its way through the queue.
type pending struct {
	ctx        context.Context
	operations []Operation
	notAfter   time.Time // zero: no limit
	bytes      int

	etags []string
	err   error
	late  bool
	done  chan struct{}
}

// Write applies all operations at one moment, or none. It answers one etag for each operation, "" where there is none
// [meta.write.06]. Writes that arrive while the disk is syncing share the next transaction.
func (s *Store) Write(ctx context.Context, operations []Operation, notAfter time.Time) ([]string, error) {
	write := &pending{ctx: ctx, operations: operations, notAfter: notAfter, done: make(chan struct{})}
	for _, operation := range operations {
		write.bytes += len(operation.Key) + len(operation.Value)
	}
	if err := s.enqueue(ctx, write); err != nil {
		return nil, err
	}
	// Not ctx: once it is in the queue its outcome is what counts, and it comes within one or two syncs.
	<-write.done
	return write.etags, write.err
}

func (s *Store) enqueue(ctx context.Context, write *pending) error {
	s.gate.RLock()
	defer s.gate.RUnlock()
	if s.closed {
		return fault.New(fault.Draining, "the driver is about to stop")
	}
	select {
	case s.queue <- write:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// writeLoop is the only one that changes the file.
func (s *Store) writeLoop() {
	defer close(s.stopped)
	for first := range s.queue {
		group := s.gather(first)
		if err := s.commit(group); err != nil {
			for _, write := range group {
				write.etags, write.err = nil, err
			}
		}
		for _, write := range group {
			close(write.done)
		}
	}
}

// gather takes what waits already, and waits for nothing.
func (s *Store) gather(first *pending) []*pending {
	group, bytes := []*pending{first}, first.bytes
	for len(group) < groupWrites && bytes < groupBytes {
		select {
		case next, open := <-s.queue:
			if !open {
				return group
			}
			group, bytes = append(group, next), bytes+next.bytes
		default:
			return group
		}
	}
	return group
}

// errLate asks for the group once more: a Write in it became late while the others were applied.
var errLate = errors.New("a Write of the group is late")

// commit gives each Write of the group its outcome. An error is everybody's.
func (s *Store) commit(group []*pending) error {
	for {
		err := s.transact(group)
		if !errors.Is(err, errLate) {
			return err
		}
		// The late one has its error. The others are told anew: what they were told may rest on what it would have done.
	}
}

func (s *Store) transact(group []*pending) (err error) {
	if err := s.inPlace(); err != nil {
		return err
	}
	if err := s.settle(); err != nil {
		return s.refused(err)
	}
	defer func() {
		if fault.Is(err, fault.StoredCorrupt) {
			s.markBroken(err)
		}
	}()
	defer recoverDamage(s.path, &err)()

	tx, err := s.db.Begin(true)
	if err != nil {
		return s.refused(err)
	}
	defer tx.Rollback() // after a commit it does nothing
	changed, err := s.apply(tx, group)
	if err != nil {
		return err
	}
	if !changed {
		return nil
	}
	// As late as can be: bbolt itself does not look at the clock [meta.write.08].
	if s.refuseLate(group) {
		return errLate
	}
	if err := tx.Commit(); err != nil {
		s.unsettled = true
		return s.refused(err)
	}
	s.groups.Add(1)
	for _, write := range group {
		if write.err == nil {
			s.writes.Add(1)
		}
	}
	return nil
}

// apply makes the changes of every Write whose conditions hold, in order, each seeing those before it.
func (s *Store) apply(tx *bbolt.Tx, group []*pending) (changed bool, err error) {
	values := tx.Bucket(bucketMeta)
	sequence := values.Sequence()
	for _, write := range group {
		if write.late {
			continue
		}
		if write.err = write.ctx.Err(); write.err != nil {
			continue // nobody waits, and nothing has happened yet
		}
		if write.err = s.lateness(write); write.err != nil {
			continue
		}
		if write.err, err = s.failedCondition(values, write.operations); err != nil {
			return false, err
		}
		if write.err != nil {
			continue
		}
		write.etags = make([]string, len(write.operations))
		for i, operation := range write.operations {
			key := []byte(operation.Key)
			switch operation.Action {
			case Put:
				sequence++
				tag := etag{sequence: sequence, life: s.life}
				if err := values.Put(key, encodeRecord(operation.Key, tag, operation.Value)); err != nil {
					return false, s.refused(err)
				}
				write.etags[i] = tag.String()
				changed = true
			case Delete:
				if err := values.Delete(key); err != nil {
					return false, s.refused(err)
				}
				changed = true
			case Check:
				if write.etags[i], _, err = s.etagOf(values, operation.Key); err != nil {
					return false, err
				}
			}
		}
	}
	if !changed {
		return false, nil
	}
	if err := values.SetSequence(sequence); err != nil {
		return false, s.refused(err)
	}
	if err := tx.Bucket(bucketOutrigger).Put(keyTxID, bytesOf(uint64(tx.ID()))); err != nil {
		return false, s.refused(err)
	}
	return true, nil
}

// failedCondition names the first operation whose condition does not hold [meta.write.02]. err is the store's own fault.
func (s *Store) failedCondition(values *bbolt.Bucket, operations []Operation) (failed, err error) {
	for index, operation := range operations {
		if operation.Require == Always {
			continue
		}
		tag, present, err := s.etagOf(values, operation.Key)
		if err != nil {
			return nil, err
		}
		holds := present
		switch operation.Require {
		case IfAbsent:
			holds = !present
		case IfEtag:
			holds = present && tag == operation.Etag
		}
		if !holds {
			return fault.New(fault.ConditionFailed, "the condition of operation %d on %s does not hold", index, operation.Key).
				With("index", strconv.Itoa(index)), nil
		}
	}
	return nil, nil
}

func (s *Store) etagOf(values *bbolt.Bucket, key string) (tag string, present bool, err error) {
	record := values.Get([]byte(key))
	if record == nil {
		return "", false, nil
	}
	found, _, err := decodeRecord(key, record)
	if err != nil {
		return "", false, s.corrupt(key, err)
	}
	return found.String(), true, nil
}

// refuseLate gives late Writes their error. It tells whether a Write was among them that had been applied.
func (s *Store) refuseLate(group []*pending) bool {
	late := false
	for _, write := range group {
		if write.err == nil {
			if write.err = s.lateness(write); write.err != nil {
				write.etags, write.late, late = nil, true, true
			}
		}
	}
	return late
}

// lateness refuses a Write past its not-after time [call.notafter.01].
func (s *Store) lateness(write *pending) error {
	if write.notAfter.IsZero() {
		return nil
	}
	if late := s.now().Sub(write.notAfter); late > 0 {
		return fault.New(fault.TooLate, "the call is %d ms past its outrigger-not-after", late.Milliseconds())
	}
	return nil
}

// refused is what a Write is told when the file could not be changed.
func (s *Store) refused(err error) error {
	s.log.Error("a transaction failed", "err", err)
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT), errors.Is(err, syscall.EFBIG):
		return fault.New(fault.Quota, "there is no room left for %s", s.path).After(10 * time.Second).Because(err)
	case errors.Is(err, bbolt.ErrDatabaseNotOpen):
		return fault.New(fault.Draining, "the driver is about to stop")
	}
	return fault.New(fault.BackendDown, "%s could not be written", s.path).After(time.Second).Because(err)
}

// markBroken ends all work on the file: bbolt's state after a panic is not one to go on with.
func (s *Store) markBroken(cause error) {
	broken := fault.New(fault.StoredCorrupt, "the file %s is damaged: put back a copy and start the driver anew", s.path).
		Because(cause)
	if s.broken.CompareAndSwap(nil, broken) {
		s.log.Error("the file is damaged: nothing is read or written until a restart", "err", cause)
	}
}

// settle makes the file say one thing again after a commit that failed. The failed commit may have reached the page that
// decides (it lies in the page cache, where everybody sees it) and not the disk; pages that the state on the disk still
// needs would then be given to the next transaction. So both deciding pages are written again, as they are seen, and
// synced before anything else.
func (s *Store) settle() error {
	if !s.unsettled {
		return nil
	}
	if err := rewriteDecidingPages(s.path, s.db.Info().PageSize); err != nil {
		return fmt.Errorf("after a failed sync: %w", err)
	}
	s.unsettled = false
	return nil
}
