package store

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/outrigger-registry/outrigger/drivers/bolt/internal/fault"
)

// A disk that is full refuses with QUOTA, keeps what was acknowledged, and goes on once it has room.
func TestAFullDisk(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("mounting a small file system needs root")
	}
	folder := t.TempDir()
	if err := syscall.Mount("tmpfs", folder, "tmpfs", 0, "size=1m"); err != nil {
		t.Skip("this place lets nobody mount: ", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(folder, 0) })
	path := filepath.Join(folder, "meta.db")
	if _, _, err := Init(t.Context(), optionsAt(path)); err != nil {
		t.Fatal(err)
	}
	store := openAt(t, optionsAt(path))
	value := strings.Repeat("x", 50_000)
	written := 0
	var err error
	for ; err == nil && written < 100; written++ {
		_, err = store.Write(t.Context(), []Operation{put(fmt.Sprintf("k%d", written), value)}, time.Time{})
	}
	wantReason(t, err, fault.Quota)
	written--
	if written < 5 || get(t, store, fmt.Sprintf("k%d", written)) != nil {
		t.Fatal(written, "were written")
	}
	if err := syscall.Mount("tmpfs", folder, "tmpfs", syscall.MS_REMOUNT, "size=8m"); err != nil {
		t.Fatal(err)
	}
	mustWrite(t, store, put("more", value))
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	again := openAt(t, optionsAt(path))
	defer again.Close()
	for i := range written {
		if get(t, again, fmt.Sprintf("k%d", i)) == nil {
			t.Fatalf("k%d is lost", i)
		}
	}
}
