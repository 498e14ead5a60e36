package sandbox

import (
	"context"
	"encoding/binary"
	"log/slog"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	extism "github.com/extism/go-sdk"
	"github.com/tetratelabs/wazero/api"
)

const (
	i32 = extism.ValueTypeI32
	i64 = extism.ValueTypeI64
)

// signature is the type of a host function.
type signature struct {
	params, results []extism.ValueType
}

// envTypes are the functions of "extism:host/env" with their types: those of Extism's kernel 1.x that its PDKs import.
var envTypes = map[string]signature{
	"alloc":            {[]byte{i64}, []byte{i64}},
	"free":             {[]byte{i64}, nil},
	"length":           {[]byte{i64}, []byte{i64}},
	"length_unsafe":    {[]byte{i64}, []byte{i64}},
	"load_u8":          {[]byte{i64}, []byte{i32}},
	"load_u64":         {[]byte{i64}, []byte{i64}},
	"store_u8":         {[]byte{i64, i32}, nil},
	"store_u64":        {[]byte{i64, i64}, nil},
	"input_length":     {nil, []byte{i64}},
	"input_offset":     {nil, []byte{i64}},
	"input_set":        {[]byte{i64, i64}, nil},
	"input_load_u8":    {[]byte{i64}, []byte{i32}},
	"input_load_u64":   {[]byte{i64}, []byte{i64}},
	"output_set":       {[]byte{i64, i64}, nil},
	"output_length":    {nil, []byte{i64}},
	"output_offset":    {nil, []byte{i64}},
	"error_set":        {[]byte{i64}, nil},
	"error_get":        {nil, []byte{i64}},
	"reset":            {nil, nil},
	"memory_bytes":     {nil, []byte{i64}},
	"config_get":       {[]byte{i64}, []byte{i64}},
	"var_get":          {[]byte{i64}, []byte{i64}},
	"var_set":          {[]byte{i64, i64}, nil},
	"http_request":     {[]byte{i64, i64}, []byte{i64}},
	"http_status_code": {nil, []byte{i32}},
	"http_headers":     {nil, []byte{i64}},
	"get_log_level":    {nil, []byte{i32}},
	"log_trace":        {[]byte{i64}, nil},
	"log_debug":        {[]byte{i64}, nil},
	"log_info":         {[]byte{i64}, nil},
	"log_warn":         {[]byte{i64}, nil},
	"log_error":        {[]byte{i64}, nil},
}

// bulkTypes are the functions of "tocsin:host/env": they move a whole text between the guest's memory and the host.
var bulkTypes = map[string]signature{
	"input_read":   {[]byte{i32, i32}, nil},
	"output_write": {[]byte{i32, i32}, nil},
	"error_write":  {[]byte{i32, i32}, nil},
}

// env is what the host functions work on: the blocks that host and guest exchange during one call of one instance. The
// guest addresses them by offsets into arena. Offset 0 is no block.
type env struct {
	arena  []byte
	blocks []block // in order of offset
	limit  int     // of the arena, in bytes

	guest     api.Module // the SDK does not give it out; the watched functions do
	hasMemory bool       // the guest has a memory of its own
	stopped   error      // why a host function stopped the call

	input, output, failure block
	outputSet              bool

	budget   int // host calls left
	deadline time.Time
	export   string // being called, for messages
	plugin   string
	logs     *guestLog
}

type block struct{ at, size uint64 }

// firstBlock keeps offset 0 free and everything aligned to 8 bytes.
const firstBlock = 8

// begin makes the arena ready for a call with this input.
func (e *env) begin(export string, input []byte, limit, budget int, deadline time.Time) {
	e.arena = append(e.arena[:0], make([]byte, firstBlock)...)
	e.blocks = e.blocks[:0]
	e.limit = limit + len(input)
	e.output, e.failure, e.outputSet, e.stopped = block{}, block{}, false, nil
	e.budget, e.deadline, e.export = budget, deadline, export
	e.input = block{firstBlock, uint64(len(input))}
	e.blocks = append(e.blocks, e.input)
	e.arena = append(e.arena, input...)
	e.arena = append(e.arena, make([]byte, 8+-len(e.arena)&7)...) // no two blocks begin at one offset
}

