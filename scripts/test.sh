#!/usr/bin/env bash
# Sets up .venv where needed, then runs lint, types, doctests and tests; arguments go to pytest.
#   scripts/test.sh [arguments]
#   scripts/test.sh --keras 3.12.0 [arguments]   the core tests alone, with another version of Keras
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
keras=
if [ "${1:-}" = --keras ]; then
    if ! [[ ${2:-} =~ ^3(\.[0-9]+){1,2}$ ]]; then
        echo "test: --keras must be a version of Keras 3, such as 3.12.0. Received: ${2:-nothing}" >&2
        exit 2
    fi
    keras=$2
    shift 2
fi
"$root/scripts/setup_env.sh" test
unset PYTHONHOME PYTHONPATH
export KERAS_BACKEND=tensorflow TF_CPP_MIN_LOG_LEVEL=3 PYTHONNOUSERSITE=1

cd "$root"
python=.venv/bin/python
# One process a core; a file stays in one, since its tests share fixtures. In the given order the
# quick doctests come last, so that no core waits for another.
pytest=("$python" -m pytest --numprocesses logical --dist loadfile --no-loadscope-reorder)

if [ -n "$keras" ]; then
    folder=$root/build/keras-$keras
    if ! [ -d "$folder/keras" ]; then
        "$python" -m pip install --quiet --disable-pip-version-check --no-deps \
            --target "$folder" "keras==$keras"
    fi
    export PYTHONPATH=$folder
    "$python" -c 'import keras; print("Keras", keras.__version__)'
    exec "${pytest[@]}" -m "not newest_keras" \
        tests/keras_graph tests/wrapping tests/layer_classes tests/sparsity tests/pruning "$@"
fi

"$python" -m flake8
"$python" -m isort --check-only --quiet models scripts setup.py tests tfprune
"$python" -m mypy tfprune
.venv/bin/lint-imports --no-cache --no-logo
exec "${pytest[@]}" "$@"
