#!/bin/sh
# Train on a Slurm cluster: submits a job that goes on by itself when it is preempted or its time is over.
#   GPUS=8 sh tools/slurm_train.sh PARTITION JOB_NAME CONFIG [WORK_DIR] [arguments of tools/train.py]
# GPUS (8): processes in all; GPUS_PER_NODE (8); CPUS_PER_TASK (5); SBATCH_ARGS, SRUN_ARGS: more arguments of sbatch and
# srun. The training is told SECONDS_BEFORE_END (300) before the end of the job's time, saves and is queued again; set it
# to more than an iteration and the writing of a checkpoint take. Within a job (salloc, sbatch) it starts at once.
if [ $# -lt 3 ]; then
    echo "usage: GPUS=8 sh tools/slurm_train.sh PARTITION JOB_NAME CONFIG [WORK_DIR] [arguments of tools/train.py]" >&2
    exit 1
fi
SCRIPT=$0
TOOL=train.py
TOOLS=${MMVIS_TOOLS:-$(dirname "$0")}
. "$TOOLS/find_python.sh"
. "$TOOLS/slurm_job.sh"
PARTITION=$1
JOB_NAME=$2
if [ -z "${SLURM_JOB_ID:-}" ]; then
    submit "$@"
fi
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
if [ "${SLURM_RESTART_COUNT:-0}" -gt 0 ]; then  # the first start of a job must not take up what another has left
    RESUME=--resume
fi
run_step "$CONFIG" "$@"
