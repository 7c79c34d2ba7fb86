# Sourced by slurm_train.sh and slurm_test.sh, which set TOOLS, PYTHON, PARTITION and JOB_NAME, and SCRIPT and TOOL: their
# own file and the tool that they start.
#
# submit ARGUMENTS...    hands the script to sbatch: the job starts it again with the same arguments
# run_step ARGUMENTS...  in the job: runs the tool, and queues the job again when the end of its time has stopped it
submit() {
    GPUS=${GPUS:-8}
    GPUS_PER_NODE=${GPUS_PER_NODE:-8}
    if [ "$GPUS" -lt "$GPUS_PER_NODE" ]; then
        GPUS_PER_NODE=$GPUS
    fi
    # What the job needs and cannot find by itself: sbatch starts a copy of the script, which lies in another folder.
    MMVIS_TOOLS=$(CDPATH='' cd -- "$TOOLS" && pwd)
    export MMVIS_TOOLS PYTHON CPUS_PER_TASK SRUN_ARGS
    case " ${SBATCH_ARGS:-} " in  # who asks for GPUs in another way does not want these, too
        *" --gres"* | *" --gpus"*) GRES= ;;
        *) GRES=--gres=gpu:$GPUS_PER_NODE ;;
    esac
    # SBATCH_ARGS is a list of arguments, so it is not quoted.
    # shellcheck disable=SC2086
    exec sbatch -p "$PARTITION" --job-name="$JOB_NAME" $GRES --ntasks="$GPUS" \
        --ntasks-per-node="$GPUS_PER_NODE" --cpus-per-task="$CPUS_PER_TASK" --requeue --open-mode=append \
        --signal=B:USR1@"${SECONDS_BEFORE_END:-300}" ${SBATCH_ARGS:-} "$SCRIPT" "$@"
}

run_step() {
    # srun hands a signal on to all processes; the batch shell alone is told that the end of the job is near
    step= told= near_end=
    trap 'near_end=yes; tell' USR1
    trap tell TERM
    # shellcheck disable=SC2086
    srun --cpus-per-task="$CPUS_PER_TASK" --kill-on-bad-exit=1 ${SRUN_ARGS:-} \
        "$PYTHON" -u "$TOOLS/$TOOL" "$@" --launcher slurm $RESUME &
    step=$!
    [ -z "$told" ] || tell  # before there was a step
    wait $step
    code=$?
    while kill -0 $step 2>/dev/null; do  # a signal has ended the wait, not the step
        wait $step
        code=$?
    done
    # A job that is preempted Slurm queues again by itself, and one that is cancelled must not come back. 138: the signal
    # came before the tool listened to it.
    if [ -n "$near_end" ] && { [ $code -eq 75 ] || [ $code -eq 138 ]; }; then
        echo "$TOOL was told to stop and goes on when its turn comes again."
        scontrol requeue "$SLURM_JOB_ID"
    fi
    exit $code
}

tell() {
    told=yes
    [ -z "$step" ] || kill -s USR1 "$step" 2>/dev/null
}

CPUS_PER_TASK=${CPUS_PER_TASK:-5}
RESUME=
