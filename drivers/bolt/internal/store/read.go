package store

import (
	"bytes"
	"context"

	"go.etcd.io/bbolt"
)

// itemOverhead is more than the tags and lengths around an item's fields take on the wire.
const itemOverhead = 64

func sizeOf(key string, item *Item) int {
	size := itemOverhead + 2*len(key)
	if item != nil {
		size += len(item.Value) + len(item.Etag)
	}
	return size
}

// Get reads keys as of one moment [meta.get.03]. The answer has nil where a key is absent; it is shorter than keys where
// it would pass budget bytes, but never empty [meta.get.02].
func (s *Store) Get(ctx context.Context, keys []string, budget int) ([]*Item, error) {
	found := make([]*Item, 0, len(keys))
	err := s.view(ctx, func(tx *bbolt.Tx) error {
		values := tx.Bucket(bucketMeta)
		size := 0
		for _, key := range keys {
			item, err := s.item(values, key)
			if err != nil {
				return err
			}
			size += sizeOf(key, item)
			if size > budget && len(found) > 0 {
				return nil
			}
			found = append(found, item)
		}
		return nil
	})
	return found, err
}

// item is a copy: what bbolt gives is mapped memory of the transaction.
func (s *Store) item(values *bbolt.Bucket, key string) (*Item, error) {
	record := values.Get([]byte(key))
	if record == nil {
		return nil, nil
	}
	tag, value, err := decodeRecord(key, record)
	if err != nil {
		return nil, s.corrupt(key, err)
	}
	return &Item{Key: key, Value: bytes.Clone(value), Etag: tag.String()}, nil
}

// List gives at most limit items in ascending bytewise order: those that begin with prefix and are above startAfter. It
// stops before budget bytes, and says whether more follow [meta.list.01 to .03].
func (s *Store) List(ctx context.Context, prefix, startAfter string, limit, budget int) (items []*Item, more bool, err error) {
	err = s.view(ctx, func(tx *bbolt.Tx) error {
		items, more = nil, false
		size := 0
		cursor := tx.Bucket(bucketMeta).Cursor()
		for key, record := seek(cursor, prefix, startAfter); bytes.HasPrefix(key, []byte(prefix)) && key != nil; key, record = cursor.Next() {
			if len(items) == limit {
				more = true
				return nil
			}
			name := string(key)
			tag, value, err := decodeRecord(name, record)
			if err != nil {
				return s.corrupt(name, err)
			}
			item := &Item{Key: name, Value: value, Etag: tag.String()}
			size += sizeOf(name, item)
			if size > budget && len(items) > 0 {
				more = true
				return nil
			}
			item.Value = bytes.Clone(value)
			items = append(items, item)
		}
		return nil
	})
	return items, more, err
}

// Count counts the keys that begin with prefix; it is exact.
func (s *Store) Count(ctx context.Context, prefix string) (uint64, error) {
	const lookEvery = 4096 // keys between two looks at whether anybody still waits
	var count uint64
	err := s.view(ctx, func(tx *bbolt.Tx) error {
		cursor := tx.Bucket(bucketMeta).Cursor()
		for key, _ := seek(cursor, prefix, ""); bytes.HasPrefix(key, []byte(prefix)) && key != nil; key, _ = cursor.Next() {
			count++
			if count%lookEvery == 0 && ctx.Err() != nil {
				return ctx.Err()
			}
		}
		return nil
	})
	return count, err
}

// seek gives the first key that may begin with prefix and is above startAfter.
func seek(cursor *bbolt.Cursor, prefix, startAfter string) (key, record []byte) {
	if startAfter < prefix {
		return cursor.Seek([]byte(prefix))
	}
	key, record = cursor.Seek([]byte(startAfter))
	if startAfter != "" && string(key) == startAfter {
		return cursor.Next()
	}
	return key, record
}
