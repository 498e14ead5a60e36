package app

import (
	"context"
	"fmt"
	"time"
)

// countEvery is how often counters that the ledger does not have are written to it: `tocsin recipient list` shows them
// so late, and a crash loses so many.
const countEvery = 5 * time.Second

// foldFilters adds what the router has counted since the last call to the ledger's counters, in memory.
func (a *App) foldFilters() {
	a.foldMu.Lock()
	defer a.foldMu.Unlock()
	if a.folded == nil {
		a.folded = map[[2]string]uint64{}
	}
	for _, st := range a.router.Stats() {
		for filter, n := range st.Filtered {
			k := [2]string{st.Recipient, filter}
			if more := n - a.folded[k]; more > 0 {
				a.store.AddFiltered(st.Recipient, filter, more)
				a.folded[k] = n
			}
		}
	}
}

// startCounting writes the counters now and then, and once more when the service stops.
func (a *App) startCounting() {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(countEvery)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			a.foldFilters()
			if err := a.store.FlushUsage(ctx); err != nil && ctx.Err() == nil {
				a.log.Warn("the counters of recipients could not be written; trying again", "error", err)
			}
		}
	}()
	a.onStop(func(ctx context.Context) error {
		cancel()
		<-done
		a.foldFilters()
		if err := a.store.FlushUsage(ctx); err != nil {
			return fmt.Errorf("write the counters of recipients: %w", err)
		}
		return nil
	})
}
