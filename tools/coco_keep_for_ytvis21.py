#!/usr/bin/env python3
"""Keep of a COCO annotation file what has a counterpart in YouTube-VIS 2021 (InstanceFormer's side file).

    python tools/coco_keep_for_ytvis21.py [coco/annotations/instances_train2017.json] [--out coco_keepfor_ytvis21.json]

Training does not need the file: COCOClipsDataset(target='ytvis2021') reads the same of the original one.
"""
from coco_keep import keep_command

from mmvis.cli import run_tool

if __name__ == '__main__':
    run_tool(lambda: keep_command('ytvis2021', 'coco_keepfor_ytvis21.json'))
