package outrigger

import (
	"context"

	storagedriver "github.com/distribution/distribution/v3/registry/storage/driver"
)

func (d *driver) Delete(ctx context.Context, path string) error {
	key, err := keyOf(path)
	if err != nil {
		return err
	}
	found, err := d.deleteFile(ctx, key)
	if err != nil {
		return translate(path, 0, err)
	}
	below, err := d.deleteBelow(ctx, key)
	if err != nil {
		return translate(path, 0, err)
	}
	if !found && !below {
		return storagedriver.PathNotFoundError{Path: path}
	}
	return nil
}

func (d *driver) deleteFile(ctx context.Context, key string) (bool, error) {
	one, err := d.file(ctx, key)
	if err != nil {
		return false, err
	}
	if isMeta(key) {
		if one == nil {
			return false, nil
		}
		return true, d.meta.deleteAll(ctx, []entry{*one})
	}
	// Bytes that were written and not committed are nowhere to be seen, and are not to be gone on with either.
	if err := d.blobs.abortUpload(ctx, uploadID(key)); err != nil {
		return false, err
	}
	if one == nil {
		return false, nil
	}
	return true, d.blobs.delete(ctx, []string{key})
}

// deleteBelow takes away everything below a folder; uploads before the files by which distribution knows them.
func (d *driver) deleteBelow(ctx context.Context, folder string) (bool, error) {
	found := false
	if holdsBlobs(folder) {
		err := each(ctx, d.blobs.list, folder, func(page []entry) error {
			found = true
			return d.blobs.delete(ctx, keysOf(page))
		})
		if err != nil {
			return found, err
		}
	}
	if !holdsMeta(folder) {
		return found, nil
	}
	if isUploadDir(folder) {
		there, err := d.deleteFile(ctx, folder+"/data")
		if err != nil {
			return found, err
		}
		found = found || there
	}
	inside := folder
	if !below(folder, repositoriesRoot) {
		inside = repositoriesRoot
	}
	ended := ""
	err := each(ctx, d.meta.list, inside, func(page []entry) error {
		found = true
		for _, one := range page {
			upload, isUpload := uploadDirOf(one.key)
			if !isUpload || upload == ended || upload == folder {
				continue
			}
			if _, err := d.deleteFile(ctx, upload+"/data"); err != nil {
				return err
			}
			ended = upload
		}
		return d.meta.deleteAll(ctx, page)
	})
	return found, err
}
