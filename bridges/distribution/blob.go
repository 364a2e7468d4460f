package outrigger

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"io"
	"time"

	blobv1 "github.com/outrigger-registry/outrigger/bridges/distribution/internal/gen/outrigger/blob/v1"
)

const (
	maxPutBytes    = 1 << 20
	mostDeleteKeys = 1000
	// A Move's not-after: long enough for a backend that copies.
	moveTime = 15 * time.Minute
)

// blobStore keeps bytes, and uploads of them.
type blobStore struct {
	*store
	client  blobv1.BlobServiceClient
	readers blobv1.BlobServiceClient
	writers blobv1.BlobServiceClient
	budget  *budget
}

func newBlobStore(s *store) *blobStore {
	return &blobStore{
		store:   s,
		client:  blobv1.NewBlobServiceClient(s.calls),
		readers: blobv1.NewBlobServiceClient(s.reads),
		writers: blobv1.NewBlobServiceClient(s.appends),
		budget:  newBudget(s.config.ReplayBuffer),
	}
}

// stat answers nil where there is no such key.
func (b *blobStore) stat(ctx context.Context, key string) (*blobv1.BlobInfo, error) {
	answer, err := call(ctx, b.store, callOptions{}, b.client.Stat, &blobv1.StatRequest{Keys: []string{key}})
	if err != nil {
		return nil, err
	}
	if len(answer.GetResults()) != 1 || answer.GetResults()[0].GetKey() != key {
		return nil, violation("blob.stat.01", "a Stat of one key is answered with %d results", len(answer.GetResults()))
	}
	return answer.GetResults()[0].GetInfo(), nil
}

func (b *blobStore) list(ctx context.Context, prefix, startAfter string, limit int) ([]entry, bool, error) {
	answer, err := call(ctx, b.store, callOptions{timeout: b.config.ListTimeout}, b.client.List,
		&blobv1.ListRequest{Prefix: prefix, StartAfter: startAfter, Limit: uint32(limit)})
	if err != nil {
		return nil, false, err
	}
	entries := make([]entry, 0, len(answer.GetItems()))
	for _, info := range answer.GetItems() {
		entries = append(entries, blobEntry(info))
	}
	return entries, answer.GetMore(), nil
}

func blobEntry(info *blobv1.BlobInfo) entry {
	one := entry{key: info.GetKey(), size: int64(info.GetSize()), etag: info.GetEtag()}
	if info.GetModifiedMs() > 0 {
		one.modified = time.UnixMilli(int64(info.GetModifiedMs()))
	}
	return one
}

// put makes a blob of bytes that are all there, whatever was under the key before.
func (b *blobStore) put(ctx context.Context, key string, data []byte) error {
	digest := digestOf(key)
	if len(data) <= maxPutBytes {
		_, err := call(ctx, b.store, callOptions{mutates: true}, b.client.Put, &blobv1.PutRequest{Key: key, Data: data, Digest: digest})
		return err
	}
	// Its own id: two that put one key at once must not write into one upload.
	id := make([]byte, 16)
	if _, err := rand.Read(id); err != nil {
		return err
	}
	upload := b.newUpload(ctx, uploadPlan{id: "put-" + hex.EncodeToString(id), key: key, create: true})
	if _, err := upload.Write(data); err != nil {
		upload.abort(context.WithoutCancel(ctx))
		return err
	}
	if _, err := upload.commit(key, digest); err != nil {
		upload.abort(context.WithoutCancel(ctx))
		return err
	}
	return nil
}

// delete takes keys away; those that are absent already are fine.
func (b *blobStore) delete(ctx context.Context, keys []string) error {
	for len(keys) > 0 {
		batch := keys[:min(len(keys), mostDeleteKeys)]
		answer, err := call(ctx, b.store, callOptions{mutates: true}, b.client.Delete, &blobv1.DeleteRequest{Keys: batch})
		if err != nil {
			return err
		}
		if len(answer.GetResults()) != len(batch) {
			return violation("blob.delete.01", "a Delete of %d keys is answered with %d results", len(batch), len(answer.GetResults()))
		}
		for _, result := range answer.GetResults() {
			if result.GetReason() != "" {
				return fmt.Errorf("deleting %s: %s: %s", result.GetKey(), result.GetReason(), result.GetMessage())
			}
		}
		keys = keys[len(batch):]
	}
	return nil
}

// move gives a blob another key. Whoever lost the answer looks for it at the destination.
func (b *blobStore) move(ctx context.Context, source, destination string) error {
	patience := b.patience()
	var before *blobv1.BlobInfo
	for inDoubt := false; ; inDoubt = true {
		if before == nil {
			info, err := b.stat(ctx, source)
			if err != nil {
				return err
			}
			if info == nil {
				return &driverError{reason: reasonKeyNotFound, message: "there is no " + source}
			}
			before = info
		}
		err := b.moveOnce(ctx, source, destination)
		if err == nil {
			return nil
		}
		if inDoubt && reasonOf(err) == reasonKeyNotFound {
			info, statErr := b.stat(ctx, destination)
			if statErr != nil {
				return statErr
			}
			if info != nil && info.GetSize() == before.GetSize() {
				return nil
			}
			return err
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if !isPassing(err) {
			return err
		}
		if err := patience.pause(ctx, err); err != nil {
			return err
		}
	}
}

func (b *blobStore) moveOnce(ctx context.Context, source, destination string) error {
	if err := b.usable(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	owed := newOwed(b.config.StreamTimeout, cancel)
	defer owed.stop()
	stream, err := b.client.Move(b.outgoing(ctx, time.Now().Add(moveTime)),
		&blobv1.MoveRequest{Source: source, Destination: destination}, waitForReady)
	if err != nil {
		return owed.reason(asDriverError(err))
	}
	var info *blobv1.BlobInfo
	for {
		message, err := stream.Recv()
		if err == io.EOF {
			if info == nil {
				return violation("blob.move.01", "a Move ends with OK and without info")
			}
			return nil
		}
		if err != nil {
			return owed.reason(asDriverError(err))
		}
		owed.sign()
		if message.GetInfo() != nil {
			info = message.GetInfo()
		}
	}
}

// uploadSize gives what is persisted of an upload; false: there is no such upload.
func (b *blobStore) uploadSize(ctx context.Context, id string) (int64, time.Duration, bool, error) {
	answer, err := call(ctx, b.store, callOptions{}, b.client.GetUpload, &blobv1.GetUploadRequest{UploadId: id})
	if reasonOf(err) == reasonUploadNotFound {
		return 0, 0, false, nil
	}
	if err != nil {
		return 0, 0, false, err
	}
	idle := time.Duration(answer.GetUpload().GetIdleMs()) * time.Millisecond
	return int64(answer.GetUpload().GetPersisted()), idle, true, nil
}

// abortUpload ends an upload and takes its bytes away; one that is unknown is fine.
func (b *blobStore) abortUpload(ctx context.Context, id string) error {
	_, err := call(ctx, b.store, callOptions{mutates: true}, b.client.AbortUpload, &blobv1.AbortUploadRequest{UploadId: id})
	return err
}

// signURL gives a URL at which a client may get the blob itself; empty: the driver has none.
func (b *blobStore) signURL(ctx context.Context, key string) (string, error) {
	if !b.known().can(capabilitySignURL) {
		return "", nil
	}
	answer, err := call(ctx, b.store, callOptions{}, b.client.SignUrl,
		&blobv1.SignUrlRequest{Key: key, TtlMs: uint64(b.config.URLTTL.Milliseconds())})
	if reasonOf(err) == reasonCapabilityMissing {
		return "", nil
	}
	return answer.GetUrl(), err
}
