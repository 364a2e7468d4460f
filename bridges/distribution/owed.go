package outrigger

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"
)

// owed ends a stream when the driver owes its next message for too long. It begins to count at once.
type owed struct {
	limit time.Duration
	timer *time.Timer
	fired atomic.Bool
}

func newOwed(limit time.Duration, cancel context.CancelFunc) *owed {
	o := &owed{limit: limit}
	o.timer = time.AfterFunc(limit, func() {
		o.fired.Store(true)
		cancel()
	})
	return o
}

// sign begins to count anew: the driver has shown that it is at work.
func (o *owed) sign() { o.timer.Reset(o.limit) }

// stop counts no longer: the driver owes nothing.
func (o *owed) stop() { o.timer.Stop() }

// reason gives what ended the stream: the driver's silence rather than the cancellation that followed from it.
func (o *owed) reason(err error) error {
	if err != nil && o.fired.Load() {
		return fmt.Errorf("%w (%s)", errOwed, o.limit)
	}
	return err
}
