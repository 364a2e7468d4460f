package outrigger

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	metav1 "github.com/outrigger-registry/outrigger/bridges/distribution/internal/gen/outrigger/meta/v1"
)

const tagPath = "/docker/registry/v2/repositories/a/b/_manifests/tags/v1/current/link"

func (f *fake) value(path string) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return string(f.values[strings.TrimPrefix(path, "/")].GetValue())
}

// A tag's write whose answer was lost, before it had its effect or after.
func TestTagWriteWithLostAnswer(t *testing.T) {
	for _, when := range []string{"before", "after"} {
		t.Run(when, func(t *testing.T) {
			f := startFake(t)
			d := f.connected(t)
			lose := 2
			lost := func(method string) error {
				if method == "Write" && lose > 0 {
					lose--
					return errGone
				}
				return nil
			}
			if when == "before" {
				f.before = lost
			} else {
				f.after = lost
			}
			if err := d.PutContent(context.Background(), tagPath, []byte("mine")); err != nil {
				t.Fatal(err)
			}
			if now := f.value(tagPath); now != "mine" {
				t.Fatalf("it holds %q", now)
			}
		})
	}
}

// An answer is lost, somebody else moves the tag meanwhile: the newer value stays.
func TestTagWriteWithLostAnswerDoesNotUndoANewerOne(t *testing.T) {
	f := startFake(t)
	d := f.connected(t)
	lost := false
	f.after = func(method string) error {
		if method != "Write" || lost {
			return nil
		}
		lost = true
		f.mu.Lock()
		defer f.mu.Unlock()
		f.put(strings.TrimPrefix(tagPath, "/"), []byte("newer"))
		return errGone
	}
	if err := d.PutContent(context.Background(), tagPath, []byte("mine")); err != nil {
		t.Fatal(err)
	}
	if now := f.value(tagPath); now != "newer" || !lost {
		t.Fatalf("it holds %q", now)
	}
}

// A lost race is no failure: who writes last has the tag.
func TestTagWriteWinsAfterALostRace(t *testing.T) {
	f := startFake(t)
	d := f.connected(t)
	races := 3
	f.before = func(method string) error {
		if method == "Write" && races > 0 {
			races--
			f.mu.Lock()
			defer f.mu.Unlock()
			f.put(strings.TrimPrefix(tagPath, "/"), fmt.Appendf(nil, "other %d", races))
		}
		return nil
	}
	if err := d.PutContent(context.Background(), tagPath, []byte("mine")); err != nil {
		t.Fatal(err)
	}
	if now := f.value(tagPath); now != "mine" || races != 0 {
		t.Fatalf("it holds %q", now)
	}
}

func TestDeleteWithLostAnswersLeavesWhatIsNew(t *testing.T) {
	f := startFake(t)
	d := f.connected(t)
	folder := "/docker/registry/v2/repositories/a/b/_manifests"
	for number := range 250 {
		f.put(fmt.Sprintf("%s/revisions/%03d/link", folder[1:], number), []byte("x"))
	}
	f.put("docker/registry/v2/repositories/a/b2/_layers/link", []byte("x"))
	renewed := folder[1:] + "/revisions/120/link"
	writes := 0
	f.after = func(method string) error {
		if method != "Write" {
			return nil
		}
		writes++
		if writes == 2 {
			f.mu.Lock()
			defer f.mu.Unlock()
			f.put(renewed, []byte("new"))
		}
		if writes%2 == 0 {
			return errGone
		}
		return nil
	}
	if err := d.Delete(context.Background(), folder); err != nil {
		t.Fatal(err)
	}
	left := slices.Sorted(maps.Keys(f.values))
	if want := []string{"docker/registry/v2/repositories/a/b/_manifests/revisions/120/link", "docker/registry/v2/repositories/a/b2/_layers/link", pairKey}; !slices.Equal(left, want) {
		t.Fatalf("left: %v", left)
	}
}

// Outrigger's own registry: its index is out of date from a link's very Write on, and its lease is respected.
func TestWritesRespectOutriggersRegistry(t *testing.T) {
	f := startFake(t)
	d := f.connected(t)
	ctx := context.Background()
	f.put(indexMarkerKey, []byte("marker"))
	if err := d.PutContent(ctx, "/docker/registry/v2/repositories/a/b/_uploads/1/startedat", []byte("now")); err != nil {
		t.Fatal(err)
	}
	if f.value(indexMarkerKey) == "" {
		t.Fatal("an upload's start is nothing to derive from")
	}
	if err := d.PutContent(ctx, tagPath, []byte("x")); err != nil {
		t.Fatal(err)
	}
	if f.value(indexMarkerKey) != "" {
		t.Fatal("the marker is still there")
	}
	f.put(indexMarkerKey, []byte("marker"))
	if err := d.Delete(ctx, tagPath); err != nil {
		t.Fatal(err)
	}
	if f.value(indexMarkerKey) != "" {
		t.Fatal("the marker is still there after a delete")
	}

	f.put(leaseHolderKey, []byte("a core"))
	if err := d.PutContent(ctx, tagPath, []byte("y")); err == nil || !strings.Contains(err.Error(), "cores: one") {
		t.Fatalf("got %v", err)
	}
	if f.value(tagPath) != "" {
		t.Fatal("it was written")
	}
	if files, err := d.List(ctx, "/"); err != nil || !slices.Equal(files, []string{"/docker"}) {
		t.Fatalf("what Outrigger keeps for itself shows: %v, %v", files, err)
	}
}

// The beat of a core that lives.
func TestStartBesideALivingCoreIsRefused(t *testing.T) {
	f := startFake(t)
	f.values[leaseHolderKey] = &metav1.Item{Key: leaseHolderKey, Value: []byte("a core"), Etag: "h"}
	beats := 0
	f.before = func(method string) error {
		if method == "Get" {
			f.mu.Lock()
			defer f.mu.Unlock()
			beats++
			f.put(leaseBeatKey, fmt.Appendf(nil, `{"everyMs":200,"count":%d}`, beats/2))
		}
		return nil
	}
	if _, err := f.connect(t); err == nil || !strings.Contains(err.Error(), "cores: one") {
		t.Fatalf("got %v", err)
	}
	f.before = nil
	f.connected(t)
	if f.value(leaseHolderKey) != "" {
		t.Fatal("the lease of a core that died is still there")
	}
}
