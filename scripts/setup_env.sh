#!/usr/bin/env bash
# Makes .venv in the checkout and installs the package with its pinned dependencies.
#   scripts/setup_env.sh [run|test]   run: what the scripts need (default); test: run and the tests' needs
# For the tests it also installs the WebAssembly runtime where npm is found; they do without it.
# A second call with nothing changed returns at once.
set -euo pipefail

fail() {
    echo "setup_env: $*" >&2
    exit 2
}

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
extras=${1:-run}
case $extras in
    run) requirement="$root[data]" ;;
    test) requirement="$root[test]" ;;
    *) fail "the argument must be run or test. Received: $extras" ;;
esac
[ $# -le 1 ] || fail "at most one argument, run or test. Received: $*"

# Nothing of an environment that happens to be active may reach the one made here.
unset PYTHONHOME PYTHONPATH VIRTUAL_ENV PIP_CONSTRAINT PIP_PREFIX PIP_REQUIREMENT PIP_TARGET
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_USER=0 PYTHONNOUSERSITE=1

venv=$root/.venv
stamp=$venv/.setup-stamp
is_311='import sys; sys.exit(sys.version_info[:2] != (3, 11))'

# The stamp holds one line for each kind of set-up that this .venv satisfies.
fingerprint() {
    { echo "$root"; cat "$root/setup.cfg" "$root/constraints.txt"; } | cksum | tr -s ' ' '-'
}

# Without Node or a network the tests of WebAssembly are skipped, and nothing else fails.
set_up_wasm() {
    local said
    export NPM_CONFIG_FETCH_RETRIES=0 NPM_CONFIG_FETCH_TIMEOUT=60000  # milliseconds
    if ! command -v npm >/dev/null; then
        said="npm is not on the PATH"
    elif said=$(bash "$root/scripts/setup_wasm.sh" 2>&1); then
        return
    fi
    echo "setup_env: the WebAssembly tests will be skipped (${said%%$'\n'*})" >&2
}

if [ -x "$venv/bin/python" ] && grep -qsx "$extras $(fingerprint)" "$stamp"; then
    [ "$extras" = run ] || set_up_wasm
    exit 0
fi
rm -f "$stamp"

if ! "$venv/bin/python" -c "$is_311; import pip" >/dev/null 2>&1; then
    python=
    for candidate in python3.11 python3 python; do
        if "$candidate" -c "$is_311" >/dev/null 2>&1; then
            python=$candidate
            break
        fi
    done
    [ -n "$python" ] || fail "needs Python 3.11, and none of python3.11, python3, python is one"
    "$python" -c 'import ensurepip, venv' >/dev/null 2>&1 ||
        fail "$python has no venv module (on Debian and Ubuntu: apt install python3.11-venv)"
    echo "Making $venv"
    "$python" -m venv --clear "$venv"
fi

echo "Installing the pinned dependencies ($extras); the first time takes a few minutes"
quiet=--quiet
[ ! -t 1 ] || quiet=  # pip shows its progress on a terminal
pip_install() {
    "$venv/bin/python" -m pip install $quiet --constraint "$root/constraints.txt" "$@"
}
pip_install --upgrade pip setuptools wheel
PYTHONWARNINGS=ignore pip_install --no-build-isolation --editable "$requirement"

{
    echo "run $(fingerprint)"
    [ "$extras" = run ] || echo "test $(fingerprint)"
} >"$stamp"
[ "$extras" = run ] || set_up_wasm
