package store

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

var (
	bucketOutrigger = []byte("outrigger")
	bucketMeta      = []byte("meta")

	keyFormat = []byte("format")
	keyID     = []byte("id")
	// How often somebody else had changed the file when it was opened.
	keyOutside = []byte("outside")
	// The bbolt transaction that was this driver's last one: a higher one in the file is somebody else's.
	keyTxID = []byte("txid")
)

const (
	format   = "1"
	fileMode = 0o640
	// How often a held lock is tried again.
	lockEvery = 50 * time.Millisecond
)

// Init makes the file with a new store id, or gives an id to one that has none, and answers the id. A file is whole
// before it has its name: a crash leaves no half one.
func Init(ctx context.Context, options Options) (id string, created bool, err error) {
	there := withContent(options.Path)
	if errors.Is(there, os.ErrNotExist) {
		id, err = create(ctx, options)
		if !errors.Is(err, os.ErrExist) {
			return id, err == nil, err
		}
		// Another one was quicker; its file is as good.
	} else if there != nil && !errors.Is(there, errEmpty) {
		return "", false, there
	}
	store, err := open(ctx, options, true)
	if err != nil {
		return "", false, err
	}
	return store.id, errors.Is(there, errEmpty), store.Close()
}

func create(ctx context.Context, options Options) (id string, err error) {
	folder := filepath.Dir(options.Path)
	if _, err := os.Stat(folder); err != nil {
		return "", fmt.Errorf("there is no folder %s for the file: make it, or mount it", folder)
	}
	early := options.Path + ".new-" + newUUID()
	defer os.Remove(early)
	aside := options
	aside.Path = early
	store, err := open(ctx, aside, true)
	if err != nil {
		return "", err
	}
	if err := store.Close(); err != nil {
		return "", err
	}
	// Unlike a rename, a link never takes the place of a file that somebody else made meanwhile.
	err = os.Link(early, options.Path)
	if errors.Is(err, errors.ErrUnsupported) || errors.Is(err, os.ErrPermission) {
		err = os.Rename(early, options.Path) // a file system without links
	}
	if err != nil {
		return "", fmt.Errorf("the file %s cannot be made: %w", options.Path, err)
	}
	return store.id, syncFolder(folder)
}

// Open serves a file that Init made. It refuses an absent or empty one, so that a volume that was not mounted never
// becomes a new, empty store [process.init.01].
func Open(ctx context.Context, options Options) (*Store, error) {
	if err := withContent(options.Path); err != nil {
		if errors.Is(err, os.ErrNotExist) || errors.Is(err, errEmpty) {
			return nil, fmt.Errorf("NOT_INITIALISED: %w: is its volume mounted? For a new store run once with --init", err)
		}
		return nil, err
	}
	return open(ctx, options, false)
}

var errEmpty = errors.New("the file is empty")

// withContent tells what is wrong with a path before bbolt, which would make a database of nothing, sees it.
func withContent(path string) error {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return fmt.Errorf("there is no file %s: %w", path, os.ErrNotExist)
	case err != nil:
		return err
	case !info.Mode().IsRegular():
		return fmt.Errorf("%s is not a regular file: --file names the bbolt file itself", path)
	case info.Size() == 0:
		return fmt.Errorf("%w: %s", errEmpty, path)
	}
	return nil
}

func open(ctx context.Context, options Options, makeNew bool) (*Store, error) {
	db, err := openDB(ctx, options, makeNew)
	if err != nil {
		return nil, err
	}
	store := &Store{
		db:      db,
		path:    options.Path,
		life:    randomUint64(),
		log:     options.Log,
		now:     options.Now,
		queue:   make(chan *pending),
		stopped: make(chan struct{}),
	}
	if err := store.begin(options, makeNew); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	go store.writeLoop()
	return store, nil
}

// openDB opens the file as soon as no other process has it.
func openDB(ctx context.Context, options Options, makeNew bool) (db *bbolt.DB, err error) {
	deadline := time.Now().Add(options.LockWait)
	said := false
	for {
		db, err = tryOpenDB(options, makeNew)
		if !errors.Is(err, bolterrors.ErrTimeout) {
			break
		}
		if !time.Now().Before(deadline) {
			return nil, fmt.Errorf("another process has %s open%s: stop it, or wait for it with --lock-wait 60s",
				options.Path, holder(options.Path))
		}
		if !said {
			options.Log.Info("another process has the file open: waiting", "file", options.Path, "atMost", options.LockWait.String())
			said = true
		}
		select {
		case <-time.After(lockEvery):
		case <-ctx.Done():
			return nil, fmt.Errorf("told to stop while another process had %s open", options.Path)
		}
	}
	switch {
	case err == nil:
		return db, nil
	case errors.Is(err, bolterrors.ErrInvalid), errors.Is(err, bolterrors.ErrVersionMismatch):
		return nil, fmt.Errorf("%s is not a bbolt file, or its head is damaged: give another --file, or put back a copy: %w",
			options.Path, err)
	case errors.Is(err, bolterrors.ErrChecksum):
		return nil, fmt.Errorf("the head of %s is damaged: put back a copy: %w", options.Path, err)
	case errors.Is(err, os.ErrPermission):
		return nil, fmt.Errorf("this process may not open %s: change its owner or mode: %w", options.Path, err)
	}
	return nil, fmt.Errorf("%s cannot be opened: %w", options.Path, err)
}

