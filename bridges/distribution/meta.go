package outrigger

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	metav1 "github.com/outrigger-registry/outrigger/bridges/distribution/internal/gen/outrigger/meta/v1"
)

// Keys of Outrigger's own registry that whoever writes beside it has to respect.
const (
	pairKey        = "outrigger/pair"
	leaseHolderKey = "outrigger/lease/holder"
	leaseBeatKey   = "outrigger/lease/beat"
	indexMarkerKey = "outrigger/index/marker"
)

const (
	mostGetKeys    = 100
	mostOperations = 100
	// Contention for one tag: whoever loses so often in a row gives up.
	mostRaces = 50
)

// metaStore keeps small values.
type metaStore struct {
	*store
	client metav1.MetaServiceClient
}

func newMetaStore(s *store) *metaStore {
	return &metaStore{s, metav1.NewMetaServiceClient(s.calls)}
}

// get answers nil where there is no such key.
func (m *metaStore) get(ctx context.Context, key string) (*metav1.Item, error) {
	items, err := m.getAll(ctx, []string{key})
	return items[key], err
}

// getAll answers those that are there, of at most 100 keys.
func (m *metaStore) getAll(ctx context.Context, keys []string) (map[string]*metav1.Item, error) {
	items := make(map[string]*metav1.Item, len(keys))
	for len(keys) > 0 {
		answer, err := call(ctx, m.store, callOptions{}, m.client.Get, &metav1.GetRequest{Keys: keys})
		if err != nil {
			return nil, err
		}
		for _, result := range answer.GetResults() {
			if result.GetItem() != nil {
				items[result.GetKey()] = result.GetItem()
			}
		}
		if len(answer.GetUnread()) >= len(keys) {
			return nil, violation("meta.get.02", "none of %d keys is answered", len(keys))
		}
		keys = answer.GetUnread()
	}
	return items, nil
}

func (m *metaStore) list(ctx context.Context, prefix, startAfter string, limit int) ([]entry, bool, error) {
	answer, err := call(ctx, m.store, callOptions{timeout: m.config.ListTimeout}, m.client.List,
		&metav1.ListRequest{Prefix: prefix, StartAfter: startAfter, Limit: uint32(limit)})
	if err != nil {
		return nil, false, err
	}
	entries := make([]entry, 0, len(answer.GetItems()))
	for _, item := range answer.GetItems() {
		entries = append(entries, entry{key: item.GetKey(), size: int64(len(item.GetValue())), etag: item.GetEtag()})
	}
	return entries, answer.GetMore(), nil
}

// put stores a value whatever was there before.
func (m *metaStore) put(ctx context.Context, key string, value []byte) error {
	if most := m.known().maxValue; len(value) > most {
		return fmt.Errorf("%s: %d bytes are more than the %d that a metadata value may have", key, len(value), most)
	}
	if isTagLink(key) {
		return m.putOver(ctx, key, value)
	}
	// The key always gets this very value: a second effect of a repeated Write changes nothing.
	return m.write(ctx, callOptions{}, key, []*metav1.Operation{{Key: key, Action: &metav1.Operation_Put{Put: value}}})
}

// putOver puts a value that others may change. Each attempt holds only for what was there when it was made, so that one
// that takes effect late cannot undo a newer value; an attempt whose answer was lost is looked for.
func (m *metaStore) putOver(ctx context.Context, key string, value []byte) error {
	patience := m.patience()
	inDoubt := false
	var before *metav1.Item
	for race := 0; race < mostRaces; race++ {
		now, err := m.get(ctx, key)
		if err != nil {
			return err
		}
		if inDoubt && now.GetEtag() != before.GetEtag() {
			// Ours took effect, and another one after it perhaps: both orders are right for Writes at one time.
			return nil
		}
		before = now
		put := &metav1.Operation{Key: key, Action: &metav1.Operation_Put{Put: value}}
		if before == nil {
			put.Condition = &metav1.Operation_IfAbsent{IfAbsent: &metav1.Absent{}}
		} else {
			put.Condition = &metav1.Operation_IfEtag{IfEtag: before.GetEtag()}
		}
		err = m.write(ctx, callOptions{once: true}, key, []*metav1.Operation{put})
		switch {
		case err == nil:
			return nil
		case reasonOf(err) == reasonConditionFailed:
			continue
		case !isPassing(err):
			return err
		}
		inDoubt = true
		if err := patience.pause(ctx, err); err != nil {
			return err
		}
	}
	return fmt.Errorf("%s was changed %d times by others while it was to be written", key, mostRaces)
}

