# Sourced by run_r50.sh and run_r101.sh, which set $ROOT, $WEIGHTS (name of the official checkpoint in models/, without
# .pth) and $CONFIG (its config). Leaves output/results.json, checked, and output/results.zip.
#
# GPUS=N takes N GPUs, or N cores of a machine without; by default all GPUs, or all cores up to eight. A run that was
# killed goes on when the script is started again.

data() {  # the annotation file of the YouTube-VIS 2019 validation set and its frames, a line each; any Python finds them
    for python in "$ROOT/.venv/bin/python" python3 python; do
        if command -v "$python" >/dev/null 2>&1; then
            "$python" tools/find_data.py ytvis2019 valid 2>/dev/null
            return
        fi
    done
}

cd "$ROOT"
weights=models/$WEIGHTS.pth
truth=$(data | sed -n 1p)
frames=$(data | sed -n 2p)
get_weights= get_data=
[ -f "$weights" ] || get_weights=$weights
[ -n "$truth" ] || get_data="YouTube-VIS 2019 valid in data/"
if [ -z "$get_weights$get_data" ]; then
    official=yes
    job="official run: $weights on YouTube-VIS 2019 valid ($truth)"
else
    official=
    job="sample run: a small CondInst+IAI on the sample set, not the official model"
    weights=models/condinst_iai_sample.pth
    CONFIG=configs/condinst_iai/condinst_iai_r18_sample.py
    truth=data/sample/valid.json
    frames=data/sample/valid
fi
echo "mmvis: $job${get_weights:+; missing: $get_weights}${get_data:+; missing: $get_data}."

. "$ROOT/tools/setup_env.sh"
[ -n "$official" ] || "$PYTHON" tools/make_sample.py
processes=${GPUS:-$("$PYTHON" -c '
import torch
from mmvis.processes import usable_cores
print(torch.cuda.device_count() or min(8, usable_cores()))')}
"$PYTHON" tools/test_video.py "$CONFIG" "$weights" --out output/results.json --eval segm --gpus "$processes"
# This checks the file first, and makes no zip of one that a server would refuse.
"$PYTHON" tools/make_submission.py output/results.json "$truth" ${official:+--benchmark ytvis2019} --out output/results.zip
overlays=
if [ -z "$official" ]; then
    "$PYTHON" tools/visualize_results.py output/results.json "$truth" "$frames" --out output/overlays
    echo "mmvis: the official run needs $WEIGHTS.pth in models/ and YouTube-VIS 2019 in data/."
    [ -z "$get_weights" ] || echo "mmvis: ${PYTHON#"$ROOT/"} tools/download_checkpoint.py $WEIGHTS fetches the checkpoint."
    [ -z "$get_data" ] || echo "mmvis: data/README.md says where the data are to be had and how they may lie in data/."
    overlays=", output/overlays/*.mp4"
fi
echo "mmvis: ${PYTHON#"$ROOT/"} tools/view.py output/results.json $truth $frames shows the results in a browser."
echo "mmvis: done, $job: output/results.json, output/results.zip$overlays."
