#!/bin/sh
# Makes the committed modules from their sources. It needs Debian's packages clang, lld and wabt.
set -eu
cd "$(dirname "$0")"
clang --target=wasm32 -O2 -nostdlib -fno-builtin -fno-vectorize -fno-slp-vectorize -Wl,--no-entry -o hostile/tight.wasm tight/tight.c
for f in hostile/*.wat; do
	wat2wasm -o "${f%.wat}.wasm" "$f"
done
