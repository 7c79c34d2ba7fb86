#!/usr/bin/env python3
"""Keep of a COCO annotation file what has a counterpart in OVIS (InstanceFormer's side file).

    python tools/coco_keep_for_ovis.py [coco/annotations/instances_train2017.json] [--out coco_keepfor_ovis.json]

Training does not need the file: COCOClipsDataset(target='ovis') reads the same of the original one.
"""
from coco_keep import keep_command

from mmvis.cli import run_tool

if __name__ == '__main__':
    run_tool(lambda: keep_command('ovis', 'coco_keepfor_ovis.json'))
