#!/bin/sh
# Builds module.wasm. Needs Go (https://go.dev/dl) and nothing else.
set -eu
cd "$(dirname "$0")"
command -v go >/dev/null || {
  echo 'build.sh: the go command is not in PATH; install Go from https://go.dev/dl' >&2
  exit 69
}
# c-shared makes a reactor: a module whose functions are called one by one, not a program with a main.
GOOS=wasip1 GOARCH=wasm CGO_ENABLED=0 go build -buildmode=c-shared -trimpath -buildvcs=false -ldflags='-s -w' -o module.wasm .
