// Package source reads packets from capture files: pcap, pcapng and gzip of either. It hands out descriptors that point
// into its own buffer and never looks inside a packet. Live capture belongs here too; decoding does not.
package source

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/klauspost/compress/gzip"
)

const (
	// BatchSize is how many descriptors a reader's caller should hand to Next: enough to spread the cost of the call, few
	// enough to stay in the first-level cache.
	BatchSize = 128

	bufSize    = 256 << 10 // one read(2); small enough for the second-level cache
	maxCapture = 1 << 20   // a captured packet longer than this is taken for damage; libpcap stops at 256 KiB
	maxBlock   = 16 << 20  // the same for a pcapng block that must be held whole
)

// Packet describes one captured packet.
type Packet struct {
	Data []byte // as captured; valid until the next call of Next
	Wire int    // length on the wire without a trailing checksum, at least len(Data)
	Time int64  // Unix nanoseconds
	Link uint16 // link type, https://www.tcpdump.org/linktypes.html
}

// Reader reads a capture. It is not safe for concurrent use.
type Reader struct {
	name   string
	in     io.Reader // the bytes of the capture, decompressed
	file   *os.File  // to close; nil if the caller owns the input
	raw    *counter
	size   int64
	zipped bool

	buf      []byte
	pos, end int   // buf[pos:end] is read and not yet parsed
	base     int64 // offset in the capture of buf[0]
	err      error // what the input answered last; the buffered bytes come first

	parse func(ps []Packet) (int, error)
	pcap  pcap
	ng    pcapng
}

// counter counts the bytes that an input gave, which is what progress is measured by.
type counter struct {
	r io.Reader
	n int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

// Open opens a capture file. The errors are those of NewReader and of os.Open.
func Open(path string) (*Reader, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	st, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, err
	}
	if st.IsDir() {
		f.Close()
		return nil, &FormatError{File: path, Found: "a folder"}
	}
	r, err := NewReader(f, path)
	if err != nil {
		f.Close()
		return nil, err
	}
	r.file = f
	if st.Mode()&fs.ModeType == 0 {
		r.size = st.Size()
	}
	return r, nil
}

// NewReader reads the capture in from its beginning; name stands for it in messages. Input that is no capture gives a
// *FormatError, a capture that ends within its header a *DamageError.
func NewReader(in io.Reader, name string) (*Reader, error) {
	r := &Reader{name: name, raw: &counter{r: in}, buf: make([]byte, bufSize)}
	r.in = r.raw
	if err := r.fill(24); err != nil {
		return nil, err
	}
	if head := r.buf[:r.end]; len(head) >= 2 && head[0] == 0x1f && head[1] == 0x8b {
		if err := r.unzip(); err != nil {
			return nil, err
		}
	}
	head := r.buf[:r.end]
	if ok, err := r.openPcap(head); ok || err != nil {
		return r, err
	}
	if ok, err := r.openPcapng(head); ok || err != nil {
		return r, err
	}
	if err := r.fill(describeLen); err != nil {
		return nil, err
	}
	return nil, &FormatError{File: name, Found: describe(r.buf[:min(r.end, describeLen)]), Gzip: r.zipped}
}

// unzip puts a decompressor behind what is buffered and starts over.
func (r *Reader) unzip() error {
	held := append([]byte(nil), r.buf[:r.end]...)
	rest := &replay{head: held, rest: r.raw}
	z, err := gzip.NewReader(bufio.NewReaderSize(rest, 64<<10))
	if err != nil {
		if errors.Is(err, gzip.ErrHeader) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return &FormatError{File: r.name, Found: "a broken gzip file"}
		}
		return fmt.Errorf("read %s: %w", r.name, err)
	}
	r.in, r.zipped = z, true
	r.pos, r.end, r.base, r.err = 0, 0, 0, nil
	return r.fill(24)
}

// replay gives head first and rest after it.
type replay struct {
	head []byte
	rest io.Reader
}

func (p *replay) Read(b []byte) (int, error) {
	if len(p.head) > 0 {
		n := copy(b, p.head)
		p.head = p.head[n:]
		return n, nil
	}
	return p.rest.Read(b)
}

