#!/bin/sh
# Train on a Slurm cluster.
#   GPUS=8 sh tools/slurm_train.sh PARTITION JOB_NAME CONFIG [WORK_DIR] [arguments of tools/train.py]
# GPUS (8): processes in all; GPUS_PER_NODE (8); CPUS_PER_TASK (5); SRUN_ARGS: more arguments of srun.
if [ $# -lt 3 ]; then
    echo "usage: GPUS=8 sh tools/slurm_train.sh PARTITION JOB_NAME CONFIG [WORK_DIR] [arguments of tools/train.py]" >&2
    exit 1
fi
TOOLS=$(dirname "$0")
. "$TOOLS/find_python.sh"
PARTITION=$1
JOB_NAME=$2
CONFIG=$3
shift 3
case ${1:--} in
    -*) ;;
    *)
        WORK_DIR=$1
        shift
        set -- --work-dir "$WORK_DIR" "$@"
        ;;
esac
GPUS=${GPUS:-8}
GPUS_PER_NODE=${GPUS_PER_NODE:-8}
if [ "$GPUS" -lt "$GPUS_PER_NODE" ]; then
    GPUS_PER_NODE=$GPUS
fi
# SRUN_ARGS is a list of arguments, so it is not quoted.
# shellcheck disable=SC2086
exec srun -p "$PARTITION" --job-name="$JOB_NAME" --gres=gpu:"$GPUS_PER_NODE" --ntasks="$GPUS" \
    --ntasks-per-node="$GPUS_PER_NODE" --cpus-per-task="${CPUS_PER_TASK:-5}" --kill-on-bad-exit=1 ${SRUN_ARGS:-} \
    "$PYTHON" -u "$TOOLS/train.py" "$CONFIG" --launcher slurm "$@"
