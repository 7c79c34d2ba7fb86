"""A hold-out: videos of a training set put aside, so that there is an AP without the server of the benchmark."""
from typing import Any, Dict, List, Sequence, Set, Tuple

import numpy as np

from mmvis.errors import InputError


def split_videos(categories: Sequence[Set], val_ratio: float, seed: int = 0) -> Tuple[List[int], List[int]]:
    """Cut videos into two parts in which every category has its share of videos, as near as can be.

    A random cut is improved by exchanging videos as long as that lowers the sum over the categories of
    (videos in val - wanted)^2 / videos. Videos without an object count as a category of their own.

    Args:
        categories: for each video the categories that occur in it.
        val_ratio: share of the second part, above 0 and below 1; each part has a video at least.
        seed: another seed, another cut; the same seed, the same cut.

    Returns:
        Positions of the training and of the validation videos, both rising.

    Raises:
        ValueError: the ratio leaves one part without a video.
    """
    num = len(categories)
    if not 0 < val_ratio < 1 or num < 2:
        raise InputError(f'--val-ratio {val_ratio:g} of {num} videos leaves one of the parts empty.')
    num_val = min(max(round(num * val_ratio), 1), num - 1)
    kinds = {kind: k for k, kind in enumerate(sorted({c for found in categories for c in found}, key=str))}
    occurs = np.zeros((num, len(kinds) + 1))
    for video, found in enumerate(categories):
        occurs[video, [kinds[kind] for kind in found] or -1] = 1
    count = occurs.sum(0)
    rng = np.random.default_rng(seed)
    is_val = np.zeros(num, bool)
    is_val[rng.permutation(num)[:num_val]] = True
    excess = occurs[is_val].sum(0) - count * num_val / num
    improved = True
    while improved:
        improved = False
        for leaving in rng.permutation(np.flatnonzero(is_val)):
            change = occurs - occurs[leaving]                                      # [videos, kinds], for each newcomer
            gain = (change * (change + 2 * excess)) @ (1 / np.maximum(count, 1))   # of the sum above
            gain[is_val] = 0
            coming = int(np.argmin(gain))
            if gain[coming] < -1e-9:
                is_val[[leaving, coming]] = False, True
                excess += change[coming]
                improved = True
    return np.flatnonzero(~is_val).tolist(), np.flatnonzero(is_val).tolist()


def cut_annotations(data: Dict[str, Any], videos: Sequence[int]) -> Dict[str, Any]:
    """The annotation file of some of the videos (positions in its list); everything else stays as it is."""
    chosen = [data['videos'][position] for position in videos]
    ids = {video['id'] for video in chosen}
    return {**data, 'videos': chosen,
            'annotations': [annotation for annotation in data['annotations'] if annotation['video_id'] in ids]}
