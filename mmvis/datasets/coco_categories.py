"""COCO's categories, and where they go in the video sets (InstanceFormer's tables, Koner et al., AAAI 2023)."""
from typing import Dict, Mapping, Tuple

from mmvis.errors import InputError

from .categories import OVIS, YTVIS_2019, YTVIS_2021

_NAMES = (
    'person', 'bicycle', 'car', 'motorcycle', 'airplane', 'bus', 'train', 'truck', 'boat', 'traffic light',
    'fire hydrant', 'stop sign', 'parking meter', 'bench', 'bird', 'cat', 'dog', 'horse', 'sheep', 'cow', 'elephant',
    'bear', 'zebra', 'giraffe', 'backpack', 'umbrella', 'handbag', 'tie', 'suitcase', 'frisbee', 'skis', 'snowboard',
    'sports ball', 'kite', 'baseball bat', 'baseball glove', 'skateboard', 'surfboard', 'tennis racket', 'bottle',
    'wine glass', 'cup', 'fork', 'knife', 'spoon', 'bowl', 'banana', 'apple', 'sandwich', 'orange', 'broccoli',
    'carrot', 'hot dog', 'pizza', 'donut', 'cake', 'chair', 'couch', 'potted plant', 'bed', 'dining table', 'toilet',
    'tv', 'laptop', 'mouse', 'remote', 'keyboard', 'cell phone', 'microwave', 'oven', 'toaster', 'sink',
    'refrigerator', 'book', 'clock', 'vase', 'scissors', 'teddy bear', 'hair drier', 'toothbrush')
_UNUSED_IDS = (12, 26, 29, 30, 45, 66, 68, 69, 71, 83)

#: COCO 2017: category id -> name; 80 categories, ids 1 to 90 with ten gaps.
COCO: Dict[int, str] = dict(zip((i for i in range(1, 91) if i not in _UNUSED_IDS), _NAMES))

_TO_YTVIS_2019 = {1: 1, 2: 21, 3: 6, 4: 21, 5: 28, 7: 17, 8: 29, 9: 34, 17: 14, 18: 8, 19: 18, 21: 15, 22: 32, 23: 20,
                  24: 30, 25: 22, 36: 33, 41: 5, 42: 27, 43: 40, 74: 24}
_TO_YTVIS_2021 = {1: 26, 2: 23, 3: 5, 4: 23, 5: 1, 7: 36, 8: 37, 9: 4, 16: 3, 17: 6, 18: 9, 19: 19, 21: 7, 22: 12,
                  23: 2, 24: 40, 25: 18, 36: 31, 41: 29, 42: 33, 43: 34, 74: 24}
_TO_OVIS = {1: 1, 2: 21, 4: 21, 5: 22, 9: 22, 16: 2, 17: 3, 18: 4, 19: 5, 20: 6, 21: 7, 22: 8, 23: 9, 24: 10, 25: 11}

#: The tables of VidEoMT, which DVIS++ and CTVIS have as well: skis are snowboards, there is no mouse, and cars, buses and
#: trucks are the vehicles of OVIS.
_VIDEOMT = {
    'ytvis2019': {**{k: v for k, v in _TO_YTVIS_2019.items() if k != 74}, 35: 33},
    'ytvis2021': {**{k: v for k, v in _TO_YTVIS_2021.items() if k != 74}, 34: 14, 35: 31},
    'ovis': {1: 1, 2: 21, 3: 25, 4: 22, 5: 23, 6: 25, 8: 25, 9: 24, 17: 3, 18: 4, 19: 5, 20: 6, 21: 7, 22: 8, 23: 9, 24: 10,
             25: 11},
}

#: Target set -> rule -> COCO category id -> category id of that set; COCO categories not listed are not read.
#: 'official' are the published tables; 'fixed' mends the entries that name another class than they mean: in 2019 the
#: (computer) mouse was a fox, in OVIS motorcycles were bicycles, and airplanes and boats motorcycles. 'videomt' are the
#: tables of the systems of 2023 and later.
CATEGORY_MAPS: Dict[str, Dict[str, Mapping[int, int]]] = {
    'ytvis2019': {'official': _TO_YTVIS_2019, 'fixed': {**_TO_YTVIS_2019, 74: 36}, 'videomt': _VIDEOMT['ytvis2019']},
    'ytvis2021': {'official': _TO_YTVIS_2021, 'fixed': _TO_YTVIS_2021, 'videomt': _VIDEOMT['ytvis2021']},
    'ovis': {'official': _TO_OVIS, 'fixed': {**_TO_OVIS, 4: 22, 5: 23, 9: 24}, 'videomt': _VIDEOMT['ovis']},
}
_TARGETS = {'ytvis2019': YTVIS_2019, 'ytvis2021': YTVIS_2021, 'ovis': OVIS}


def find_category_map(target: str, rule: str) -> Tuple[Dict[int, str], Mapping[int, int]]:
    """Category table (id -> name) of a video set, and COCO category id -> id of that table.

    Raises:
        ValueError: there is no such set or rule.
    """
    if target not in CATEGORY_MAPS:
        raise InputError(f'target is one of {", ".join(CATEGORY_MAPS)}, not {target!r}.')
    if rule not in CATEGORY_MAPS[target]:
        raise InputError(f'category_map is one of {", ".join(CATEGORY_MAPS[target])}, not {rule!r}.')
    return _TARGETS[target], CATEGORY_MAPS[target][rule]
