#!/usr/bin/env python3
"""Say where a data set is found, or where it was looked for. Needs Python only, no environment.

    python tools/find_data.py ytvis2019 valid         annotation file and image folder, or exit code 1
"""
import argparse
import importlib
import sys
import types
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def load_trees():
    """mmvis/datasets/trees.py without its package, which would need torch."""
    for name in ('mmvis', 'mmvis.datasets'):
        sys.modules[name] = types.ModuleType(name)
        sys.modules[name].__path__ = [str(ROOT.joinpath(*name.split('.')))]
    return importlib.import_module('mmvis.datasets.trees')


def main() -> None:
    parser = argparse.ArgumentParser(description='Say where a data set is found.')
    parser.add_argument('name', help='ytvis2019, ytvis2021, ytvis2022, ovis, coco or sample')
    parser.add_argument('split', nargs='?', default='valid', help='train, valid or test (%(default)s)')
    parser.add_argument('--root', default='data', help='folder to look in (%(default)s)')
    args = parser.parse_args()
    try:
        tree = load_trees().find_tree(args.name, args.split, args.root)
    except (OSError, ValueError) as error:
        sys.exit('error: {}'.format(error))
    print(tree.ann_file)
    print(tree.img_prefix)


if __name__ == '__main__':
    main()