// Next fills ps with the next packets and returns how many. It blocks only while it has none. After the last packet it
// returns io.EOF, a *DamageError, or another error if the input could not be read; packets and an error never come
// together.
func (r *Reader) Next(ps []Packet) (int, error) {
	if len(ps) == 0 {
		return 0, nil
	}
	return r.parse(ps)
}

// BytesRead is how much of the input was read, before decompression.
func (r *Reader) BytesRead() int64 { return r.raw.n }

// Size is the input's length in the unit of BytesRead, 0 if it is not known.
func (r *Reader) Size() int64 { return r.size }

// Name is the name the reader was opened with.
func (r *Reader) Name() string { return r.name }

// Close closes what Open opened.
func (r *Reader) Close() error {
	if r.file == nil {
		return nil
	}
	return r.file.Close()
}

// fill reads until n bytes are buffered or the input ends. A short buffer is no error here; only a failing input is.
func (r *Reader) fill(n int) error {
	if r.end-r.pos >= n {
		return nil
	}
	if r.pos > 0 {
		copy(r.buf, r.buf[r.pos:r.end])
		r.base += int64(r.pos)
		r.end -= r.pos
		r.pos = 0
	}
	if n > len(r.buf) {
		// Grown by what arrives, not by what a header claims, so that a lying length costs no memory.
		grown := make([]byte, min(n, 2*len(r.buf)))
		copy(grown, r.buf[:r.end])
		r.buf = grown
	}
	for empty := 0; r.end < n && r.err == nil; {
		if r.end == len(r.buf) {
			grown := make([]byte, min(max(n, len(r.buf)), 2*len(r.buf)))
			copy(grown, r.buf)
			r.buf = grown
		}
		m, err := r.in.Read(r.buf[r.end:])
		r.end += m
		if err != nil {
			r.err = err
		}
		if m > 0 {
			empty = 0
		} else if empty++; empty > 100 && err == nil {
			r.err = io.ErrNoProgress
		}
	}
	if r.end < n && !errors.Is(r.err, io.EOF) && r.damage() == "" {
		return fmt.Errorf("read %s: %w", r.name, r.err)
	}
	return nil
}

// skip drops n bytes without holding them. It reports how many were there.
func (r *Reader) skip(n int64) (int64, error) {
	var done int64
	for done < n {
		if r.pos == r.end {
			if err := r.fill(1); err != nil {
				return done, err
			}
			if r.pos == r.end {
				return done, nil
			}
		}
		m := min(int64(r.end-r.pos), n-done)
		r.pos += int(m)
		done += m
	}
	return done, nil
}

// damage says what is wrong with the compressed input, "" if nothing is.
func (r *Reader) damage() string {
	if !r.zipped || r.err == nil || errors.Is(r.err, io.EOF) {
		return ""
	}
	switch {
	case errors.Is(r.err, io.ErrUnexpectedEOF):
		return "the gzip file ends early"
	case errors.Is(r.err, gzip.ErrChecksum):
		return "the gzip checksum does not match"
	case errors.Is(r.err, gzip.ErrHeader):
		return "something that is not gzip follows the gzip data"
	}
	if _, ok := errors.AsType[*fs.PathError](r.err); ok {
		return ""
	}
	return "the gzip data is corrupt (" + r.err.Error() + ")"
}

// cut makes the error for a capture that ends within something; what is empty if it ended between two records.
func (r *Reader) cut(what string) error {
	reason := r.damage()
	switch {
	case reason == "" && what == "":
		return io.EOF
	case reason == "":
		reason = "the file ends within " + what
	case what != "":
		reason += ", within " + what
	}
	return &DamageError{File: r.name, Offset: r.base + int64(r.pos), Reason: reason, Gzip: r.zipped}
}

func (r *Reader) broken(format string, args ...any) error {
	return &DamageError{File: r.name, Offset: r.base + int64(r.pos), Reason: fmt.Sprintf(format, args...), Gzip: r.zipped}
}
