package outrigger

import (
	"context"
	"encoding/json"
	"time"

	metav1 "github.com/outrigger-registry/outrigger/bridges/distribution/internal/gen/outrigger/meta/v1"
)

const defaultBeat = 2 * time.Second

// clearLease makes sure that no Outrigger registry with `cores: one` holds the store. One that has died left its lease
// behind: it is taken away once its beat has not changed for twice its time by the clock here.
func (m *metaStore) clearLease(ctx context.Context) error {
	var seen string
	var since time.Time
	for {
		items, err := m.getAll(ctx, []string{leaseHolderKey, leaseBeatKey})
		if err != nil {
			return err
		}
		holder, beat := items[leaseHolderKey], items[leaseBeatKey]
		if holder == nil {
			return nil
		}
		every := beatTime(beat)
		if now := holder.GetEtag() + " " + beat.GetEtag(); seen != now {
			if seen != "" {
				return refused("an Outrigger registry with cores: one holds the meta store at %s alone: stop it first", m.address)
			}
			seen, since = now, time.Now()
		}
		if time.Since(since) < 2*every {
			m.log.Debugf("waiting whether the holder of the lease still lives")
			if err := sleep(ctx, every/4); err != nil {
				return err
			}
			continue
		}
		operations := []*metav1.Operation{{
			Key:       leaseHolderKey,
			Action:    &metav1.Operation_Delete{Delete: &metav1.Delete{}},
			Condition: &metav1.Operation_IfEtag{IfEtag: holder.GetEtag()},
		}}
		// By etag: a beat since the look is a sign of life.
		last := &metav1.Operation{Key: leaseBeatKey}
		if beat == nil {
			last.Action = &metav1.Operation_Check{Check: &metav1.Check{}}
			last.Condition = &metav1.Operation_IfAbsent{IfAbsent: &metav1.Absent{}}
		} else {
			last.Action = &metav1.Operation_Delete{Delete: &metav1.Delete{}}
			last.Condition = &metav1.Operation_IfEtag{IfEtag: beat.GetEtag()}
		}
		_, err = call(ctx, m.store, callOptions{mutates: true}, m.client.Write, &metav1.WriteRequest{Operations: append(operations, last)})
		if err != nil && reasonOf(err) != reasonConditionFailed && reasonOf(err) != reasonReadOnly {
			return err
		}
		if reasonOf(err) == reasonReadOnly {
			return nil
		}
	}
}

// beatTime is how often the lease's holder says that it lives.
func beatTime(beat *metav1.Item) time.Duration {
	var said struct {
		EveryMs float64 `json:"everyMs"`
	}
	if json.Unmarshal(beat.GetValue(), &said) == nil && said.EveryMs >= 1 && said.EveryMs <= 3_600_000 {
		return time.Duration(said.EveryMs) * time.Millisecond
	}
	return defaultBeat
}
