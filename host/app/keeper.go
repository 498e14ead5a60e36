package app

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/tocsin-net/tocsin/capture/flow"
	"github.com/tocsin-net/tocsin/host/alert"
	"github.com/tocsin-net/tocsin/host/outbox"
)

const (
	keepQueue  = 64   // batches waiting for the disk; then the capture waits
	keepBatch  = 1024 // alerts in one transaction
	keepRetry  = time.Second
	keepMemory = 100_000 // alerts held while the disk is full
	keepTell   = time.Minute
)

// keeper stores alerts as the checks raise them, beside the capture: the capture waits for the disk only when the disk is
// far behind. While the disk is full alerts wait in memory, and the capture goes on; when that is full too, the oldest of
// the lowest severity are dropped and counted; the counts of their deliveries are stored with the rest once there is room.
// Alerts are given to it by one goroutine.
type keeper struct {
	app   *App
	link  func(*alert.Alert) string
	batch []*alert.Alert
	queue chan []*alert.Alert
	done  chan struct{}
	err   error // set before done is closed

	// What follows is for run only.
	most  int // alerts held while the disk is full
	wait  []outbox.Entry
	ended bool                    // the queue is closed
	drops map[dropped]outbox.Drop // their deliveries
	lost  int                     // alerts dropped since the disk is full
	told  time.Time               // when the log last said that the disk is full; zero: it is not
}

type dropped struct {
	recipient string
	severity  alert.Severity
}

// newKeeper starts a keeper. When ctx ends it still stores all it is given, but waits for a full disk no longer than a
// stop may take.
func newKeeper(ctx context.Context, a *App) *keeper {
	k := &keeper{
		app: a, link: a.cfg.Linker(), queue: make(chan []*alert.Alert, keepQueue), done: make(chan struct{}), most: keepMemory,
		drops: map[dropped]outbox.Drop{},
	}
	go k.run(ctx)
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

// run stores what comes until the queue is closed; batches that wait share a transaction.
func (k *keeper) run(ctx context.Context) {
	defer close(k.done)
	for {
		if len(k.wait) == 0 {
			batch, ok := <-k.queue
			if !ok {
				k.err = errors.Join(k.err, k.noteDrops())
				return
			}
			k.wait = k.entries(k.wait, batch)
		}
		for more := !k.ended; more && len(k.wait) < keepBatch; {
			select {
			case batch, ok := <-k.queue:
				k.ended, more = !ok, ok
				k.wait = k.entries(k.wait, batch)
			default:
				more = false
			}
		}
		switch err := k.store(); {
		case errors.Is(err, outbox.ErrFull):
			if k.err = k.pause(ctx, err); k.err != nil {
				return
			}
		case err != nil:
			k.err = err
			return
		}
	}
}

func (k *keeper) entries(es []outbox.Entry, alerts []*alert.Alert) []outbox.Entry {
	now := time.Now()
	for _, a := range alerts {
		a.Link = k.link(a)
		es = append(es, outbox.Entry{Alert: a, Targets: k.app.router.Route(a, now)})
	}
	return es
}

// store puts what has waited longest on disk. An alert that was raised is stored even if the time to stop has come.
func (k *keeper) store() error {
	es := k.wait[:min(len(k.wait), keepBatch)]
	if err := k.app.store.Store(context.Background(), es); err != nil {
		return err
	}
	k.app.stored.Add(uint64(len(es)))
	k.app.monitor.stored(es)
	if k.wait = k.wait[len(es):]; len(k.wait) == 0 {
		k.wait = nil // it may have grown large
	}
	if k.told.IsZero() {
		return nil
	}
	k.told = time.Time{}
	if k.lost > 0 {
		k.app.log.Error("alerts are stored again; there was no memory for all of them", "waiting", len(k.wait), "dropped", k.lost)
	} else {
		k.app.log.Info("alerts are stored again", "waiting", len(k.wait))
	}
	k.lost = 0
	return k.noteDrops()
}

// noteDrops stores how many deliveries went with the alerts that were dropped.
func (k *keeper) noteDrops() error {
	if err := k.app.store.AddDropped(context.Background(), slices.Collect(maps.Values(k.drops))); err != nil {
		return err
	}
	clear(k.drops)
	return nil
}

// pause is for a full disk: it takes what the capture raises into memory for a while. It fails once ctx has been done for
// as long as a stop may take.
func (k *keeper) pause(ctx context.Context, full error) error {
	if time.Since(k.told) > keepTell {
		k.app.log.Error("alerts cannot be stored and wait in memory", "waiting", len(k.wait), "dropped", k.lost, "error", full)
		k.told = time.Now()
	}
	retry := time.NewTimer(keepRetry)
	defer retry.Stop()
	queue := k.queue
	if k.ended {
		queue = nil
	}
	stop := ctx.Done()
	var late <-chan time.Time
	for {
		select {
		case <-retry.C:
			if late == nil {
				return nil
			}
			// The last tries of all.
			switch err := k.store(); {
			case err == nil:
				return nil
			case !errors.Is(err, outbox.ErrFull):
				return err
			}
			retry.Reset(keepRetry)
		case batch, ok := <-queue:
			if !ok {
				k.ended, queue = true, nil
			}
			k.wait = k.entries(k.wait, batch)
			k.thin()
		case <-stop:
			stop = nil
			late = time.After(time.Duration(k.app.cfg.Delivery.DrainTimeout))
		case <-late:
			return fmt.Errorf("%d alerts are lost, and %d were dropped before: %w", len(k.wait), k.lost, full)
		}
	}
}

// thin drops alerts beyond what may wait in memory: the oldest of the lowest severity. Some slack makes it cheap.
func (k *keeper) thin() {
	over := len(k.wait) - k.most
	if over <= k.most/64 {
		return
	}
	var of [int(alert.Emergency) + 1]int
	for _, e := range k.wait {
		of[e.Alert.Severity]++
	}
	now := time.Now()
	for sev := range of {
		of[sev] = min(of[sev], over) // from here on: how many go
		over -= of[sev]
	}
	k.wait = slices.DeleteFunc(k.wait, func(e outbox.Entry) bool {
		sev := e.Alert.Severity
		if of[sev] == 0 {
			return false
		}
		of[sev]--
		k.lost++
		for _, t := range e.Targets {
			key := dropped{t.Recipient, sev}
			d := k.drops[key]
			if d.N == 0 {
				d = outbox.Drop{Recipient: t.Recipient, Severity: sev, First: now}
			}
			d.N, d.Last = d.N+1, now
			k.drops[key] = d
		}
		return true
	})
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
