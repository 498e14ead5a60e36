// Package build makes first-party plug-ins: it compiles plugins/<name> to WebAssembly with the go command and packs the
// module with manifests/<name>. Only development, the demo and tests need it; a running tocsin opens packages that are made.
package build
