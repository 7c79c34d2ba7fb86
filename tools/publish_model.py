#!/usr/bin/env python3
"""A trained model as one file to pass on: weights without the optimizer, with config and classes.

    python tools/publish_model.py CONFIG CHECKPOINT --out FOLDER [--name NAME]

writes FOLDER/NAME-CHECKSUM.safetensors, which needs no config beside it:

    python tools/demo.py street.mp4 --model FOLDER
    VISPredictor.from_pretrained(FOLDER)                         or OWNER/NAME, when the folder was put on the hub

The checksum is the beginning of the SHA-256 of the file, which is compared when the file is read.
"""
import argparse
import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # runs in a checkout, installed or not

from mmvis import apis, engine  # noqa: E402  (what is asked of them loads PyTorch, --help does not)
from mmvis.cli import ToolParser, run_tool  # noqa: E402
from mmvis.engine import CfgOptions  # noqa: E402


def parse_args() -> argparse.Namespace:
    parser = ToolParser(description='A trained model as one file to pass on.')
    parser.add_argument('config', help='config file, or its name under configs/')
    parser.add_argument('checkpoint', help='weights, in any layout that mmvis knows')
    parser.add_argument('--out', required=True, metavar='FOLDER', help='takes NAME-CHECKSUM.safetensors')
    parser.add_argument('--name', help='of the file (that of the config)')
    parser.add_argument('--cfg-options', nargs='+', action=CfgOptions, metavar='KEY=VALUE',
                        help='change keys of the config')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    cfg = engine.load_config(args.config, args.cfg_options)
    path, report = apis.publish(cfg, args.checkpoint, args.out, args.name or Path(cfg.filename).stem)
    print(f'{path}: {len(report.mapped)} tensors, {os.path.getsize(path) / 1e6:.1f} MB.')


if __name__ == '__main__':
    run_tool(main)
