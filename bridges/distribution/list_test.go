package outrigger

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	storagedriver "github.com/distribution/distribution/v3/registry/storage/driver"
)

// Folders are found in flat keys as they would be by looking at every key.
func TestChildrenAreThoseOfAllKeys(t *testing.T) {
	random := seeded(t)
	names := []string{"a", "a-", "a.b", "a0", "b", "_x", "A", "1.0", "1.0-alpine"}
	for round := range 300 {
		keys := map[string]bool{}
		for range random.IntN(60) {
			parts := make([]string, 1+random.IntN(4))
			for i := range parts {
				parts[i] = names[random.IntN(len(names))]
			}
			keys[strings.Join(parts, "/")] = true
		}
		// No key is a folder as well.
		for key := range maps.Clone(keys) {
			for other := range keys {
				if strings.HasPrefix(other, key+"/") {
					delete(keys, key)
				}
			}
		}
		list := func(_ context.Context, prefix, startAfter string, limit int) ([]entry, bool, error) {
			limit = min(limit, 1+random.IntN(5)) // a page may end early
			found, more := page(keys, prefix, startAfter, uint32(limit))
			entries := make([]entry, len(found))
			for i, key := range found {
				entries[i] = entry{key: key}
			}
			return entries, more, nil
		}
		for _, folder := range []string{"", "a", "a/a", "1.0"} {
			want := map[string]bool{}
			for key := range keys {
				if rest, inside := strings.CutPrefix(key, prefixOf(folder)); inside {
					name, _, isDir := strings.Cut(rest, "/")
					want[prefixOf(folder)+name] = isDir
				}
			}
			found := map[string]entry{}
			if err := children(context.Background(), list, folder, found); err != nil {
				t.Fatal(err)
			}
			got := map[string]bool{}
			for key, one := range found {
				got[key] = one.isDir
			}
			if !maps.Equal(got, want) {
				t.Fatalf("round %d, %q: got %v, want %v", round, folder, got, want)
			}
		}
	}
}

// A repository with very many tags costs its neighbours nothing.
func TestListingsSkipWhatLiesDeep(t *testing.T) {
	f := startFake(t)
	d := f.connected(t)
	for repository := range 20 {
		for link := range 2000 {
			f.put(fmt.Sprintf("%s/r%02d/_layers/sha256/%05d/link", repositoriesRoot, repository, link), nil)
		}
	}
	before := f.count("List")
	names, err := d.List(context.Background(), "/"+repositoriesRoot)
	if err != nil || len(names) != 20 {
		t.Fatalf("%d repositories, %v", len(names), err)
	}
	if calls := f.count("List") - before; calls > 25 {
		t.Fatalf("%d calls for 20 repositories", calls)
	}
}

func TestWalkAsksNothingTwice(t *testing.T) {
	f := startFake(t)
	d := f.connected(t)
	ctx := context.Background()
	for _, key := range []string{"a/_manifests/revisions/x/link", "a/_manifests/tags/v1/current/link", "b/c/_layers/y/link", "b/c/_uploads/7/startedat"} {
		f.put(repositoriesRoot+"/"+key, []byte("x"))
	}
	f.uploads[uploadID(repositoriesRoot+"/b/c/_uploads/7/data")] = []byte("some bytes")
	gets := f.count("Get")
	var seen []string
	err := d.Walk(ctx, "/"+repositoriesRoot, func(info storagedriver.FileInfo) error {
		name := strings.TrimPrefix(info.Path(), "/"+repositoriesRoot+"/")
		seen = append(seen, fmt.Sprintf("%s %v %d", name, info.IsDir(), info.Size()))
		if strings.HasSuffix(name, "_manifests") {
			return storagedriver.ErrSkipDir
		}
		return nil
	})
	want := []string{
		"a true 0", "a/_manifests true 0", "b true 0", "b/c true 0", "b/c/_layers true 0", "b/c/_layers/y true 0",
		"b/c/_layers/y/link false 1", "b/c/_uploads true 0", "b/c/_uploads/7 true 0", "b/c/_uploads/7/data false 10",
		"b/c/_uploads/7/startedat false 1",
	}
	if err != nil || !slices.Equal(seen, want) {
		t.Fatalf("%v\n%s", err, strings.Join(seen, "\n"))
	}
	if f.count("Get") != gets {
		t.Fatal("what was listed is asked for again")
	}
}

// Deleting a repository's folder takes its unfinished uploads with it.
func TestDeleteOfAFolderEndsUploads(t *testing.T) {
	f := startFake(t)
	d := f.connected(t)
	for id := range 3 {
		folder := fmt.Sprintf("%s/a/_uploads/%d", repositoriesRoot, id)
		f.put(folder+"/startedat", []byte("x"))
		f.put(folder+"/hashstates/sha256/0", []byte("x"))
		f.uploads[uploadID(folder+"/data")] = []byte("some bytes")
	}
	other := repositoriesRoot + "/b/_uploads/0"
	f.put(other+"/startedat", []byte("x"))
	f.uploads[uploadID(other+"/data")] = []byte("some bytes")
	if err := d.Delete(context.Background(), "/"+repositoriesRoot+"/a"); err != nil {
		t.Fatal(err)
	}
	if len(f.uploads) != 1 || len(f.values) != 2 {
		t.Fatalf("left: %d uploads, %d values", len(f.uploads), len(f.values))
	}
}
