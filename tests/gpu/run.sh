#!/bin/sh
# Runs everything that needs a GPU and writes one report, gpu_report.txt: sh tests/gpu/run.sh [arguments for pytest]
# REPORT=FILE names another file.
set -eu
ROOT=$(CDPATH='' cd -- "$(dirname -- "$0")/../.." && pwd)
. "$ROOT/tools/setup_env.sh"
cd "$ROOT"
"$PYTHON" -c 'import sys, torch; sys.exit(None if torch.cuda.is_available() else "mmvis: no CUDA device here.")'

REPORT=${REPORT:-gpu_report.txt}
failed=$(mktemp)
trap 'rm -f "$failed"' EXIT
{
    "$PYTHON" -m torch.utils.collect_env || echo versions >> "$failed"
    "$PYTHON" -m pytest tests/gpu "$@" || echo tests >> "$failed"
    "$PYTHON" tests/gpu/figures.py || echo figures >> "$failed"
} 2>&1 | tee "$REPORT"
echo "The report is $REPORT."
test ! -s "$failed"
