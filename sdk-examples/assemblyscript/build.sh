#!/bin/sh
# Builds module.wasm. Needs Node.js with npm, on Debian: apt-get install nodejs npm. The compiler comes from npm, in the
# versions that package-lock.json names.
set -eu
cd "$(dirname "$0")"
command -v npm >/dev/null || {
  echo 'build.sh: npm is not in PATH; install Node.js, on Debian and Ubuntu: apt-get install nodejs npm' >&2
  exit 69
}
[ -d node_modules ] || npm ci --silent --ignore-scripts --no-audit --no-fund --prefer-offline
npm run --silent build
