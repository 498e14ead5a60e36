package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tocsin-net/tocsin/host/alert"
	"github.com/tocsin-net/tocsin/host/outbox"
)

// onSmallDisk starts a service whose data lies on a tmpfs that is about to be full, and gives what fills it.
func onSmallDisk(t *testing.T, sink *counter) (a *App, ballast string) {
	t.Helper()
	srv := httptest.NewServer(sink)
	t.Cleanup(srv.Close)
	cfg := configured(t, srv.URL)
	drop(t, cfg, batched(t, 100, "0s"))
	if err := os.MkdirAll(cfg.DataDir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mount("tmpfs", cfg.DataDir, "tmpfs", 0, "size=24m,mode=0700"); err != nil {
		t.Skipf("needs the right to mount a small tmpfs (root): %v", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(cfg.DataDir, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	a, err := New(t.Context(), Deps{Config: cfg, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := a.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return a, filepath.Join(cfg.DataDir, "ballast")
}

func fillDisk(t *testing.T, ballast string) {
	t.Helper()
	f, err := os.Create(ballast)
	if err != nil {
		t.Fatal(err)
	}
	for err == nil {
		_, err = f.Write(make([]byte, 4096))
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

// A full disk neither stops the capture nor loses what matters: alerts wait in memory, and beyond its bound the oldest of
// the lowest severity go, each counted. Once there is room the rest is stored and delivered.
func TestDiskFull(t *testing.T) {
	sink := &counter{mark: []byte(`"alert_id":`)}
	a, ballast := onSmallDisk(t, sink)
	fillDisk(t, ballast)
	k := newKeeper(t.Context(), a)
	k.most = 2000 // not yet in use: nothing was given to it
	const n = 10_000
	for i := range n { // far more than the queue holds: this would block for ever if the keeper waited for the disk
		al := benchAlert(i)
		al.Severity = alert.Severity(i % 9)
		k.add(al)
		if i%100 == 99 {
			if err := k.flush(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if a.Stored() > n/2 {
		t.Errorf("%d were stored on a full disk", a.Stored())
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	if err := k.close(); err != nil {
		t.Fatal(err)
	}
	drops, err := a.Ledger().Dropped(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var lost int64
	worst := alert.None
	for _, d := range drops {
		lost += d.N
		worst = max(worst, d.Severity)
	}
	if got := int64(a.Stored()) + lost; got != n || a.Stored() < 2000 || lost == 0 {
		t.Errorf("%d stored and %d dropped of %d", a.Stored(), lost, n)
	}
	if worst >= alert.Emergency {
		t.Errorf("dropped up to %s: %+v", worst, drops)
	}
	if err := a.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if left, _, err := a.WaitIdle(t.Context()); err != nil || left != 0 || sink.arrived.Load() != int64(a.Stored()) {
		t.Errorf("%d left, %d arrived of %d, %v", left, sink.arrived.Load(), a.Stored(), err)
	}
}

// A stop does not wait for a full disk for ever, and says what it costs.
func TestStopWithAFullDisk(t *testing.T) {
	a, ballast := onSmallDisk(t, &counter{mark: []byte(`"alert_id":`)})
	a.cfg.Delivery.DrainTimeout = 0
	fillDisk(t, ballast)
	ctx, stop := context.WithCancel(t.Context())
	k := newKeeper(ctx, a)
	for i := range 5000 {
		k.add(benchAlert(i))
	}
	if err := k.flush(); err != nil {
		t.Fatal(err)
	}
	stop()
	err := k.close()
	if !errors.Is(err, outbox.ErrFull) || !strings.Contains(err.Error(), fmt.Sprintf("%d alerts are lost, and 0 were dropped", 5000-a.Stored())) {
		t.Errorf("got %v", err)
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
}

// What must not fill memory is thinned out from below.
func TestThin(t *testing.T) {
	k := &keeper{most: 64, drops: map[dropped]outbox.Drop{}}
	begin := time.Now()
	for i := range 100 {
		al := benchAlert(i)
		al.Severity = []alert.Severity{alert.Error, alert.Notice, alert.Critical, alert.Debug}[i%4]
		k.wait = append(k.wait, outbox.Entry{Alert: al, Targets: []alert.Target{{Recipient: "a"}, {Recipient: "b"}}})
	}
	last := k.wait[97].Alert.ID // the youngest notice
	k.thin()
	of := map[alert.Severity]int{}
	kept := false
	for _, e := range k.wait {
		of[e.Alert.Severity]++
		kept = kept || e.Alert.ID == last
	}
	if len(k.wait) != 64 || of[alert.Error] != 25 || of[alert.Critical] != 25 || of[alert.Notice] != 14 || !kept {
		t.Errorf("%d left: %v", len(k.wait), of)
	}
	for _, name := range []string{"a", "b"} {
		if d := k.drops[dropped{name, alert.Notice}]; d.N != 11 || d.First.Before(begin) || k.drops[dropped{name, alert.Debug}].N != 25 {
			t.Errorf("drops of %s: %+v", name, k.drops)
		}
	}
	if k.lost != 36 { // alerts, each for two recipients
		t.Errorf("%d dropped in all", k.lost)
	}
	// Those that nobody gets would be stored, so they count, too.
	for i := range 64 {
		k.wait = append(k.wait, outbox.Entry{Alert: benchAlert(i)})
	}
	k.thin()
	if k.lost != 100 {
		t.Errorf("%d dropped in all", k.lost)
	}
}
