package outrigger

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	storagedriver "github.com/distribution/distribution/v3/registry/storage/driver"
)

const driverName = "outrigger"

// driver is the StorageDriver behind distribution's own checks of paths and offsets.
type driver struct {
	blobs *blobStore
	meta  *metaStore
}

func (d *driver) Name() string { return driverName }

func (d *driver) GetContent(ctx context.Context, path string) ([]byte, error) {
	reader, err := d.Reader(ctx, path, 0)
	if err != nil {
		return nil, err
	}
	defer reader.Close()
	content, err := io.ReadAll(reader)
	return content, translate(path, 0, err)
}

func (d *driver) PutContent(ctx context.Context, path string, content []byte) error {
	key, err := keyOf(path)
	if err != nil {
		return err
	}
	if isMeta(key) {
		return translate(path, 0, d.meta.put(ctx, key, content))
	}
	if err := d.blobs.put(ctx, key, content); err != nil {
		return translate(path, 0, err)
	}
	if isUploadData(key) {
		return d.blobs.abortUpload(ctx, uploadID(key))
	}
	return nil
}

func (d *driver) Reader(ctx context.Context, path string, offset int64) (io.ReadCloser, error) {
	key, err := keyOf(path)
	if err != nil {
		return nil, err
	}
	if isMeta(key) {
		item, err := d.meta.get(ctx, key)
		switch {
		case err != nil:
			return nil, translate(path, offset, err)
		case item == nil:
			return nil, storagedriver.PathNotFoundError{Path: path}
		case offset > int64(len(item.GetValue())):
			return nil, storagedriver.InvalidOffsetError{Path: path, Offset: offset}
		}
		return io.NopCloser(bytes.NewReader(item.GetValue()[offset:])), nil
	}
	if isUploadData(key) {
		if err := d.makeReadable(ctx, key); err != nil {
			return nil, translate(path, offset, err)
		}
	}
	reader, err := d.blobs.read(ctx, key, offset)
	if err != nil {
		return nil, translate(path, offset, err)
	}
	return reader, nil
}

// makeReadable commits an upload under its own key. An upload cannot be read; distribution reads one only where it could
// not hash the bytes as they came: for a digest of another algorithm, or with resumable digests switched off.
func (d *driver) makeReadable(ctx context.Context, key string) error {
	upload := d.blobs.newUpload(ctx, uploadPlan{id: uploadID(key), key: key, base: anySize})
	if _, err := upload.commit(key, ""); err != nil && reasonOf(err) != reasonUploadNotFound {
		return err
	}
	return nil
}

// Writer goes on with an upload that was closed and not committed. Content that was committed is copied to begin with.
func (d *driver) Writer(ctx context.Context, path string, append bool) (storagedriver.FileWriter, error) {
	key, err := keyOf(path)
	if err != nil {
		return nil, err
	}
	if isMeta(key) {
		return nil, fmt.Errorf("%s is kept as metadata, which is put whole and has no writer", path)
	}
	w := &fileWriter{driver: d, ctx: ctx, path: path, key: key, id: uploadID(key)}
	if !append {
		return w, translate(path, 0, d.blobs.abortUpload(ctx, w.id))
	}
	size, _, found, err := d.blobs.uploadSize(ctx, w.id)
	if err != nil {
		return nil, err
	}
	if found {
		w.base = size
		return w, nil
	}
	info, err := d.blobs.stat(ctx, key)
	if err != nil {
		return nil, err
	}
	if info.GetSize() > 0 {
		reader, err := d.blobs.read(ctx, key, 0)
		if err != nil {
			return nil, translate(path, 0, err)
		}
		defer reader.Close()
		if _, err := io.Copy(w, reader); err != nil {
			return nil, errors.Join(translate(path, 0, err), w.Cancel(ctx))
		}
	}
	return w, nil
}

// uploadInfo answers nil where there is no upload of that path.
func (d *driver) uploadInfo(ctx context.Context, key string) (*entry, error) {
	size, idle, found, err := d.blobs.uploadSize(ctx, uploadID(key))
	if err != nil {
		return nil, err
	}
	if found {
		return &entry{key: key, size: size, modified: time.Now().Add(-idle)}, nil
	}
	info, err := d.blobs.stat(ctx, key)
	if err != nil || info == nil {
		return nil, err
	}
	one := blobEntry(info)
	return &one, nil
}

