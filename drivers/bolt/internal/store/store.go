// Package store keeps the meta store in one bbolt file: values, their etags, and who the store is.
//
// Layout: bucket "outrigger" holds format, id, outside and txid; bucket "meta" holds one record for each key, and its
// bucket sequence is the high-water mark of etags. Everything a Write changes is in one bbolt transaction.
package store

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/bbolt"

	"github.com/outrigger-registry/outrigger/drivers/bolt/internal/fault"
)

// Options of a store.
type Options struct {
	// Path of the bbolt file.
	Path string
	// ReadOnly opens a file that nothing is written to, also where the file system does not allow it.
	ReadOnly bool
	// LockWait is how long another process may take to give up the file.
	LockWait time.Duration
	Log      *slog.Logger
	// Now is the clock that not-after times are compared with.
	Now func() time.Time
}

// Item is a value under its key.
type Item struct {
	Key   string
	Value []byte
	Etag  string
}

// Store is an open file. All methods may be called at once.
type Store struct {
	db      *bbolt.DB
	path    string
	file    os.FileInfo
	id      string
	outside uint64
	notices []string
	life    uint64
	log     *slog.Logger
	now     func() time.Time

	queue chan *pending
	// Guards closing against Writes that are about to enter the queue.
	gate    sync.RWMutex
	closed  bool
	stopped chan struct{}

	// Set once bbolt met something in the file that it cannot go on with; only a restart clears it.
	broken atomic.Pointer[fault.Error]
	// Set after a commit of unknown outcome until the file says one thing again; see settle. Of the write loop alone.
	unsettled bool
	groups    atomic.Uint64
	writes    atomic.Uint64
}

// ID is the store's UUID.
func (s *Store) ID() string { return s.id }

// Outside counts how often somebody else had changed the file when it was opened.
func (s *Store) Outside() uint64 { return s.outside }

// Notices are sentences for the operator.
func (s *Store) Notices() []string { return s.notices }

// Figures are numbers for metrics.
type Figures struct {
	FileBytes int64
	FreeBytes int64
	// Transactions that were committed, and the Writes in them.
	Groups, Writes uint64
}

// Figures reads the numbers as they are now.
func (s *Store) Figures() Figures {
	figures := Figures{Groups: s.groups.Load(), Writes: s.writes.Load()}
	if info, err := os.Stat(s.path); err == nil {
		figures.FileBytes = info.Size()
	}
	figures.FreeBytes = int64(s.db.Stats().FreeAlloc)
	return figures
}

// Check tells whether the store is usable, without changing anything.
func (s *Store) Check(ctx context.Context) error {
	if err := s.inPlace(); err != nil {
		return err
	}
	return s.view(ctx, func(tx *bbolt.Tx) error {
		if got := string(tx.Bucket(bucketOutrigger).Get(keyID)); got != s.id {
			return fault.New(fault.StoredCorrupt, "the store's id reads %.50q instead of %s", got, s.id)
		}
		return nil
	})
}

// inPlace refuses to go on in a file that no path leads to any more: what it acknowledged would be gone with it.
func (s *Store) inPlace() error {
	if broken := s.broken.Load(); broken != nil {
		return broken
	}
	now, err := os.Stat(s.path)
	if err != nil {
		return fault.New(fault.BackendDown, "the file %s is not to be found any more: put it back and start the driver anew",
			s.path).Because(err)
	}
	if !os.SameFile(s.file, now) {
		return fault.New(fault.BackendDown, "another file lies at %s now: start the driver anew", s.path)
	}
	return nil
}

// Close waits for the Writes that were accepted, and gives up the file.
func (s *Store) Close() error {
	s.gate.Lock()
	already := s.closed
	s.closed = true
	if !already {
		close(s.queue)
	}
	s.gate.Unlock()
	<-s.stopped
	if already || s.broken.Load() != nil {
		// A broken transaction may hold bbolt's locks for ever. The kernel gives up the file's lock with the process.
		return nil
	}
	return s.db.Close()
}

// view runs read in one transaction: one moment of the store. Damage that bbolt meets is an error, not the process's end.
func (s *Store) view(ctx context.Context, read func(tx *bbolt.Tx) error) (err error) {
	if err := ctx.Err(); err != nil {
		return err
	}
	if broken := s.broken.Load(); broken != nil {
		return broken
	}
	defer recoverDamage(s.path, &err)()
	err = s.db.View(read)
	if errors.Is(err, bbolt.ErrDatabaseNotOpen) {
		return fault.New(fault.Draining, "the driver is about to stop")
	}
	return err
}

// recoverDamage makes an error of bbolt's panics over damaged pages, and of the fault that a mapped file gives where it
// was cut off. Deferred by its caller: `defer recoverDamage(path, &err)()`.
func recoverDamage(path string, err *error) func() {
	before := debug.SetPanicOnFault(true)
	return func() {
		debug.SetPanicOnFault(before)
		if met := recover(); met != nil {
			*err = fault.New(fault.StoredCorrupt, "the file %s is damaged: put back a copy", path).
				Because(fmt.Errorf("%v\n%s", met, debug.Stack()))
		}
	}
}

func (s *Store) corrupt(key string, cause error) error {
	s.log.Error("a stored value is damaged", "key", key, "err", cause)
	return fault.New(fault.StoredCorrupt, "the value of %s is damaged: %v", key, cause).With("key", key)
}

func uint64Of(stored []byte) uint64 {
	if len(stored) != 8 {
		return 0
	}
	return binary.BigEndian.Uint64(stored)
}

func bytesOf(number uint64) []byte { return binary.BigEndian.AppendUint64(nil, number) }
