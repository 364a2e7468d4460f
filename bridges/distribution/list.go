package outrigger

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"
)

// entry is what is known of a key, or of a folder that keys lie in.
type entry struct {
	key      string
	isDir    bool
	size     int64
	modified time.Time
	etag     string
}

type listing func(ctx context.Context, prefix, startAfter string, limit int) (entries []entry, more bool, err error)

const (
	mostListed  = 1000
	firstListed = 16
	// Above every character of a key: behind the last key of a folder.
	behind = "\x7f"
)

// children adds what lies directly below the folder. Keys are flat: what is below a child is skipped, without being
// listed as soon as it goes beyond a page.
func children(ctx context.Context, list listing, folder string, found map[string]entry) error {
	prefix := prefixOf(folder)
	startAfter := ""
	for limit := firstListed; ; {
		page, more, err := list(ctx, prefix, startAfter, limit)
		if err != nil {
			return err
		}
		before := len(found)
		for _, one := range page {
			name, _, isDir := strings.Cut(one.key[len(prefix):], "/")
			child := prefix + name
			if isDir {
				if _, known := found[child]; !known {
					found[child] = entry{key: child, isDir: true}
				}
			} else {
				found[child] = one
			}
		}
		if !more || len(page) == 0 {
			return nil
		}
		startAfter = page[len(page)-1].key
		if name, _, isDir := strings.Cut(startAfter[len(prefix):], "/"); isDir {
			startAfter = prefix + name + "/" + behind
		}
		// Pages that were mostly children are worth being long, those that were mostly skipped are not.
		if fresh := len(found) - before; fresh*2 >= len(page) {
			limit = min(4*limit, mostListed)
		} else {
			limit = max(limit/2, firstListed)
		}
	}
}

// isFolder says whether any key lies below.
func isFolder(ctx context.Context, list listing, folder string) (bool, error) {
	page, _, err := list(ctx, prefixOf(folder), "", 1)
	return len(page) > 0, err
}

// each calls visit with every page of keys below the folder.
func each(ctx context.Context, list listing, folder string, visit func([]entry) error) error {
	prefix := prefixOf(folder)
	for startAfter := ""; ; {
		page, more, err := list(ctx, prefix, startAfter, mostListed)
		if err != nil {
			return err
		}
		if len(page) > 0 {
			startAfter = page[len(page)-1].key
			if err := visit(page); err != nil {
				return err
			}
		}
		if !more || len(page) == 0 {
			return nil
		}
	}
}

// inFolder lists what lies directly below a folder, in both stores, in order.
func (d *driver) inFolder(ctx context.Context, folder string) ([]entry, error) {
	found := map[string]entry{}
	if holdsBlobs(folder) {
		if err := children(ctx, d.blobs.list, folder, found); err != nil {
			return nil, err
		}
	}
	switch {
	case folder == repositoriesRoot || below(folder, repositoriesRoot):
		if err := children(ctx, d.meta.list, folder, found); err != nil {
			return nil, err
		}
		if isUploadDir(folder) {
			info, err := d.uploadInfo(ctx, folder+"/data")
			if err != nil {
				return nil, err
			}
			if info != nil {
				found[info.key] = *info
			}
		}
	case holdsMeta(folder):
		// Above the repositories only the way to them is shown: what Outrigger derives is not distribution's.
		has, err := isFolder(ctx, d.meta.list, repositoriesRoot)
		if err != nil {
			return nil, err
		}
		if has {
			name, _, _ := strings.Cut(repositoriesRoot[len(prefixOf(folder)):], "/")
			found[prefixOf(folder)+name] = entry{key: prefixOf(folder) + name, isDir: true}
		}
	}
	result := make([]entry, 0, len(found))
	for _, key := range slices.Sorted(maps.Keys(found)) {
		result = append(result, found[key])
	}
	return result, nil
}

// isFolder says whether anything lies below the key.
func (d *driver) isFolder(ctx context.Context, key string) (bool, error) {
	if holdsBlobs(key) {
		if has, err := isFolder(ctx, d.blobs.list, key); has || err != nil {
			return has, err
		}
	}
	if !holdsMeta(key) {
		return false, nil
	}
	inside := key
	if !below(key, repositoriesRoot) {
		inside = repositoriesRoot
	}
	has, err := isFolder(ctx, d.meta.list, inside)
	if has || err != nil || !isUploadDir(key) {
		return has, err
	}
	info, err := d.uploadInfo(ctx, key+"/data")
	return info != nil, err
}
