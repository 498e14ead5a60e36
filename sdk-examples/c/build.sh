#!/bin/sh
# Builds module.wasm. Needs clang and wasm-ld, on Debian: apt-get install clang lld. CC names another clang.
set -eu
cd "$(dirname "$0")"
CC="${CC:-clang}"
if ! command -v "$CC" >/dev/null || ! command -v wasm-ld >/dev/null; then
  echo 'build.sh: clang and wasm-ld are needed; on Debian and Ubuntu: apt-get install clang lld' >&2
  exit 69
fi
# A reactor without libc: no entry point, and nothing but its exports is kept. Copies become instructions (bulk memory).
"$CC" --target=wasm32-unknown-unknown -std=c11 -Os -Wall -Wextra -Werror -ffreestanding -nostdlib -mbulk-memory \
  -Wl,--no-entry -Wl,--strip-all -Wl,-z,stack-size=65536 -o module.wasm endpoint.c
