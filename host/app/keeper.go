package app

import (
	"context"
	"errors"
	"time"

	"github.com/tocsin-net/tocsin/capture/flow"
	"github.com/tocsin-net/tocsin/host/alert"
	"github.com/tocsin-net/tocsin/host/outbox"
)

const (
	keepQueue = 64   // batches waiting for the disk; then the capture waits
	keepBatch = 1024 // alerts in one transaction
	keepRetry = time.Second
)

// keeper stores alerts as the checks raise them, beside the capture: the capture waits for the disk only when the disk is
// far behind. Alerts are given to it by one goroutine.
type keeper struct {
	app   *App
	batch []*alert.Alert
	queue chan []*alert.Alert
	done  chan struct{}
	err   error // set before done is closed
}

func newKeeper(a *App) *keeper {
	k := &keeper{app: a, queue: make(chan []*alert.Alert, keepQueue), done: make(chan struct{})}
	go k.run()
	return k
}

func (k *keeper) add(a *alert.Alert) { k.batch = append(k.batch, a) }

// flush hands on what was added. Its error is that of an earlier batch: the disk takes no more.
func (k *keeper) flush() error {
	if len(k.batch) == 0 {
		return nil
	}
	select {
	case k.queue <- k.batch:
		k.batch = nil
		return nil
	case <-k.done:
		return k.err
	}
}

// close stores what is left and returns the first failure.
func (k *keeper) close() error {
	err := k.flush()
	close(k.queue)
	<-k.done
	if err == nil || errors.Is(err, k.err) {
		return k.err
	}
	return errors.Join(err, k.err)
}

// run stores batches until the queue is closed; several that wait share a transaction. It is not stopped by a signal:
// what was raised is stored.
func (k *keeper) run() {
	defer close(k.done)
	ctx := context.Background()
	for batch := range k.queue {
		entries := k.entries(nil, batch)
	more:
		for len(entries) < keepBatch {
			select {
			case b, ok := <-k.queue:
				if !ok {
					break more
				}
				entries = k.entries(entries, b)
			default:
				break more
			}
		}
		if k.err = k.store(ctx, entries); k.err != nil {
			return
		}
	}
}

func (k *keeper) entries(es []outbox.Entry, alerts []*alert.Alert) []outbox.Entry {
	now := time.Now()
	for _, a := range alerts {
		es = append(es, outbox.Entry{Alert: a, Targets: k.app.router.Route(a, now)})
	}
	return es
}

// store tries again while the disk is full: an alert that was raised is not dropped.
func (k *keeper) store(ctx context.Context, es []outbox.Entry) error {
	for told := false; ; told = true {
		err := k.app.store.Store(ctx, es)
		if err == nil {
			k.app.stored.Add(uint64(len(es)))
			k.app.monitor.stored(es)
			return nil
		}
		if !errors.Is(err, outbox.ErrFull) {
			return err
		}
		if !told {
			k.app.log.Error("alerts cannot be stored: the capture waits until there is room", "alerts", len(es), "error", err)
		}
		time.Sleep(keepRetry)
	}
}

// Flows runs the checks on a block and hands on what they raised.
func (c *checked) Flows(b *flow.Block) error {
	if err := c.Engine.Flows(b); err != nil {
		return err
	}
	return c.keep.flush()
}

// Hosts runs the host checks and hands on what they raised.
func (c *checked) Hosts(b *flow.HostBatch) error {
	if err := c.Engine.Hosts(b); err != nil {
		return err
	}
	return c.keep.flush()
}
