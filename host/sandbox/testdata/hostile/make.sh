#!/bin/sh
# Makes the committed modules from their sources. It needs Debian's package wabt. What no tool would write is a .wast: a script
# whose one module is given as bytes.
set -eu
cd "$(dirname "$0")"
for f in *.wat; do
	wat2wasm -o "${f%.wat}.wasm" "$f"
done
tmp=$(mktemp -d)
trap 'rm -r "$tmp"' EXIT
for f in *.wast; do
	wast2json -o "$tmp/x.json" "$f"
	mv "$tmp/x.0.wasm" "${f%.wast}.wasm"
done
