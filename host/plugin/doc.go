// Package plugin is the plug-in package: one .wasm file whose custom sections carry manifest, lint schema, templates,
// locales and vectors, or a folder with the same files. It reads, checks, packs and builds packages and never runs one.
package plugin
