package outrigger

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	storagedriver "github.com/distribution/distribution/v3/registry/storage/driver"
)

// Whatever breaks a Read, also one that ends with OK too early: the reader gets every byte once.
func TestReadsGoOnWhereTheyBroke(t *testing.T) {
	random := seeded(t)
	f := startFake(t)
	data := randomBytes(random, 50_000)
	f.blobs["x/y"] = data
	breaks := 0
	f.onChunk = func(int64) error {
		switch random.IntN(12) {
		case 0:
			breaks++
			return errGone
		case 1:
			breaks++
			return io.EOF
		}
		return nil
	}
	d := f.connected(t)
	for _, offset := range []int64{0, 1, 999, 49_999, 50_000} {
		reader, err := d.Reader(context.Background(), "/x/y", offset)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(reader)
		if err != nil || !bytes.Equal(got, data[offset:]) {
			t.Fatalf("from %d: %d bytes, %v", offset, len(got), err)
		}
		if err := reader.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if breaks == 0 {
		t.Fatal("no read broke")
	}
}

// What is overwritten while it is read is never mixed.
func TestReadOfAnotherContentFails(t *testing.T) {
	f := startFake(t)
	f.blobs["x"] = bytes.Repeat([]byte("a"), 5000)
	f.onChunk = func(offset int64) error {
		if offset < 3000 {
			return nil
		}
		f.mu.Lock()
		defer f.mu.Unlock()
		f.blobs["x"] = bytes.Repeat([]byte("b"), 5000)
		return errGone
	}
	d := f.connected(t)
	content, err := d.GetContent(context.Background(), "/x")
	if reasonOf(err) != "ETAG_MISMATCH" || bytes.ContainsRune(content, 'b') {
		t.Fatalf("got %d bytes, %v", len(content), err)
	}
}

func TestReadLeavesASilentDriver(t *testing.T) {
	f := startFake(t)
	f.blobs["x"] = make([]byte, 5000)
	release := make(chan struct{})
	t.Cleanup(func() { close(release) })
	silent := atomic.Bool{}
	silent.Store(true)
	f.onChunk = func(offset int64) error {
		if offset == 2000 && silent.Swap(false) {
			<-release
		}
		return nil
	}
	d := f.connected(t)
	started := time.Now()
	content, err := d.GetContent(context.Background(), "/x")
	if err != nil || len(content) != 5000 {
		t.Fatalf("got %d bytes, %v", len(content), err)
	}
	if took := time.Since(started); took < 400*time.Millisecond || took > 4*time.Second {
		t.Fatalf("it took %s", took)
	}
}

// A puller that takes its time is nobody's fault.
func TestReadWaitsForASlowPuller(t *testing.T) {
	f := startFake(t)
	f.blobs["x"] = make([]byte, 3<<20)
	d := f.connected(t)
	reader, err := d.Reader(context.Background(), "/x", 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(reader, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	time.Sleep(800 * time.Millisecond)
	if content, err := io.ReadAll(reader); err != nil || len(content) != 3<<20-1 {
		t.Fatalf("got %d bytes, %v", len(content), err)
	}
	if reads := f.count("Read"); reads != 1 {
		t.Fatalf("%d reads", reads)
	}
}

func TestErrorsHaveDistributionsTypes(t *testing.T) {
	f := startFake(t)
	f.blobs["x"] = make([]byte, 10)
	d := f.connected(t)
	ctx := context.Background()
	notFound := storagedriver.PathNotFoundError{Path: "/nothing"}
	if _, err := d.Reader(ctx, "/nothing", 0); err != notFound {
		t.Errorf("Reader: %v", err)
	}
	if _, err := d.Stat(ctx, "/nothing"); err != notFound {
		t.Errorf("Stat: %v", err)
	}
	if _, err := d.List(ctx, "/nothing"); err != notFound {
		t.Errorf("List: %v", err)
	}
	if err := d.Delete(ctx, "/nothing"); err != notFound {
		t.Errorf("Delete: %v", err)
	}
	if err := d.Move(ctx, "/nothing", "/y"); err != notFound {
		t.Errorf("Move: %v", err)
	}
	if _, err := d.Reader(ctx, "/x", 11); err != (storagedriver.InvalidOffsetError{Path: "/x", Offset: 11}) {
		t.Errorf("beyond the end: %v", err)
	}
	for _, path := range []string{"/a/../b", "/.", "/" + strings.Repeat("a", 256), "/" + strings.Repeat("a/", 600) + "a"} {
		var invalid storagedriver.InvalidPathError
		if _, err := d.GetContent(ctx, path); !errors.As(err, &invalid) {
			t.Errorf("GetContent of %.20s: %v", path, err)
		}
	}
	if err := d.PutContent(ctx, "/docker/registry/v2/repositories/a/link", make([]byte, 300_000)); err == nil ||
		!strings.Contains(err.Error(), "300000 bytes are more than the 262144") {
		t.Errorf("a large link: %v", err)
	}
}
