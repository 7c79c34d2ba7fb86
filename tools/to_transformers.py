#!/usr/bin/env python3
"""A VidEoMT as a folder that transformers and the Hugging Face hub take: model.safetensors and config.json.

    python tools/to_transformers.py CONFIG CHECKPOINT FOLDER

The network gives the same numbers there on square frames of the position table's own size (640 x 640). What differs in
transformers, ids above all, stands in mmvis/models/videomt/README.md. Such folders are read wherever a checkpoint is.
"""
import argparse
import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # runs in a checkout, installed or not

from mmvis.cli import ToolParser, run_tool  # noqa: E402
from mmvis.converters import load_checkpoint  # noqa: E402
from mmvis.converters.safetensors_file import weight_files, write_folder  # noqa: E402
from mmvis.converters.videomt import to_transformers, transformers_config  # noqa: E402
from mmvis.engine import CfgOptions, load_config  # noqa: E402
from mmvis.errors import InputError  # noqa: E402
from mmvis.models.videomt import VidEoMT  # noqa: E402
from mmvis.registry import MODELS  # noqa: E402


def parse_args() -> argparse.Namespace:
    parser = ToolParser(description='A VidEoMT as a folder that transformers takes.')
    parser.add_argument('config')
    parser.add_argument('checkpoint', help='weights, in any layout that mmvis knows')
    parser.add_argument('folder', help='takes model.safetensors and config.json')
    parser.add_argument('--cfg-options', nargs='+', action=CfgOptions, metavar='K=V', help='change keys of the config')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    cfg = load_config(args.config, args.cfg_options)
    model = MODELS.build(cfg.model)
    if not isinstance(model, VidEoMT):
        raise InputError(f'{cfg.filename} has a {type(model).__name__}; VidEoMT alone has a form in transformers.')
    transformers_config(model)  # what transformers lacks is told before anything is loaded
    report = load_checkpoint(model, args.checkpoint, strict=True)
    description = transformers_config(model, report.dataset_meta.get('classes'))
    inputs = weight_files(args.checkpoint) if os.path.isdir(args.checkpoint) else [args.checkpoint]
    write_folder(args.folder, to_transformers(model.state_dict()), description, [cfg.filename, *inputs])
    print(f'Wrote {args.folder}.')


if __name__ == '__main__':
    run_tool(main)
