package deliver

import (
	"context"
	"sync"
	"time"
)

// lookAgain is how often a runner whose slots are all taken asks whether it may have more by now. A new version of a
// plug-in tells nobody in this package that it serves; its batch, rate and parallel are read when they are needed.
const lookAgain = time.Second

// slots bounds how many batches of an endpoint are under way. The bound is asked for each time, since the version of the
// plug-in that serves sets it: with a higher one more begin at once, with a lower one none begins until enough have ended, save one that waited for work already.
type slots struct {
	most func() int

	mu    sync.Mutex // mu guards what follows
	taken int
	freed chan struct{} // holds a signal when a slot was given back; one goroutine waits for it
}

func newSlots(most func() int) *slots {
	return &slots{most: most, freed: make(chan struct{}, 1)}
}

// take waits for a slot; false if ctx is done first. Only one goroutine may call it.
func (s *slots) take(ctx context.Context) bool {
	for ctx.Err() == nil {
		most := s.most()
		s.mu.Lock()
		free := s.taken < most
		if free {
			s.taken++
		}
		s.mu.Unlock()
		if free {
			return true
		}
		sleep(ctx, s.freed, lookAgain)
	}
	return false
}

// give ends what take began.
func (s *slots) give() {
	s.mu.Lock()
	s.taken--
	s.mu.Unlock()
	select {
	case s.freed <- struct{}{}:
	default:
	}
}
