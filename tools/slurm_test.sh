#!/bin/sh
# Test on a Slurm cluster: submits a job that goes on by itself when it is preempted or its time is over.
#   GPUS=8 sh tools/slurm_test.sh PARTITION JOB_NAME CONFIG CHECKPOINT [arguments of tools/test_video.py]
# The variables are those of slurm_train.sh. Videos that are finished are not run again.
if [ $# -lt 4 ]; then
    echo "usage: GPUS=8 sh tools/slurm_test.sh PARTITION JOB_NAME CONFIG CHECKPOINT [arguments of tools/test_video.py]" >&2
    exit 1
fi
SCRIPT=$0
TOOL=test_video.py
TOOLS=${MMVIS_TOOLS:-$(dirname "$0")}
. "$TOOLS/find_python.sh"
. "$TOOLS/slurm_job.sh"
PARTITION=$1
JOB_NAME=$2
if [ -z "${SLURM_JOB_ID:-}" ]; then
    submit "$@"
fi
shift 2
run_step "$@"
