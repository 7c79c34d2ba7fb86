"""Four COCO images for tests, with polygons and a crowd."""
import json
from pathlib import Path

import cv2
import numpy as np

from mmvis.datasets.coco_categories import COCO
from mmvis.structures import encode_mask

#: annotations of each image: COCO category, crowd
IMAGES = {139: [(1, 0), (74, 0), (62, 0)], 285: [(9, 0), (1, 1)], 632: [(62, 0)], 724: []}


def write_coco(root: Path, height: int = 40, width: int = 60) -> Path:
    """Write ``root/coco``: polygons, and RLEs for crowds; returns the annotation file."""
    folder = root / 'coco'
    (folder / 'train2017').mkdir(parents=True)
    (folder / 'annotations').mkdir()
    rng = np.random.default_rng(0)
    images, annotations = [], []
    for image_id, objects in IMAGES.items():
        name = f'{image_id:012d}.jpg'
        cv2.imwrite(str(folder / 'train2017' / name), rng.integers(0, 255, (height, width, 3), dtype=np.uint8))
        images.append(dict(id=image_id, width=width, height=height, file_name=name))
        for place, (category_id, crowd) in enumerate(objects):
            x, y, side = 4 + 12 * place, 6, 10
            mask = np.zeros((height, width), np.uint8)
            mask[y:y + side, x:x + side] = 1
            polygon = [[x, y, x + side, y, x + side, y + side, x, y + side]]
            annotations.append(dict(id=1000 + len(annotations), image_id=image_id, category_id=category_id,
                                    iscrowd=crowd, bbox=[x, y, side, side], area=side * side,
                                    segmentation=encode_mask(mask) if crowd else polygon))
    ann_file = folder / 'annotations' / 'instances_train2017.json'
    ann_file.write_text(json.dumps(dict(images=images, annotations=annotations, info={},
                                        categories=[dict(id=i, name=n) for i, n in COCO.items()])))
    return ann_file
