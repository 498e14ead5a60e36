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

func export(name string) int32 {
	if served == nil {
		hostErrorWrite("the module did not call pdk.Serve in an init function")
		return CodeFailed
	}
	in := make([]byte, hostInputLength())
	hostInputRead(unsafe.Pointer(unsafe.SliceData(in)), uint32(len(in)))
	out, err := served.Call(name, in)
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
