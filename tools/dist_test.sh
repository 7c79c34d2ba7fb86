#!/bin/sh
# Test with GPUS processes on each machine (without GPUs: on the CPU).
#   sh tools/dist_test.sh CONFIG CHECKPOINT GPUS [arguments of tools/test_video.py]
# Several machines, with one shared folder for the results: run it on each of them with NNODES, NODE_RANK (0, 1, ...),
# MASTER_ADDR (address of machine 0) and PORT set.
if [ $# -lt 3 ]; then
    echo "usage: sh tools/dist_test.sh CONFIG CHECKPOINT GPUS [arguments of tools/test_video.py]" >&2
    exit 1
fi
TOOLS=$(dirname "$0")
. "$TOOLS/find_python.sh"
CONFIG=$1
CHECKPOINT=$2
GPUS=$3
shift 3
exec "$PYTHON" "$TOOLS/test_video.py" "$CONFIG" "$CHECKPOINT" --gpus "$GPUS" "$@"
