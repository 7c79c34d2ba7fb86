"""Perfect masks without identities, linked to tracks by overlap alone: what the sample set must be too hard for."""
from typing import Any, Dict, List

import numpy as np
from pycocotools import mask as coco_mask
from scipy.optimize import linear_sum_assignment


def perfect_results(data: Dict[str, Any]) -> List[Dict[str, Any]]:
    """The annotations themselves as a results file."""
    return [dict(video_id=a['video_id'], score=1.0, category_id=a['category_id'], segmentations=a['segmentations'])
            for a in data['annotations']]


def linked_results(data: Dict[str, Any], solver: str, memory: bool) -> List[Dict[str, Any]]:
    """Results of a tracker that gets all masks and classes right and links masks of a class by IoU > 0.

    Args:
        solver: ``greedy`` takes the highest IoU first, ``hungarian`` maximises the sum.
        memory: compare with the last mask of every track so far, not only with the masks of the frame before.

    Longer tracks get higher scores: the most favourable order.
    """
    results = []
    for video in data['videos']:
        own = [a for a in data['annotations'] if a['video_id'] == video['id']]
        for category_id in {a['category_id'] for a in own}:
            masks = [a['segmentations'] for a in own if a['category_id'] == category_id]
            for track in _link(masks, video['length'], solver, memory):
                results.append(dict(video_id=video['id'], category_id=category_id, score=len(track) / video['length'],
                                    segmentations=[track.get(t) for t in range(video['length'])]))
    return results


def _link(masks: List[List[Any]], length: int, solver: str, memory: bool) -> List[Dict[int, Any]]:
    tracks: List[Dict[int, Any]] = []
    for t in range(length):
        new = [m[t] for m in masks if m[t] is not None]
        old = [track for track in tracks if memory or max(track) == t - 1]
        free = set(range(len(new)))
        if new and old:
            iou = coco_mask.iou([track[max(track)] for track in old], new, [0] * len(new))
            for i, j in (_greedy(iou) if solver == 'greedy' else zip(*linear_sum_assignment(-iou))):
                if iou[i, j] > 0:
                    old[i][t] = new[j]
                    free.discard(j)
        tracks.extend({t: new[j]} for j in sorted(free))
    return tracks


def _greedy(iou: np.ndarray) -> List[Any]:
    pairs, rows, columns = [], set(), set()
    for flat in np.argsort(-iou, axis=None, kind='stable'):
        i, j = divmod(int(flat), iou.shape[1])
        if i not in rows and j not in columns:
            pairs.append((i, j))
            rows.add(i)
            columns.add(j)
    return pairs
