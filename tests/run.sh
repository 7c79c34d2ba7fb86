#!/bin/sh
# Sets up what is missing and runs all tests: sh tests/run.sh [arguments for pytest]
set -eu
ROOT=$(cd "$(dirname "$0")/.." && pwd)
. "$ROOT/tools/setup_env.sh"
cd "$ROOT"
exec "$PYTHON" -m pytest tests "$@"
