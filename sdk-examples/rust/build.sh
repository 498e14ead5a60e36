#!/bin/sh
# Builds module.wasm. Needs Rust with the target wasm32-unknown-unknown: `rustup target add wasm32-unknown-unknown`, or, where
# there is no rustup, Debian's packages, which build the target's standard library from its source:
# apt-get install rustc-web cargo-web rust-web-src rust-web-llvm. TARGET_DIR names another folder for what cargo builds.
set -eu
cd "$(dirname "$0")"
target=wasm32-unknown-unknown
out="${TARGET_DIR:-target}"
if command -v cargo >/dev/null && command -v rustc >/dev/null && [ -d "$(rustc --print target-libdir --target $target)" ]; then
  cargo build --quiet --locked --release --target $target --target-dir "$out"
elif [ -x /usr/bin/cargo ] && [ -f /usr/lib/rustlib/src/rust/library/Cargo.lock ] && [ -x /usr/bin/rust-lld ]; then
  # -Zbuild-std is a switch that only a nightly compiler takes, or one that is told to bootstrap itself.
  RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1 /usr/bin/cargo build --quiet --locked --release --target $target --target-dir "$out" \
    -Zbuild-std=std,panic_abort
else
  echo 'build.sh: Rust for wasm32-unknown-unknown is missing: run "rustup target add wasm32-unknown-unknown", or on Debian:' >&2
  echo '  apt-get install rustc-web cargo-web rust-web-src rust-web-llvm' >&2
  exit 69
fi
cp "$out/$target/release/endpoint.wasm" module.wasm
