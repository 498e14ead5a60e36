//go:build wasip1

package pdk

import "errors"

// The imports are Extism's environment, so that a module runs in any Extism host. Memory that they name lies outside
// the module and is read and written 8 bytes at a time.

//go:wasmimport extism:host/env input_length
func hostInputLength() uint64

//go:wasmimport extism:host/env input_load_u64
func hostInputLoad64(offset uint64) uint64

//go:wasmimport extism:host/env input_load_u8
func hostInputLoad8(offset uint64) uint32

//go:wasmimport extism:host/env alloc
func hostAlloc(length uint64) uint64

//go:wasmimport extism:host/env store_u64
func hostStore64(offset, value uint64)

//go:wasmimport extism:host/env store_u8
func hostStore8(offset uint64, value uint32)

//go:wasmimport extism:host/env output_set
func hostOutputSet(offset, length uint64)

//go:wasmimport extism:host/env error_set
func hostErrorSet(offset uint64)

//go:wasmexport render
func exportRender() int32 { return export(ExportRender) }

//go:wasmexport classify
func exportClassify() int32 { return export(ExportClassify) }

//go:wasmexport lint
func exportLint() int32 { return export(ExportLint) }

//go:wasmexport probe
func exportProbe() int32 { return export(ExportProbe) }

func export(name string) int32 {
	if served == nil {
		hostErrorSet(hostStore([]byte("the module did not call pdk.Serve in an init function")))
		return CodeFailed
	}
	out, err := served.Call(name, hostInput())
	if errors.Is(err, ErrNotOffered) {
		return CodeNotOffered
	}
	if err != nil {
		hostErrorSet(hostStore([]byte(err.Error())))
		return CodeFailed
	}
	hostOutputSet(hostStore(out), uint64(len(out)))
	return CodeOK
}

func hostInput() []byte {
	n := hostInputLength()
	b := make([]byte, n)
	i := uint64(0)
	for ; i+8 <= n; i += 8 {
		v, p := hostInputLoad64(i), b[i:i+8:i+8]
		p[0], p[1], p[2], p[3] = byte(v), byte(v>>8), byte(v>>16), byte(v>>24)
		p[4], p[5], p[6], p[7] = byte(v>>32), byte(v>>40), byte(v>>48), byte(v>>56)
	}
	for ; i < n; i++ {
		b[i] = byte(hostInputLoad8(i))
	}
	return b
}

// hostStore copies b into a new block of the host's memory and gives its offset; 0, which is no block, for nothing.
func hostStore(b []byte) uint64 {
	if len(b) == 0 {
		return 0
	}
	at := hostAlloc(uint64(len(b)))
	i := 0
	for ; i+8 <= len(b); i += 8 {
		p := b[i : i+8 : i+8]
		hostStore64(at+uint64(i), uint64(p[0])|uint64(p[1])<<8|uint64(p[2])<<16|uint64(p[3])<<24|
			uint64(p[4])<<32|uint64(p[5])<<40|uint64(p[6])<<48|uint64(p[7])<<56)
	}
	for ; i < len(b); i++ {
		hostStore8(at+uint64(i), uint32(b[i]))
	}
	return at
}
