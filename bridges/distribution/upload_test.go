package outrigger

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
)

const dataPath = "/docker/registry/v2/repositories/a/b/_uploads/0/data"

func blobPath(data []byte) (path, key string) {
	sum := sha256.Sum256(data)
	name := hex.EncodeToString(sum[:])
	key = fmt.Sprintf("docker/registry/v2/blobs/sha256/%s/%s/data", name[:2], name)
	return "/" + key, key
}

// push does what distribution does with a blob: pieces through several writers, then a move. Its error is the first.
func push(d *driver, path string, data []byte, cuts ...int) error {
	ctx := context.Background()
	from := 0
	for turn, to := range append(cuts, len(data)) {
		w, err := d.Writer(ctx, path, turn > 0)
		if err != nil {
			return err
		}
		if w.Size() != int64(from) {
			return fmt.Errorf("a writer begins at %d, not %d", w.Size(), from)
		}
		for from < to {
			count, err := w.Write(data[from:min(to, from+32<<10)])
			if err != nil {
				return errors.Join(err, w.Close())
			}
			from += count
		}
		if to == len(data) {
			if err := w.Commit(ctx); err != nil {
				return err
			}
		}
		if err := w.Close(); err != nil {
			return err
		}
	}
	if info, err := d.Stat(ctx, path); err != nil || info.Size() != int64(len(data)) {
		return fmt.Errorf("after its end the upload is %v: %w", info, err)
	}
	destination, _ := blobPath(data)
	return d.Move(ctx, path, destination)
}

// Whenever streams break, before and after each effect, and however little is persisted by then: every byte arrives once.
func TestUploadsSurviveBrokenStreams(t *testing.T) {
	random := seeded(t)
	var lock sync.Mutex
	roll := func(n int) int {
		lock.Lock()
		defer lock.Unlock()
		return random.IntN(n)
	}
	f := startFake(t)
	breaks := atomic.Int32{}
	f.onAppend = func(string) error {
		if roll(10) == 0 {
			breaks.Add(1)
			return errGone
		}
		return nil
	}
	f.lag = func(received int64) int64 { return int64(roll(int(min(received, 700_000)) + 1)) }
	d := f.connected(t, func(config *Config) { config.Resume = time.Minute })
	for round := range 8 {
		data := randomBytes(random, random.IntN(2_500_000))
		cut := random.IntN(len(data) + 1)
		if err := push(d, dataPath, data, cut); err != nil {
			t.Fatalf("round %d, %d bytes cut at %d: %v", round, len(data), cut, err)
		}
		_, key := blobPath(data)
		if !bytes.Equal(f.blobs[key], data) {
			t.Fatalf("round %d: other bytes arrived", round)
		}
		// Its own commit makes this one visible: an answer that is lost must not begin the upload anew.
		w, err := d.Writer(context.Background(), "/plain", false)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(data); err != nil {
			t.Fatal(err)
		}
		if err := w.Commit(context.Background()); err != nil {
			t.Fatalf("round %d, %d bytes: %v", round, len(data), err)
		}
		if !bytes.Equal(f.blobs["plain"], data) || len(f.uploads) != 0 {
			t.Fatalf("round %d: other bytes arrived, or %d uploads are left", round, len(f.uploads))
		}
	}
	if breaks.Load() == 0 {
		t.Fatal("no stream broke")
	}
	t.Logf("%d breaks", breaks.Load())
}

// A driver that takes bytes and never persists them, or never answers a flush, is left after a time.
func TestUploadLeavesASilentDriver(t *testing.T) {
	f := startFake(t)
	silent := atomic.Bool{}
	silent.Store(true)
	release := make(chan struct{})
	t.Cleanup(func() { close(release) })
	f.onAppend = func(step string) error {
		if step == "close" && silent.Swap(false) {
			<-release
		}
		return nil
	}
	d := f.connected(t)
	started := time.Now()
	data := []byte("some bytes")
	if err := push(d, dataPath, data); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(started); took < 400*time.Millisecond || took > 4*time.Second {
		t.Fatalf("it took %s", took)
	}
}

// The answer to a commit is lost: what is at the key is looked at, and the upload is not begun anew.
func TestCommitWithLostAnswer(t *testing.T) {
	f := startFake(t)
	lost := atomic.Int32{}
	f.onAppend = func(step string) error {
		if step == "committed" && lost.Add(1) == 1 {
			return errGone
		}
		return nil
	}
	d := f.connected(t)
	data := randomBytes(seeded(t), 3*pieceBytes)
	if err := d.PutContent(context.Background(), "/large", append(data, make([]byte, maxPutBytes)...)); err != nil {
		t.Fatal(err)
	}
	if lost.Load() != 1 || !bytes.HasPrefix(f.blobs["large"], data) || len(f.uploads) != 0 {
		t.Fatalf("%d commits, %d uploads are left", lost.Load(), len(f.uploads))
	}
}

// A client that pauses has its stream ended by the driver [blob.append.23]: the next bytes open another one.
func TestUploadGoesOnAfterAPause(t *testing.T) {
	f := startFake(t)
	idle := atomic.Int32{}
	f.onAppend = func(step string) error {
		if step == "chunk" && idle.Add(1)%2 == 1 {
			return refusal(codes.DeadlineExceeded, reasonStreamIdle)
		}
		return nil
	}
	d := f.connected(t)
	ctx := context.Background()
	data := randomBytes(seeded(t), 4*pieceBytes+5)
	w, err := d.Writer(ctx, "/x", false)
	if err != nil {
		t.Fatal(err)
	}
	for from := 0; from < len(data); from += pieceBytes {
		if _, err := w.Write(data[from:min(len(data), from+pieceBytes)]); err != nil {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Millisecond)
	}
	if err := w.Commit(ctx); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(f.blobs["x"], data) || f.count("Append") < 3 {
		t.Fatalf("%d bytes over %d streams", len(f.blobs["x"]), f.count("Append"))
	}
}