func tryOpenDB(options Options, makeNew bool) (db *bbolt.DB, err error) {
	defer recoverDamage(options.Path, &err)()
	return bbolt.Open(options.Path, fileMode, &bbolt.Options{
		// bbolt waits for ever on 0. The waiting is done above, where it can be told to stop.
		Timeout:      time.Nanosecond,
		ReadOnly:     options.ReadOnly,
		FreelistType: bbolt.FreelistMapType,
		OpenFile: func(name string, flag int, mode os.FileMode) (*os.File, error) {
			if !makeNew {
				flag &^= os.O_CREATE
			}
			return os.OpenFile(name, flag, mode)
		},
	})
}

// begin finds out whose file it is, or makes it this driver's.
func (s *Store) begin(options Options, makeNew bool) (err error) {
	defer recoverDamage(s.path, &err)()
	if s.file, err = os.Stat(s.path); err != nil {
		return err
	}
	var found facts
	if err := s.db.View(func(tx *bbolt.Tx) (err error) {
		if have, need := s.file.Size(), tx.Size(); have < need {
			return fmt.Errorf("%s was cut off: it has %d of %d bytes: put back a copy", s.path, have, need)
		}
		found, err = readFacts(tx, s.path)
		return err
	}); err != nil {
		return err
	}
	if found.empty && !makeNew {
		return fmt.Errorf("NOT_INITIALISED: %s is a bbolt file without anything in it: for a new store run once with --init", s.path)
	}
	s.id, s.outside = found.id, found.outside
	if !found.empty && found.lastTx != found.ownTx {
		s.outside++
		options.Log.Warn("another program has changed the file since this driver had it: the registry rebuilds what it derived",
			"file", s.path, "outside", s.outside)
	}
	if s.id == "" {
		if options.ReadOnly {
			return fmt.Errorf("%s has no store id, and --read-only cannot give it one: start once without it", s.path)
		}
		s.id = newUUID()
		if !found.empty {
			options.Log.Info("the store had no id and has one now", "file", s.path, "store", s.id)
		}
	}
	s.notices = notices(s.path)
	if options.ReadOnly || (s.id == found.id && s.outside == found.outside) {
		return nil
	}
	return s.db.Update(s.writeFacts)
}

type facts struct {
	id            string
	outside       uint64
	ownTx, lastTx uint64
	// Nothing of anybody is in the file.
	empty bool
}

func readFacts(tx *bbolt.Tx, path string) (facts, error) {
	own, values := tx.Bucket(bucketOutrigger), tx.Bucket(bucketMeta)
	if own == nil {
		names := bucketNames(tx)
		if len(names) > 0 {
			return facts{}, fmt.Errorf("%s belongs to another program (its buckets: %s): give another --file",
				path, strings.Join(names, ", "))
		}
		return facts{empty: true}, nil
	}
	if got := string(own.Get(keyFormat)); got != format {
		return facts{}, fmt.Errorf("%s has format %.20q, this release knows %s: use the release that wrote it", path, got, format)
	}
	if values == nil {
		return facts{}, fmt.Errorf("%s has lost its bucket %q: put back a copy", path, bucketMeta)
	}
	found := facts{
		id:      string(own.Get(keyID)),
		outside: uint64Of(own.Get(keyOutside)),
		ownTx:   uint64Of(own.Get(keyTxID)),
		lastTx:  uint64(tx.ID()),
	}
	if found.id != "" && !isUUID(found.id) {
		return facts{}, fmt.Errorf("the store id in %s is %.50q and no UUID: put back a copy", path, found.id)
	}
	return found, nil
}

func bucketNames(tx *bbolt.Tx) (names []string) {
	const most = 5
	_ = tx.ForEach(func(name []byte, _ *bbolt.Bucket) error {
		if len(names) < most {
			names = append(names, fmt.Sprintf("%.40q", name))
		}
		return nil
	})
	return names
}

func (s *Store) writeFacts(tx *bbolt.Tx) error {
	if _, err := tx.CreateBucketIfNotExists(bucketMeta); err != nil {
		return err
	}
	own, err := tx.CreateBucketIfNotExists(bucketOutrigger)
	if err != nil {
		return err
	}
	return errors.Join(
		own.Put(keyFormat, []byte(format)),
		own.Put(keyID, []byte(s.id)),
		own.Put(keyOutside, bytesOf(s.outside)),
		own.Put(keyTxID, bytesOf(uint64(tx.ID()))),
	)
}

// rewriteDecidingPages writes bbolt's two meta pages as they are read, and syncs them; see settle.
func rewriteDecidingPages(path string, pageSize int) (err error) {
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	// Not bbolt's own descriptor: closing this one leaves the lock alone.
	defer func() { err = errors.Join(err, file.Close()) }()
	pages := make([]byte, 2*pageSize)
	if _, err := file.ReadAt(pages, 0); err != nil {
		return err
	}
	if _, err := file.WriteAt(pages, 0); err != nil {
		return err
	}
	return file.Sync()
}

func syncFolder(path string) (err error) {
	folder, err := os.Open(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, folder.Close()) }()
	return folder.Sync()
}

func newUUID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails: crypto/rand
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[0:4], b[4:6], b[6:8], b[8:10], b[10:16])
}

func isUUID(text string) bool {
	if len(text) != 36 {
		return false
	}
	for i, r := range text {
		dash := i == 8 || i == 13 || i == 18 || i == 23
		if dash != (r == '-') || !dash && !strings.ContainsRune("0123456789abcdef", r) {
			return false
		}
	}
	return true
}

func randomUint64() uint64 {
	var b [8]byte
	_, _ = rand.Read(b[:])
	return binary.BigEndian.Uint64(b[:])
}