// file answers nil where the key is no file.
func (d *driver) file(ctx context.Context, key string) (*entry, error) {
	switch {
	case isUploadData(key):
		return d.uploadInfo(ctx, key)
	case isMeta(key):
		item, err := d.meta.get(ctx, key)
		if err != nil || item == nil {
			return nil, err
		}
		return &entry{key: key, size: int64(len(item.GetValue())), etag: item.GetEtag()}, nil
	default:
		info, err := d.blobs.stat(ctx, key)
		if err != nil || info == nil {
			return nil, err
		}
		one := blobEntry(info)
		return &one, nil
	}
}

func (d *driver) Stat(ctx context.Context, path string) (storagedriver.FileInfo, error) {
	key, err := keyOf(path)
	if err != nil {
		return nil, err
	}
	if key == "" {
		// distribution's health check asks this: the root is always there, if the stores are.
		if err := d.alive(ctx); err != nil {
			return nil, err
		}
		return fileInfo(entry{isDir: true}), nil
	}
	one, err := d.file(ctx, key)
	if err != nil {
		return nil, translate(path, 0, err)
	}
	if one != nil {
		return fileInfo(*one), nil
	}
	has, err := d.isFolder(ctx, key)
	switch {
	case err != nil:
		return nil, translate(path, 0, err)
	case !has:
		return nil, storagedriver.PathNotFoundError{Path: path}
	}
	return fileInfo(entry{key: key, isDir: true}), nil
}

// alive asks both stores for something small.
func (d *driver) alive(ctx context.Context) error {
	if _, err := d.blobs.stat(ctx, "docker"); err != nil {
		return err
	}
	_, err := d.meta.get(ctx, pairKey)
	return err
}

func fileInfo(one entry) storagedriver.FileInfo {
	return storagedriver.FileInfoInternal{FileInfoFields: storagedriver.FileInfoFields{
		Path: "/" + one.key, Size: one.size, ModTime: one.modified, IsDir: one.isDir,
	}}
}

func (d *driver) List(ctx context.Context, path string) ([]string, error) {
	infos, err := d.listInfos(ctx, path)
	if err != nil {
		return nil, err
	}
	paths := make([]string, len(infos))
	for i, info := range infos {
		paths[i] = info.Path()
	}
	return paths, nil
}

func (d *driver) listInfos(ctx context.Context, path string) ([]storagedriver.FileInfo, error) {
	key, err := keyOf(path)
	if err != nil {
		return nil, err
	}
	entries, err := d.inFolder(ctx, key)
	if err != nil {
		return nil, translate(path, 0, err)
	}
	if len(entries) == 0 && key != "" {
		return nil, storagedriver.PathNotFoundError{Path: path}
	}
	infos := make([]storagedriver.FileInfo, len(entries))
	for i, one := range entries {
		infos[i] = fileInfo(one)
	}
	return infos, nil
}

// Move gives bytes another path. For one of distribution's own uploads it is the upload's commit: its size and the digest
// in the destination's name are checked by the driver before anything is visible.
func (d *driver) Move(ctx context.Context, sourcePath, destinationPath string) error {
	source, err := keyOf(sourcePath)
	if err != nil {
		return err
	}
	destination, err := keyOf(destinationPath)
	if err != nil {
		return err
	}
	if isMeta(source) || isMeta(destination) || isUploadData(destination) {
		return fmt.Errorf("%s cannot be moved to %s: links are put and deleted, and uploads are moved to blobs", sourcePath, destinationPath)
	}
	if isUploadData(source) {
		upload := d.blobs.newUpload(ctx, uploadPlan{id: uploadID(source), key: destination, base: anySize})
		_, err := upload.commit(destination, digestOf(destination))
		if reasonOf(err) != reasonUploadNotFound {
			return translate(sourcePath, 0, err)
		}
		// Somebody had to read it: it is a blob under its own key.
	}
	return translate(sourcePath, 0, d.blobs.move(ctx, source, destination))
}

func (d *driver) RedirectURL(r *http.Request, path string) (string, error) {
	key, err := keyOf(path)
	if err != nil {
		return "", err
	}
	if isMeta(key) || isUploadData(key) || (r.Method != http.MethodGet && r.Method != http.MethodHead) {
		return "", nil
	}
	url, err := d.blobs.signURL(r.Context(), key)
	return url, translate(path, 0, err)
}