func TestUploadGivesUpWhenTheDriverStaysAway(t *testing.T) {
	f := startFake(t)
	f.onAppend = func(string) error { return errGone }
	d := f.connected(t, func(config *Config) { config.Resume = 700 * time.Millisecond })
	started := time.Now()
	err := push(d, dataPath, []byte("some bytes"))
	if err == nil || !strings.Contains(err.Error(), "stayed away for 700ms") {
		t.Fatalf("got %v", err)
	}
	if took := time.Since(started); took > 3*time.Second {
		t.Fatalf("it took %s", took)
	}
}

func TestUploadThatIsTakenOverEndsAtOnce(t *testing.T) {
	f := startFake(t)
	f.onAppend = func(step string) error {
		if step == "chunk" {
			return refusal(codes.Aborted, "UPLOAD_FENCED")
		}
		return nil
	}
	d := f.connected(t)
	if err := push(d, dataPath, []byte("some bytes")); reasonOf(err) != "UPLOAD_FENCED" {
		t.Fatalf("got %v", err)
	}
	if opens := f.count("Append"); opens != 1 {
		t.Fatalf("%d streams were opened", opens)
	}
}

func TestUploadWhosePersistedBytesAreGoneIsLost(t *testing.T) {
	f := startFake(t)
	f.onAppend = func(step string) error {
		if step != "close" {
			return nil
		}
		f.mu.Lock()
		defer f.mu.Unlock()
		for id, data := range f.uploads {
			f.uploads[id] = data[:len(data)/2]
		}
		return errGone
	}
	d := f.connected(t)
	if err := push(d, dataPath, []byte("some bytes")); !errors.Is(err, errLost) {
		t.Fatalf("got %v", err)
	}
}

// The digest in the destination's name is the driver's to check: a wrong one moves nothing.
func TestMoveOfAnUploadChecksTheDigest(t *testing.T) {
	f := startFake(t)
	d := f.connected(t)
	ctx := context.Background()
	w, err := d.Writer(ctx, dataPath, false)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write([]byte("some bytes")); err != nil {
		t.Fatal(err)
	}
	if err := w.Commit(ctx); err != nil {
		t.Fatal(err)
	}
	other, key := blobPath([]byte("other bytes"))
	if err := d.Move(ctx, dataPath, other); reasonOf(err) != "DIGEST_MISMATCH" {
		t.Fatalf("got %v", err)
	}
	if _, there := f.blobs[key]; there {
		t.Fatal("it was moved")
	}
	if err := w.Cancel(ctx); err != nil {
		t.Fatal(err)
	}
	if len(f.uploads) != 0 {
		t.Fatal("the cancelled upload is still there")
	}
}

// An upload that was read is a blob of its own; it is moved and can be gone on with.
func TestUploadIsReadable(t *testing.T) {
	f := startFake(t)
	d := f.connected(t)
	ctx := context.Background()
	write := func(text string, append bool) {
		t.Helper()
		w, err := d.Writer(ctx, dataPath, append)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
	}
	reads := func(wanted string) {
		t.Helper()
		if content, err := d.GetContent(ctx, dataPath); err != nil || string(content) != wanted {
			t.Fatalf("got %q, %v", content, err)
		}
	}
	write("some", false)
	reads("some")
	write(" bytes", true)
	reads("some bytes")
	destination, key := blobPath([]byte("some bytes"))
	if err := d.Move(ctx, dataPath, destination); err != nil {
		t.Fatal(err)
	}
	if string(f.blobs[key]) != "some bytes" || len(f.uploads) != 0 || len(f.blobs) != 1 {
		t.Fatalf("left: %d uploads, %d blobs", len(f.uploads), len(f.blobs))
	}
}

// A driver may leave more unpersisted than all uploads together may hold: they are then flushed, and none waits for ever.
func TestUploadsShareTheReplayBuffer(t *testing.T) {
	f := startFake(t)
	f.step = 1 << 30
	f.lag = func(received int64) int64 { return received }
	d := f.connected(t, func(config *Config) {
		config.ReplayBuffer = 2 << 20
		config.StreamTimeout = 5 * time.Second
	})
	random := seeded(t)
	data := randomBytes(random, 1_500_000)
	var wait sync.WaitGroup
	failures := make(chan error, 8)
	for writer := range 8 {
		wait.Go(func() {
			w, err := d.Writer(context.Background(), fmt.Sprintf("/shared/%d", writer), false)
			if err == nil {
				_, err = w.Write(data)
			}
			if err == nil {
				err = w.Commit(context.Background())
			}
			if err != nil {
				failures <- err
			}
		})
	}
	done := make(chan struct{})
	go func() { wait.Wait(); close(done) }()
	for over := false; !over; {
		select {
		case <-done:
			over = true
		case err := <-failures:
			t.Fatal(err)
		case <-time.After(20 * time.Second):
			t.Fatal("uploads wait for each other")
		case <-time.After(time.Millisecond):
			d.blobs.budget.mu.Lock()
			free := d.blobs.budget.free
			d.blobs.budget.mu.Unlock()
			if free < 0 || free > 2<<20 {
				t.Fatalf("%d bytes are free of %d", free, 2<<20)
			}
		}
	}
	for writer := range 8 {
		if !bytes.Equal(f.blobs[fmt.Sprintf("shared/%d", writer)], data) {
			t.Fatalf("other bytes arrived of writer %d", writer)
		}
	}
	if d.blobs.budget.free != 2<<20 {
		t.Fatalf("%d bytes are free in the end", d.blobs.budget.free)
	}
}
