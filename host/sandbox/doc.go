// Package sandbox runs WebAssembly modules that nobody has to trust. It is the only importer of wazero and Extism's SDK.
// It knows bytes in and bytes out: what they mean is for package endpoint and others to say, and nothing here opens a
// file for a guest, or a socket, or tells it the time.
//
// Endpoint modules run on Extism's Go SDK, with one exception: the functions a guest imports from "extism:host/env" are
// ours (env.go), not the SDK's. The SDK keeps a guest's blocks in the memory of a small WebAssembly kernel and lets the
// guest write anywhere in it. A guest that overwrites the header of a block makes the kernel's next allocation loop for
// ever, outside of all metering. Ours hold the blocks in a Go slice, check every access, and are faster.
package sandbox