// charge counts a host call. The clock is looked at now and then: host calls are the only place where a guest that calls
// the host in a loop can be stopped by time.
func (e *env) charge() {
	e.budget--
	if e.budget <= 0 {
		e.stop(&FuelError{e.plugin, e.export, "host calls"})
	}
	if e.budget&0x3ff == 0 {
		e.clock()
	}
}

func (e *env) clock() {
	if time.Now().After(e.deadline) {
		e.stop(&FuelError{e.plugin, e.export, "time"})
	}
}

// stop ends the guest's call. The panic becomes the call's error, which the SDK may turn into text; so err is kept here.
func (e *env) stop(err error) {
	e.stopped = err
	panic(err)
}

func (e *env) trap(reason string) {
	e.stop(&TrapError{Plugin: e.plugin, Export: e.export, Reason: reason})
}

// bytes gives n bytes at an offset of the arena.
func (e *env) bytes(at, n uint64) []byte {
	if at < firstBlock || at > uint64(len(e.arena)) || n > uint64(len(e.arena))-at {
		e.trap("it used memory of the host that it does not own")
	}
	return e.arena[at : at+n]
}

func (e *env) alloc(n uint64) uint64 {
	at := uint64(len(e.arena))
	if n > uint64(e.limit) || at+n > uint64(e.limit) || len(e.blocks) >= 1<<16 {
		e.trap("it asked for more of the host's memory than a call may have")
	}
	e.arena = append(e.arena, make([]byte, (n+7)&^7)...)
	e.blocks = append(e.blocks, block{at, n})
	return at
}

func (e *env) find(at uint64) (int, bool) {
	return slices.BinarySearchFunc(e.blocks, at, func(b block, at uint64) int {
		switch {
		case b.at < at:
			return -1
		case b.at > at:
			return 1
		}
		return 0
	})
}

func (e *env) length(at uint64) uint64 {
	if i, ok := e.find(at); ok {
		return e.blocks[i].size
	}
	return 0
}

// memory gives n bytes of the guest's own memory.
func (e *env) memory(at, n uint64) []byte {
	e.budget -= int(uint32(n) >> 6) // copying takes time too
	if e.budget&^0xffff == 0 || uint32(n) > 1<<16 {
		e.clock()
	}
	if e.guest == nil || !e.hasMemory {
		e.trap("it has no memory of its own that the host could read")
	}
	b, ok := e.guest.Memory().Read(uint32(at), uint32(n))
	if !ok {
		e.trap("it named a place outside of its memory")
	}
	return b
}

// keep copies guest memory into a new block.
func (e *env) keep(at, n uint64) block {
	b := e.memory(at, n)
	dst := block{e.alloc(uint64(len(b))), uint64(len(b))}
	copy(e.arena[dst.at:], b)
	return dst
}

// free forgets a block. Its memory is used again only if it is the last one, which serves the usual pattern of a log
// line: allocate, fill, log, free.
func (e *env) free(at uint64) {
	i, ok := e.find(at)
	if !ok || at == e.input.at {
		return
	}
	if i == len(e.blocks)-1 && at != e.output.at && at != e.failure.at {
		e.arena = e.arena[:at]
	}
	e.blocks = slices.Delete(e.blocks, i, i+1)
}

// envKey finds the env of the instance that calls. The SDK's host functions get nothing else that is the instance's own.
type envKey struct{}

