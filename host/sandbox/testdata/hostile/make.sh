#!/bin/sh
# Makes the committed modules from their sources. It needs Debian's package wabt.
set -eu
cd "$(dirname "$0")"
for f in *.wat; do
	wat2wasm -o "${f%.wat}.wasm" "$f"
done
