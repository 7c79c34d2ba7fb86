#!/bin/sh
# Runs everything that needs a GPU and prints the figures for docs/gpu.md: sh tests/gpu/run.sh
set -eu
ROOT=$(cd "$(dirname "$0")/../.." && pwd)
. "$ROOT/tools/setup_env.sh"
cd "$ROOT"
"$PYTHON" -c 'import sys, torch; sys.exit(None if torch.cuda.is_available() else "mmvis: no CUDA device here.")'

status=0
"$PYTHON" -m pytest tests -m gpu "$@" || status=$?
for config in configs/masktrack_rcnn/masktrack_rcnn_r50_fpn_1x_youtubevos.py; do
    echo
    echo "== $config"
    for precision in fp32 bf16 fp16; do
        "$PYTHON" tools/benchmark.py inference "$config" --device cuda --threads 1 --precision "$precision"
    done
    "$PYTHON" tools/benchmark.py training "$config" --device cuda
    "$PYTHON" tools/benchmark.py training "$config" --device cuda --amp
done
exit "$status"
