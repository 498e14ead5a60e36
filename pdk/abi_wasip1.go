//go:build wasip1

package pdk

import (
	"errors"
	"unsafe"
)

//go:wasmimport extism:host/env input_length
func hostInputLength() uint64

// The three functions of tocsin's own move a whole text at once. With Extism's own, which move 8 bytes, half of the time
// of rendering ten alerts goes into calls of the host.

//go:wasmimport tocsin:host/env input_read
func hostInputRead(p unsafe.Pointer, n uint32)

//go:wasmimport tocsin:host/env output_write
func hostOutputWrite(p unsafe.Pointer, n uint32)

//go:wasmimport tocsin:host/env error_write
func hostErrorWrite(text string)

//go:wasmexport render
func exportRender() int32 { return export(ExportRender) }

//go:wasmexport classify
func exportClassify() int32 { return export(ExportClassify) }

//go:wasmexport lint
func exportLint() int32 { return export(ExportLint) }

//go:wasmexport probe
func exportProbe() int32 { return export(ExportProbe) }

// The texts of the last call, whose room the next one uses. A module serves one call at a time.
var input, output []byte

// maxKept bounds what is kept of them, in bytes: a large batch is rare, and memory is short.
const maxKept = 256 << 10

func export(name string) int32 {
	if served == nil {
		hostErrorWrite("the module did not call pdk.Serve in an init function")
		return CodeFailed
	}
	n := int(hostInputLength())
	if cap(input) < n {
		input = make([]byte, n)
	}
	in := input[:n]
	hostInputRead(unsafe.Pointer(unsafe.SliceData(in)), uint32(n))
	out, err := served.appendCall(output[:0], name, in)
	if cap(input) > maxKept {
		input = nil
	}
	if output = out[:0]; cap(output) > maxKept {
		output = nil
	}
	if errors.Is(err, ErrNotOffered) {
		return CodeNotOffered
	}
	if err != nil {
		hostErrorWrite(err.Error())
		return CodeFailed
	}
	hostOutputWrite(unsafe.Pointer(unsafe.SliceData(out)), uint32(len(out)))
	return CodeOK
}
