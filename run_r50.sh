#!/bin/sh
# CondInst+IAI with ResNet-50 on the validation set of YouTube-VIS 2019, or, where its checkpoint (models/README.md) or
# the data (data/README.md) are missing, a small CondInst+IAI on the sample set. Sets up what is missing: sh run_r50.sh
set -eu
ROOT=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
WEIGHTS=iai_condinst_r50
CONFIG=configs/condinst_iai/ytvis2019_iai_condinst_r50.py
. "$ROOT/tools/run_iai.sh"
