package outrigger

import (
	"context"
	"io"
	"time"

	blobv1 "github.com/outrigger-registry/outrigger/bridges/distribution/internal/gen/outrigger/blob/v1"
)

// blobReader reads a blob from an offset on. A stream that breaks is gone on with at the next byte, of the same content.
type blobReader struct {
	store  *blobStore
	key    string
	ctx    context.Context
	cancel context.CancelFunc
	// The next byte to give out, and behind the last one.
	offset, end int64
	etag        string
	left        []byte
	patience    *patience
	stream      blobv1.BlobService_ReadClient
	// Ends the stream at hand.
	drop context.CancelFunc
	owed *owed
	err  error
}

// read opens a blob. That it is there, and long enough, is known when this returns.
func (b *blobStore) read(ctx context.Context, key string, offset int64) (*blobReader, error) {
	ctx, cancel := context.WithCancel(ctx)
	r := &blobReader{store: b, key: key, ctx: ctx, cancel: cancel, offset: offset, patience: b.patience()}
	if err := r.openPatiently(nil); err != nil {
		cancel()
		return nil, err
	}
	return r, nil
}

func (r *blobReader) Read(target []byte) (int, error) {
	for r.err == nil && len(r.left) == 0 {
		if r.offset == r.end {
			r.finish(io.EOF)
			break
		}
		if err := r.next(); err != nil {
			r.close()
			if err := r.openPatiently(err); err != nil {
				r.finish(err)
			}
		}
	}
	if len(r.left) == 0 {
		return 0, r.err
	}
	count := copy(target, r.left)
	r.left = r.left[count:]
	return count, nil
}

func (r *blobReader) Close() error {
	r.finish(io.ErrClosedPipe)
	r.left = nil
	return nil
}

func (r *blobReader) finish(err error) {
	if r.err == nil {
		r.err = err
	}
	r.close()
	r.cancel()
}

// openPatiently opens a stream, after a failure or for the first time.
func (r *blobReader) openPatiently(failure error) error {
	for {
		if failure != nil {
			if r.ctx.Err() != nil {
				return context.Cause(r.ctx)
			}
			if !isPassing(failure) {
				return failure
			}
			if err := r.patience.pause(r.ctx, failure); err != nil {
				return err
			}
		}
		if failure = r.open(); failure == nil {
			r.patience.found(time.Now())
			return nil
		}
		r.close()
	}
}

func (r *blobReader) open() error {
	if err := r.store.usable(r.ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(r.ctx)
	r.drop = cancel
	r.owed = newOwed(max(lastChance, min(r.store.config.StreamTimeout, r.patience.left())), cancel)
	offset := uint64(r.offset)
	stream, err := r.store.readers.Read(r.store.outgoing(ctx, time.Time{}),
		&blobv1.ReadRequest{Key: r.key, Offset: &offset, IfEtag: r.etag}, waitForReady)
	if err != nil {
		return r.owed.reason(asDriverError(err))
	}
	r.stream = stream
	message, err := r.receive()
	if header, headerErr := stream.Header(); headerErr == nil {
		r.store.observe(header, stream.Trailer())
	}
	if err != nil {
		return err
	}
	start := message.GetStart()
	if start == nil {
		return violation("blob.read.01", "a Read does not begin with start")
	}
	if int64(start.GetStart()) != r.offset {
		return violation("blob.read.02", "a Read from %d begins at %d", r.offset, start.GetStart())
	}
	end := int64(start.GetStart() + start.GetLength())
	if r.etag != "" && end != r.end {
		return violation("blob.read.06", "%s has %d bytes instead of %d under one etag", r.key, end, r.end)
	}
	r.end, r.etag = end, start.GetInfo().GetEtag()
	r.owed.limit = r.store.config.StreamTimeout
	return nil
}

// next waits for the next chunk.
func (r *blobReader) next() error {
	message, err := r.receive()
	if err != nil {
		return err
	}
	chunk := message.GetChunk()
	switch {
	case chunk == nil:
		return violation("blob.read.01", "a Read is started twice")
	case int64(chunk.GetOffset()) != r.offset:
		return violation("blob.read.02", "a chunk at %d follows where %d was to come", chunk.GetOffset(), r.offset)
	case r.offset+int64(len(chunk.GetData())) > r.end:
		return violation("blob.read.03", "more bytes come than were announced")
	}
	if len(chunk.GetData()) > 0 {
		r.left = chunk.GetData()
		r.offset += int64(len(r.left))
		r.patience.restored()
	}
	return nil
}

// receive counts the time only while somebody waits here: a slow puller is nobody's fault.
func (r *blobReader) receive() (*blobv1.ReadResponse, error) {
	r.owed.sign()
	message, err := r.stream.Recv()
	r.owed.stop()
	if err == io.EOF {
		return nil, errBroken
	}
	return message, r.owed.reason(asDriverError(err))
}

// close ends the stream at hand.
func (r *blobReader) close() {
	if r.drop == nil {
		return
	}
	r.owed.stop()
	r.drop()
	r.drop, r.stream = nil, nil
}