// deleteAll takes keys away that were seen with these etags; what was changed since is not touched.
func (m *metaStore) deleteAll(ctx context.Context, entries []entry) error {
	patience := m.patience()
	for races := 0; len(entries) > 0; {
		batch := entries[:min(len(entries), mostOperations-2)]
		operations := make([]*metav1.Operation, 0, mostOperations)
		for _, one := range batch {
			operations = append(operations, &metav1.Operation{
				Key:       one.key,
				Action:    &metav1.Operation_Delete{Delete: &metav1.Delete{}},
				Condition: &metav1.Operation_IfEtag{IfEtag: one.etag},
			})
		}
		err := m.write(ctx, callOptions{once: true}, batch[len(batch)-1].key, operations)
		if err == nil {
			entries = entries[len(batch):]
			continue
		}
		if lost := reasonOf(err) == reasonConditionFailed; !lost && !isPassing(err) {
			return err
		} else if !lost {
			if err := patience.pause(ctx, err); err != nil {
				return err
			}
		} else if races++; races > mostRaces {
			return err
		}
		items, err := m.getAll(ctx, keysOf(batch))
		if err != nil {
			return err
		}
		left := make([]entry, 0, len(entries))
		for _, one := range batch {
			if item := items[one.key]; item != nil && item.GetEtag() == one.etag {
				left = append(left, one)
			}
		}
		entries = append(left, entries[len(batch):]...)
	}
	return nil
}

// write is one Write that respects Outrigger's own registry: not while one of its cores holds the store alone, and where
// a link changes, its index counts as out of date from this very Write on.
func (m *metaStore) write(ctx context.Context, options callOptions, key string, operations []*metav1.Operation) error {
	count := len(operations)
	operations = append(operations, &metav1.Operation{
		Key:       leaseHolderKey,
		Action:    &metav1.Operation_Check{Check: &metav1.Check{}},
		Condition: &metav1.Operation_IfAbsent{IfAbsent: &metav1.Absent{}},
	})
	if isLink(key) {
		operations = append(operations, &metav1.Operation{Key: indexMarkerKey, Action: &metav1.Operation_Delete{Delete: &metav1.Delete{}}})
	}
	options.mutates = true
	_, err := call(ctx, m.store, options, m.client.Write, &metav1.WriteRequest{Operations: operations})
	if reasonOf(err) == reasonConditionFailed && failedIndex(err) == count {
		return errors.New("an Outrigger registry with cores: one holds this store alone: stop it first")
	}
	return err
}

// checkPair holds the stores against each other: the meta store keeps the id of the blob store that belongs to it.
func (m *metaStore) checkPair(ctx context.Context, blobs *store) error {
	blobID := blobs.known().id
	for race := 0; ; race++ {
		item, err := m.get(ctx, pairKey)
		if err != nil {
			return err
		}
		if item != nil {
			if recorded := string(bytes.TrimSpace(item.GetValue())); recorded != blobID {
				return refused("the meta store at %s belongs to the blob store %s, but the one at %s is %s: give the address of the right one",
					m.address, recorded, blobs.address, blobID)
			}
			return nil
		}
		_, err = call(ctx, m.store, callOptions{mutates: true}, m.client.Write, &metav1.WriteRequest{Operations: []*metav1.Operation{{
			Key:       pairKey,
			Action:    &metav1.Operation_Put{Put: []byte(blobID)},
			Condition: &metav1.Operation_IfAbsent{IfAbsent: &metav1.Absent{}},
		}}})
		switch {
		case reasonOf(err) == reasonReadOnly:
			m.log.Warnf("the meta store at %s is read-only: which blob store belongs to it is not recorded", m.address)
			return nil
		case err == nil:
			return nil
		case reasonOf(err) != reasonConditionFailed || race >= 3:
			return err
		}
	}
}

func keysOf(entries []entry) []string {
	keys := make([]string, len(entries))
	for i, one := range entries {
		keys[i] = one.key
	}
	return keys
}
