package outrigger

import (
	"context"

	storagedriver "github.com/distribution/distribution/v3/registry/storage/driver"
)

// Walk goes through folders as distribution's fallback does, but what a listing told is not asked for again.
func (d *driver) Walk(ctx context.Context, path string, f storagedriver.WalkFn, options ...func(*storagedriver.WalkOptions)) error {
	return storagedriver.WalkFallback(ctx, &walker{driver: d, infos: map[string]storagedriver.FileInfo{}}, path, f, options...)
}

type walker struct {
	*driver
	// Of children that were listed and not walked to yet.
	infos map[string]storagedriver.FileInfo
}

func (w *walker) List(ctx context.Context, path string) ([]string, error) {
	infos, err := w.listInfos(ctx, path)
	if err != nil {
		return nil, err
	}
	paths := make([]string, len(infos))
	for i, info := range infos {
		paths[i] = info.Path()
		w.infos[paths[i]] = info
	}
	return paths, nil
}

func (w *walker) Stat(ctx context.Context, path string) (storagedriver.FileInfo, error) {
	if info, listed := w.infos[path]; listed {
		delete(w.infos, path)
		return info, nil
	}
	return w.driver.Stat(ctx, path)
}
