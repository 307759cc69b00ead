#!/usr/bin/env bash
# Sets up .venv where needed, then runs lint, types, doctests and tests; arguments go to pytest.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
"$root/scripts/setup_env.sh" test
unset PYTHONHOME PYTHONPATH
export KERAS_BACKEND=tensorflow TF_CPP_MIN_LOG_LEVEL=3 PYTHONNOUSERSITE=1

cd "$root"
python=.venv/bin/python
"$python" -m flake8
"$python" -m isort --check-only --quiet models scripts setup.py tests tfprune
"$python" -m mypy tfprune
# One process a core; a file stays in one, since its tests share fixtures.
exec "$python" -m pytest --numprocesses logical --dist loadfile "$@"
