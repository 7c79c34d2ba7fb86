#!/bin/sh
# Sets up what is missing and runs all tests: sh tests/run.sh [arguments for pytest]
set -eu
ROOT=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
. "$ROOT/tools/setup_env.sh"
cd "$ROOT"
if [ $# -eq 0 ]; then
    # All tests: one process a core, four at most, each with one thread. The tests of a file stay together, because they
    # share what was made for them. With arguments pytest runs as it is told (-n 2 --dist loadfile does the same).
    export OMP_NUM_THREADS="${OMP_NUM_THREADS:-1}"
    cores=$("$PYTHON" mmvis/processes.py)
    set -- -n "$((cores < 4 ? cores : 4))" --dist loadfile
fi
exec "$PYTHON" -m pytest tests "$@"
