#!/bin/sh
# Train with GPUS processes on each machine (without GPUs: on the CPU).
#   sh tools/dist_train.sh CONFIG GPUS [arguments of tools/train.py]
# Several machines: run it on each of them with NNODES, NODE_RANK (0, 1, ...), MASTER_ADDR (address of machine 0) and
# PORT set.
if [ $# -lt 2 ]; then
    echo "usage: sh tools/dist_train.sh CONFIG GPUS [arguments of tools/train.py]" >&2
    exit 1
fi
TOOLS=$(dirname "$0")
. "$TOOLS/find_python.sh"
CONFIG=$1
GPUS=$2
shift 2
exec "$PYTHON" "$TOOLS/train.py" "$CONFIG" --gpus "$GPUS" "$@"
