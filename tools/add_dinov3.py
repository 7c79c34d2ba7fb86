#!/usr/bin/env python3
"""A published EoMT on DINOv3, which is published as differences from DINOv3, as a checkpoint.

    python tools/add_dinov3.py CONFIG DIFFERENCES DINOV3 OUT.pth

DINOV3 are Meta's weights, a file or the folder of the Hugging Face hub, under Meta's own DINOv3 licence; it holds for
OUT as well.
"""
import argparse
import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # runs in a checkout, installed or not

import mmvis  # noqa: E402, F401  (first: it supplies the operators that mmcv asks for)

# isort: split
import torch  # noqa: E402

from mmvis.cli import ToolParser, run_tool  # noqa: E402
from mmvis.converters.checkpoint_file import read_checkpoint  # noqa: E402
from mmvis.converters.dinov3_sum import add_dinov3  # noqa: E402
from mmvis.converters.load import find_state_dict  # noqa: E402
from mmvis.converters.safetensors_file import weight_files  # noqa: E402
from mmvis.engine import CfgOptions, load_config  # noqa: E402
from mmvis.errors import InputError  # noqa: E402
from mmvis.models.eomt import EoMT  # noqa: E402
from mmvis.registry import MODELS  # noqa: E402
from mmvis.structures.output_file import check_output, replacing  # noqa: E402


def parse_args() -> argparse.Namespace:
    parser = ToolParser(description='A published EoMT on DINOv3 as a checkpoint.')
    parser.add_argument('config')
    parser.add_argument('differences', help='file of the authors')
    parser.add_argument('dinov3', help="Meta's weights, a file or a folder")
    parser.add_argument('out', metavar='OUT.pth', help='takes the sum')
    parser.add_argument('--cfg-options', nargs='+', action=CfgOptions, metavar='K=V', help='change keys of the config')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    cfg = load_config(args.config, args.cfg_options)
    given = [path for file in (args.differences, args.dinov3)
             for path in (weight_files(file) if os.path.isdir(file) else [file])]
    inputs = [cfg.filename, *given]
    check_output(args.out, inputs)
    model = MODELS.build(cfg.model)
    if not isinstance(model, EoMT) or model.backbone.position_rule != 'rotary':
        raise InputError(f'{cfg.filename} has no EoMT on DINOv3.')
    difference, base = (find_state_dict(read_checkpoint(file)) for file in (args.differences, args.dinov3))
    try:
        tensors = add_dinov3(difference, base, model)
    except InputError as error:
        raise InputError(f'{args.differences} and {args.dinov3}: {error}') from error
    with replacing(args.out, inputs) as path:
        torch.save(dict(state_dict=tensors), path)
    print(f"Wrote {args.out}. It is derived from DINOv3: Meta's DINOv3 licence holds for it.")


if __name__ == '__main__':
    run_tool(main)
