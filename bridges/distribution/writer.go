package outrigger

import (
	"context"
	"errors"

	storagedriver "github.com/distribution/distribution/v3/registry/storage/driver"
)

var (
	errClosed    = errors.New("the writer is closed")
	errCommitted = errors.New("the writer is committed")
	errCancelled = errors.New("the writer is cancelled")
)

// fileWriter writes to the upload of a key. Nothing is sent before there is something to send.
type fileWriter struct {
	driver *driver
	ctx    context.Context
	path   string
	key    string
	id     string
	// Where it began, and what was written since.
	base, written int64
	upload        *upload

	closed, committed, cancelled bool
}

var _ storagedriver.FileWriter = &fileWriter{}

func (w *fileWriter) open() *upload {
	if w.upload == nil {
		w.upload = w.driver.blobs.newUpload(w.ctx, uploadPlan{id: w.id, key: w.key, base: w.base, create: w.base == 0})
	}
	return w.upload
}

func (w *fileWriter) state() error {
	switch {
	case w.cancelled:
		return errCancelled
	case w.committed:
		return errCommitted
	case w.closed:
		return errClosed
	}
	return nil
}

func (w *fileWriter) Write(data []byte) (int, error) {
	if err := w.state(); err != nil {
		return 0, err
	}
	if len(data) == 0 {
		return 0, nil
	}
	count, err := w.open().Write(data)
	w.written += int64(count)
	return count, translate(w.path, w.base, err)
}

func (w *fileWriter) Size() int64 { return w.base + w.written }

// Close persists what was written and not committed, so that another writer can go on from there.
func (w *fileWriter) Close() error {
	if w.closed || w.committed || w.cancelled {
		w.closed = true
		return nil
	}
	w.closed = true
	return w.persist()
}

func (w *fileWriter) persist() error {
	if w.upload == nil {
		return nil
	}
	_, err := w.upload.close()
	return translate(w.path, w.base, err)
}

// Commit makes the content readable. The bytes of one of distribution's own uploads are that while they are still an
// upload: they are moved to their blob next, and that is the upload's commit. Everything else is committed to its key.
func (w *fileWriter) Commit(context.Context) error {
	if err := w.state(); err != nil {
		return err
	}
	w.committed = true
	if isUploadData(w.key) {
		return w.persist()
	}
	_, err := w.open().commit(w.key, "")
	return translate(w.path, w.base, err)
}

// Cancel takes away what was written, also after Close: distribution cancels uploads that it has closed already.
func (w *fileWriter) Cancel(ctx context.Context) error {
	if w.cancelled {
		return nil
	}
	if w.committed && !isUploadData(w.key) {
		return errCommitted
	}
	w.cancelled = true
	ctx = context.WithoutCancel(ctx)
	if w.upload != nil {
		w.upload.abort(ctx)
	} else if err := w.driver.blobs.abortUpload(ctx, w.id); err != nil {
		return err
	}
	if isUploadData(w.key) {
		return w.driver.blobs.delete(ctx, []string{w.key})
	}
	return nil
}