// envFunctions makes the host functions for one compiled module.
func envFunctions() []extism.HostFunction {
	type fn = func(e *env, s []uint64)
	logger := func(l slog.Level) fn {
		return func(e *env, s []uint64) {
			e.logs.line(l, e.bytes(s[0], e.length(s[0])))
			e.free(s[0])
		}
	}
	impl := map[string]fn{
		"alloc":          func(e *env, s []uint64) { s[0] = e.alloc(s[0]) },
		"free":           func(e *env, s []uint64) { e.free(s[0]) },
		"length":         func(e *env, s []uint64) { s[0] = e.length(s[0]) },
		"length_unsafe":  func(e *env, s []uint64) { s[0] = e.length(s[0]) },
		"load_u8":        func(e *env, s []uint64) { s[0] = uint64(e.bytes(s[0], 1)[0]) },
		"load_u64":       func(e *env, s []uint64) { s[0] = binary.LittleEndian.Uint64(e.bytes(s[0], 8)) },
		"store_u8":       func(e *env, s []uint64) { e.bytes(s[0], 1)[0] = byte(s[1]) },
		"store_u64":      func(e *env, s []uint64) { binary.LittleEndian.PutUint64(e.bytes(s[0], 8), s[1]) },
		"input_length":   func(e *env, s []uint64) { s[0] = e.input.size },
		"input_offset":   func(e *env, s []uint64) { s[0] = e.input.at },
		"input_set":      func(e *env, s []uint64) { e.bytes(s[0], s[1]); e.input = block{s[0], s[1]} },
		"input_load_u8":  func(e *env, s []uint64) { s[0] = uint64(e.bytes(e.inputAt(s[0], 1), 1)[0]) },
		"input_load_u64": func(e *env, s []uint64) { s[0] = binary.LittleEndian.Uint64(e.bytes(e.inputAt(s[0], 8), 8)) },
		"output_set":     func(e *env, s []uint64) { e.output, e.outputSet = block{s[0], s[1]}, true },
		"output_length":  func(e *env, s []uint64) { s[0] = e.output.size },
		"output_offset":  func(e *env, s []uint64) { s[0] = e.output.at },
		"error_set":      func(e *env, s []uint64) { e.failure = block{s[0], e.length(s[0])} },
		"error_get":      func(e *env, s []uint64) { s[0] = e.failure.at },
		"reset":          func(e *env, s []uint64) { e.output, e.failure, e.outputSet = block{}, block{}, false },
		"memory_bytes":   func(e *env, s []uint64) { s[0] = uint64(len(e.arena)) },
		"config_get":     func(e *env, s []uint64) { s[0] = 0 },
		"var_get":        func(e *env, s []uint64) { s[0] = 0 },
		"var_set":        func(e *env, _ []uint64) { e.trap("it set a variable; a plug-in keeps nothing between calls") },
		"http_request": func(e *env, _ []uint64) {
			e.trap("it made an HTTP request; a plug-in returns requests, and the host makes them")
		},
		"http_status_code": func(_ *env, s []uint64) { s[0] = 0 },
		"http_headers":     func(_ *env, s []uint64) { s[0] = 0 },
		"get_log_level":    func(e *env, s []uint64) { s[0] = e.logs.extismLevel() },
		"log_trace":        logger(slog.LevelDebug - 4),
		"log_debug":        logger(slog.LevelDebug),
		"log_info":         logger(slog.LevelInfo),
		"log_warn":         logger(slog.LevelWarn),
		"log_error":        logger(slog.LevelError),
	}
	impl["input_read"] = func(e *env, s []uint64) { copy(e.memory(s[0], s[1]), e.bytes(e.input.at, e.input.size)) }
	impl["output_write"] = func(e *env, s []uint64) { e.output, e.outputSet = e.keep(s[0], s[1]), true }
	impl["error_write"] = func(e *env, s []uint64) { e.failure = e.keep(s[0], s[1]) }
	types := maps.Clone(envTypes)
	maps.Copy(types, bulkTypes)
	var out []extism.HostFunction
	for name, t := range types {
		f := impl[name]
		h := extism.NewHostFunctionWithStack(name, func(ctx context.Context, _ *extism.CurrentPlugin, stack []uint64) {
			e := ctx.Value(envKey{}).(*env)
			e.charge()
			f(e, stack)
		}, t.params, t.results)
		h.SetNamespace(ourModule)
		out = append(out, h)
	}
	return out
}

