package sandbox

import (
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
)

const (
	envModule  = "extism:host/env"
	ourModule  = "tocsin:host/env" // of the same length, so that an import is renamed in place
	wasiModule = "wasi_snapshot_preview1"
)

// prepare copies a module for the compiler: custom sections other than the names of functions, by which a crash is
// explained, are left out, since they are the package's affair and would make a compiled module's cache key depend on its
// translations; and the imports of Extism's environment are renamed to ours. It refuses imports that this host does not
// have. The second result tells whether the module has a memory.
func prepare(plugin string, wasm []byte) (module []byte, memory bool, err error) {
	bad := func(format string, a ...any) error {
		return &CompileError{Plugin: plugin, Reason: fmt.Sprintf(format, a...)}
	}
	if len(wasm) < 8 || string(wasm[:4]) != "\x00asm" {
		return nil, false, bad("this is no WebAssembly module")
	}
	if v := binary.LittleEndian.Uint32(wasm[4:]); v != 1 {
		if v>>16 == 1 {
			return nil, false, bad("this is a WebAssembly component; build a core module instead (for Rust: target wasm32-wasip1, not wasm32-wasip2)")
		}
		return nil, false, bad("this is WebAssembly of version %d; this host runs version 1", v)
	}
	out := append(make([]byte, 0, len(wasm)), wasm[:8]...)
	for pos := 8; pos < len(wasm); {
		start, id := pos, wasm[pos]
		size, n := uleb32(wasm[pos+1:])
		body := pos + 1 + n
		if n == 0 || uint64(body)+uint64(size) > uint64(len(wasm)) {
			return nil, false, bad("the section at byte %d is longer than the file, which may have been cut off", start)
		}
		end := body + int(size)
		pos = end
		switch id {
		case 0:
			if length, n := uleb32(wasm[body:end]); n != 1 || length != 4 || string(wasm[body+n:min(end, body+n+4)]) != "name" {
				continue
			}
		case 2:
			from := len(out) + body - start
			out = append(out, wasm[start:end]...)
			if err := rename(out[from:], bad); err != nil {
				return nil, false, err
			}
			continue
		case 5:
			count, _ := uleb32(wasm[body:end])
			memory = count > 0
		}
		out = append(out, wasm[start:end]...)
	}
	return out, memory, nil
}

// rename checks the imports in the body of an import section and renames those of Extism's environment, in place.
func rename(b []byte, bad func(string, ...any) error) error {
	cut := func() error { return bad("the import section is damaged") }
	pos := 0
	num := func() (uint32, bool) {
		v, n := uleb32(b[pos:])
		pos += n
		return v, n > 0
	}
	text := func() ([]byte, bool) {
		n, ok := num()
		if !ok || uint64(n) > uint64(len(b)-pos) {
			return nil, false
		}
		pos += int(n)
		return b[pos-int(n) : pos], true
	}
	count, ok := num()
	if !ok {
		return cut()
	}
	for range count {
		module, ok1 := text()
		name, ok2 := text()
		if !ok1 || !ok2 || pos >= len(b) {
			return cut()
		}
		kind := b[pos]
		pos++
		m, f := string(module), string(name)
		if kind != 0 {
			return bad("it imports %s %q.%q; a plug-in brings its own", importKinds[min(int(kind), 4)], clip(m), clip(f))
		}
		if _, ok := num(); !ok { // the type's index, which the compiler checks
			return cut()
		}
		switch {
		case m == wasiModule:
			if !slices.Contains(wasiFunctions, f) {
				return bad("it imports the function %q of WASI preview 1, which has no such function", clip(f))
			}
		case m == envModule:
			if _, ok := envTypes[f]; !ok {
				return bad("it imports %q from %s, which this version of tocsin does not have%s", clip(f), m, nearest(f))
			}
			copy(module, ourModule)
		case m == ourModule:
			if _, ok := bulkTypes[f]; !ok {
				return bad("it imports %q from %s, which this version of tocsin does not have", clip(f), m)
			}
		case strings.HasPrefix(m, "wasi"):
			return bad("it imports from %q; build it for WASI preview 1 (wasip1) or without WASI", clip(m))
		default:
			return bad("it imports %q from %q, which this version of tocsin does not have; a plug-in may import from %s and %s only",
				clip(f), clip(m), envModule, wasiModule)
		}
	}
	return nil
}

var importKinds = [...]string{"the function", "the table", "the memory", "the global", "something unknown,"}

// wasiFunctions are the functions of WASI preview 1. Those for files and sockets answer EBADF, as nothing is open.
var wasiFunctions = strings.Fields(`args_get args_sizes_get environ_get environ_sizes_get clock_res_get clock_time_get
	fd_advise fd_allocate fd_close fd_datasync fd_fdstat_get fd_fdstat_set_flags fd_fdstat_set_rights fd_filestat_get
	fd_filestat_set_size fd_filestat_set_times fd_pread fd_prestat_dir_name fd_prestat_get fd_pwrite fd_read fd_readdir
	fd_renumber fd_seek fd_sync fd_tell fd_write path_create_directory path_filestat_get path_filestat_set_times
	path_link path_open path_readlink path_remove_directory path_rename path_symlink path_unlink_file poll_oneoff
	proc_exit proc_raise random_get sched_yield sock_accept sock_recv sock_send sock_shutdown`)

// uleb32 reads an unsigned LEB128 number of at most 32 bits and its length in bytes, 0 if there is none.
func uleb32(b []byte) (v uint32, n int) {
	for ; n < 5 && n < len(b); n++ {
		c := b[n]
		if n == 4 && c > 0x0f {
			return 0, 0
		}
		v |= uint32(c&0x7f) << (7 * n)
		if c&0x80 == 0 {
			return v, n + 1
		}
	}
	return 0, 0
}

// clip makes a name from a module fit for a message.
func clip(s string) string {
	if len(s) > 64 {
		s = s[:64] + "…"
	}
	return strings.ToValidUTF8(s, "\ufffd")
}

// nearest suggests a function for a misspelt one.
func nearest(f string) string {
	for name := range envTypes {
		if len(f) > 3 && (strings.HasPrefix(name, f) || strings.HasPrefix(f, name)) {
			return fmt.Sprintf(" (it has %q)", name)
		}
	}
	return ""
}
