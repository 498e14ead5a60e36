package report

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/mattn/go-runewidth"
)

// Status is what a progress line shows.
type Status struct {
	Packets, Flows, Alerts uint64
	Done, Total            int64 // bytes read and to read; Total 0 if unknown
	Note                   string
}

// every is how often a progress line is drawn.
const every = 200 * time.Millisecond

// Progress draws one line on a terminal, over and over. A nil Progress draws nothing. Safe for concurrent use.
type Progress struct {
	w     io.Writer
	width int
	start time.Time

	mu    sync.Mutex // mu guards what follows
	last  time.Time
	shown bool
}

// NewProgress makes a progress line on w, a terminal of the given width; with show false it gives nil.
func NewProgress(w io.Writer, width int, show bool) *Progress {
	if !show {
		return nil
	}
	return &Progress{w: w, width: max(width, 40), start: time.Now()}
}

// Update redraws the line if it is time to; it costs little when it is not.
func (p *Progress) Update(s Status) {
	if p == nil {
		return
	}
	now := time.Now()
	p.mu.Lock()
	defer p.mu.Unlock()
	if now.Sub(p.last) < every {
		return
	}
	p.last, p.shown = now, true
	line := runewidth.Truncate(s.line(now.Sub(p.start)), p.width-1, "…")
	_, _ = fmt.Fprintf(p.w, "\r\x1b[K%s", line) // a lost progress line is no loss
}

// Clear removes the line, so that something else can be printed.
func (p *Progress) Clear() {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.shown {
		_, _ = io.WriteString(p.w, "\r\x1b[K")
		p.shown = false
	}
}

func (s Status) line(took time.Duration) string {
	parts := []string{Count(s.Packets) + " packets", Count(s.Flows) + " flows", Count(s.Alerts) + " alerts"}
	sec := took.Seconds()
	if sec > 0.2 && s.Packets > 0 {
		parts = append(parts, Count(uint64(float64(s.Packets)/sec))+" packets/s")
	}
	if s.Total > 0 {
		share := min(1, float64(s.Done)/float64(s.Total))
		parts = append(parts, fmt.Sprintf("%d %%", int(100*share)))
		if share > 0.01 && share < 1 && sec > 0.2 {
			left := time.Duration(sec*(1-share)/share*1e9) * time.Nanosecond
			parts = append(parts, left.Round(time.Second).String()+" left")
		}
	}
	if s.Note != "" {
		parts = append(parts, s.Note)
	}
	return strings.Join(parts, " · ")
}

// Count writes a number with thousands separated, as in 1,234,567.
func Count(n uint64) string {
	s := strconv.FormatUint(n, 10)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}

// Bytes writes a number of bytes with a unit, as in 1.4 MB (powers of 1000).
func Bytes(n uint64) string {
	const units = "kMGTPE"
	if n < 1000 {
		return strconv.FormatUint(n, 10) + " B"
	}
	v, u := float64(n)/1000, 0
	for v >= 999.95 && u < len(units)-1 {
		v, u = v/1000, u+1
	}
	return fmt.Sprintf("%.1f %cB", v, units[u])
}