// inputAt turns an offset within the input into one of the arena. Reads of 8 bytes may run past the end, into padding.
func (e *env) inputAt(i, n uint64) uint64 {
	if i > e.input.size || n > 8 {
		e.trap("it read past the end of its input")
	}
	return e.input.at + i
}

// guestLog takes what a guest logs or writes to its standard error and output, up to a limit for each call.
type guestLog struct {
	log    *slog.Logger
	hide   func(string) string
	left   int    // bytes for this call
	cut    bool   // the limit was reached and reported
	tail   []byte // the last bytes written to standard error
	lost   bool   // there were more before the tail
	writes func() // is called for each write: counts it
}

const (
	maxTail = 4096 // of standard error, shown
	// margin is what is looked at beyond what is shown, so that no secret is cut in two before it is hidden. It is the longest
	// that a secret in a guest's text may be.
	margin = 16 << 10
)

func (g *guestLog) begin(limit int) {
	g.left, g.cut, g.tail, g.lost = limit, false, g.tail[:0], false
}

func (g *guestLog) line(l slog.Level, text []byte) {
	if !g.log.Enabled(context.Background(), l) {
		return
	}
	if g.left -= len(text) + 32; g.left < 0 {
		if !g.cut {
			g.cut = true
			g.log.Warn("the plug-in logs too much; the rest of this call is not shown")
		}
		return
	}
	g.log.Log(context.Background(), l, g.shown(text, 1024))
}

// placeholders finds what stands for a secret in the texts that guests get. It is no secret, but no business of who reads a log
// either.
var placeholders = regexp.MustCompile("tocsin-secret-[0-9a-f]{32}")

// secretless hides secrets and placeholders in a text.
func (g *guestLog) secretless(text string) string {
	text = g.hide(printable(g.hide(text))) // first those of several lines, then those with invisible characters between
	return placeholders.ReplaceAllString(text, "‹secret›")
}

// shown is a guest's text as it may be shown: without secrets, in one line of at most n bytes.
func (g *guestLog) shown(text []byte, n int) string {
	if len(text) <= n+margin {
		return clean(g.secretless(string(text)), n)
	}
	s := g.secretless(string(text[:n+margin]))
	return clean(s[:max(0, len(s)-margin)], n) // the end may be half a secret
}

// said is the end of what was written to standard error and output.
func (g *guestLog) said() string {
	s := g.secretless(string(g.tail))
	if g.lost {
		s = s[min(len(s), margin):] // the beginning may be half a secret
	}
	return clean(s[max(0, len(s)-maxTail):], maxTail)
}

// Write takes standard output and error. It never fails, so that a guest does not depend on how much is kept.
func (g *guestLog) Write(b []byte) (int, error) {
	n := len(b)
	if g.writes != nil {
		g.writes()
	}
	const most = maxTail + margin
	g.lost = g.lost || len(g.tail)+n > most
	b = b[max(0, n-most):]
	if over := len(g.tail) + len(b) - most; over > 0 {
		g.tail = g.tail[:copy(g.tail, g.tail[over:])]
	}
	g.tail = append(g.tail, b...)
	return n, nil
}

func (g *guestLog) extismLevel() uint64 {
	for i, l := range []slog.Level{slog.LevelDebug - 4, slog.LevelDebug, slog.LevelInfo, slog.LevelWarn} {
		if g.log.Enabled(context.Background(), l) {
			return uint64(i)
		}
	}
	return 4
}

// clean makes a guest's text one line without control characters, of at most n bytes.
func clean(s string, n int) string {
	if len(s) > n {
		s = s[:n] + "…"
	}
	return strings.TrimSpace(printable(s))
}

// printable is text on one line without control characters and marks that nobody sees, which could stand in the middle of a secret.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\t' || r == '\r':
			return ' '
		case r < ' ' || r >= 0x7f && r < 0xa0 || r == 0x2028 || r == 0x2029 || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069:
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, "\ufffd"))
}

func firstLine(s string) string {
	s, _, _ = strings.Cut(s, "\n")
	return s
}
