#!/usr/bin/env bash
# Sets up .venv where needed, then trains, prunes, exports and measures; options: --help
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
"$root/scripts/setup_env.sh" run
unset PYTHONHOME PYTHONPATH
export KERAS_BACKEND=tensorflow
PYTHONPATH=$root exec "$root/.venv/bin/python" -P -m scripts.quickstart "$@"
