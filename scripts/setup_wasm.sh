#!/usr/bin/env bash
# Installs the pinned WebAssembly runtime in scripts/wasm/node_modules, for `tfprune bench --runtime wasm`.
# A second call with nothing changed returns at once.
set -euo pipefail

fail() {
    echo "setup_wasm: $*" >&2
    exit 2
}

[ $# -eq 0 ] || fail "takes no argument. Received: $*"
for tool in node npm; do
    command -v "$tool" >/dev/null || fail "needs Node 20 or later with npm, and $tool is not on the PATH"
done
major=$(node -p 'process.versions.node.split(".")[0]')
[ "$major" -ge 20 ] || fail "needs Node 20 or later. Received: $(node --version)"

cd "$(dirname "${BASH_SOURCE[0]}")/wasm"
stamp=node_modules/.setup-stamp
fingerprint=$(cat package.json package-lock.json | cksum)
if [ "$(cat "$stamp" 2>/dev/null)" != "$fingerprint" ]; then
    npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
    echo "$fingerprint" >"$stamp"
fi
