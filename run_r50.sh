#!/bin/sh
# Sets up what is missing, runs the model over a set of videos and leaves output/results.json: sh run_r50.sh
#
# This is the command that CondInst+IAI publishes. That system is still to come; until then the same steps run with
# MaskTrackRCNN: the official weights on YouTube-VIS if both are there, else the small checkpoint on the sample set.
set -eu
ROOT=$(cd "$(dirname "$0")" && pwd)
. "$ROOT/tools/setup_env.sh"
cd "$ROOT"

echo "mmvis: CondInst+IAI is not part of the toolbox yet; this run uses MaskTrackRCNN."
weights=models/masktrack_rcnn_r50.pth
if [ -f "$weights" ] && [ -e data/annotations/instances_val_sub.json ]; then
    echo "mmvis: $weights and YouTube-VIS were found: running MaskTrackRCNN R50 on the validation set."
    config=configs/masktrack_rcnn/masktrack_rcnn_r50_fpn_1x_youtubevos.py
else
    echo "mmvis: no $weights with YouTube-VIS in data/: running the small model on the sample set instead."
    weights=models/masktrack_rcnn_sample.pth
    config=configs/masktrack_rcnn/masktrack_rcnn_r18_fpn_sample.py
    "$PYTHON" tools/make_sample.py
fi
"$PYTHON" tools/test_video.py "$config" "$weights" --out output/results.json --eval segm --save_vis_path output/overlays
echo "mmvis: results in output/results.json, overlays in output/overlays."
