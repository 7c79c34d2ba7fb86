#!/bin/sh
# Runs everything that needs a GPU and prints the figures for docs/gpu.md: sh tests/gpu/run.sh
set -eu
ROOT=$(cd "$(dirname "$0")/../.." && pwd)
. "$ROOT/tools/setup_env.sh"
cd "$ROOT"
"$PYTHON" -c 'import sys, torch; sys.exit(None if torch.cuda.is_available() else "mmvis: no CUDA device here.")'

status=0
"$PYTHON" -m pytest tests/gpu "$@" || status=$?
"$PYTHON" tests/gpu/figures.py || status=$?
exit "$status"
