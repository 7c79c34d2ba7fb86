"""What tools/coco_keep_for_*.py share."""
import argparse
import json
import sys
from pathlib import Path
from typing import Any, Collection, Dict

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # runs in a checkout, installed or not

from mmvis.annotations import read_content, read_json  # noqa: E402
from mmvis.annotations.reader import IMAGES  # noqa: E402
from mmvis.cli import ToolParser  # noqa: E402
from mmvis.datasets import find_tree  # noqa: E402
from mmvis.datasets.coco_categories import find_category_map  # noqa: E402
from mmvis.errors import InputError  # noqa: E402
from mmvis.structures.output_file import check_output, write_output  # noqa: E402


def keep_categories(content: Dict[str, Any], category_ids: Collection[int]) -> Dict[str, Any]:
    """The annotations of some categories and the images that still have one; the category table stays whole."""
    annotations = [x for x in content['annotations'] if x['category_id'] in category_ids]
    image_ids = {x['image_id'] for x in annotations}
    images = [x for x in content['images'] if x['id'] in image_ids]
    return {**content, 'images': images, 'annotations': annotations}


def keep_command(target: str, default_out: str) -> None:
    """The command for one video set: its arguments, and the file it writes."""
    parser = ToolParser(description=f'Keep of a COCO annotation file what has a counterpart in {target}.',
                        formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument('annotations', nargs='?', help='default: train2017 of the COCO tree that data/README.md shows')
    parser.add_argument('--out', default=default_out, metavar='FILE', help='file to write')
    args = parser.parse_args()
    source = Path(args.annotations or find_tree('coco', 'train', 'data').ann_file)
    check_output(args.out, [source])
    content = read_json(source)
    found = read_content(content, str(source))
    if found.format is not IMAGES or not found.object_ids:
        raise InputError(f'{source} is no COCO annotation file of a training set: it has no '
                         f'{"annotations" if found.format is IMAGES else "images"}.')
    kept = keep_categories(content, find_category_map(target, 'official')[1])
    out = Path(args.out)
    write_output(out, json.dumps(kept))
    print(f'{out}: {len(kept["annotations"])} of {len(content["annotations"])} objects in {len(kept["images"])} of '
          f'{len(content["images"])} images')
