"""AP and AR of video instance segmentation, as the YouTube-VIS servers compute them.

Source: see :mod:`mmvis.evaluation.matching`; the statistics are those of COCO, with tracks in place of masks.
"""
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, Iterable, List, Mapping, Sequence, Union

import numpy as np
from pycocotools import mask as coco_mask

from .matching import AREA_RANGES, IOU_THRESHOLDS, AnnotatedTrack, AnnotatedVideo, VideoMatch, match_video

#: linspace, literally: ten of its values are one bit off i / 100.
RECALL_POINTS = np.linspace(0.0, 1.0, 101)
#: How many predictions of one video and category count.
TRACK_CAPS = (1, 10, 100)


@dataclass
class GroundTruth:
    """An annotation file, ready for the evaluation. ``categories``: id -> name, by rising id."""
    path: str
    categories: Dict[int, str]
    videos: Dict[Union[int, str], AnnotatedVideo]


@dataclass
class Evaluation:
    """Statistics of a results file. -1 says that there is nothing to be measured (no annotation of that kind).

    Attributes:
        stats: AP AP50 AP75 APs APm APl AR1 AR10 AR100 ARs ARm ARl -> value in 0 .. 1, in this order.
        per_category: name -> AP.
        precision: float64 [IoU thresholds, recall points, categories, area ranges, caps].
        recall: float64 [IoU thresholds, categories, area ranges, caps].
    """
    stats: Dict[str, float]
    per_category: Dict[str, float]
    precision: np.ndarray
    recall: np.ndarray

    def table(self) -> str:
        """The statistics and the AP of each category as text."""
        def show(value: float) -> str:
            return f'{value:.3f}' if value > -1 else '-'

        meaning = {'AP': 'IoU 0.50:0.95', 'AP50': 'IoU 0.50', 'AP75': 'IoU 0.75', 'APs': 'area up to 128 x 128',
                   'APm': 'area up to 256 x 256', 'APl': 'area above', 'AR1': 'best track of a video and category',
                   'AR10': 'best 10', 'AR100': 'best 100', 'ARs': 'area up to 128 x 128', 'ARm': 'area up to 256 x 256',
                   'ARl': 'area above'}
        lines = [f'{name:<6}{show(value):>6}  {meaning[name]}' for name, value in self.stats.items()]
        width = max((len(name) for name in self.per_category), default=0)
        cells = [f'{name:<{width}} {show(value):>5}' for name, value in self.per_category.items()]
        columns = max(1, 100 // (width + 9))
        lines += ['', 'AP by category'] + ['   '.join(cells[i:i + columns]) for i in range(0, len(cells), columns)]
        return '\n'.join(lines)


def _read_json(path: Union[str, os.PathLike]) -> Any:
    if not os.path.isfile(path):
        raise FileNotFoundError(f'{path}: there is no such file.')
    try:
        return json.loads(Path(path).read_bytes())
    except ValueError as error:
        raise ValueError(f'{path}: not a JSON file ({error}).') from None


def _as_rle(segmentation: Any, height: int, width: int) -> Any:
    """A frame of an annotation (RLE with list or string counts, or polygons) as compressed RLE; None if empty."""
    if not segmentation:
        return None
    if isinstance(segmentation, list):
        return coco_mask.merge(coco_mask.frPyObjects(segmentation, height, width))
    if isinstance(segmentation['counts'], list):
        return coco_mask.frPyObjects(segmentation, height, width)
    return segmentation


def load_ground_truth(ann_file: Union[str, os.PathLike]) -> GroundTruth:
    """Read an annotation file in the YouTube-VIS format.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not JSON, no annotations, or a field is missing; the text names it.
    """
    data = _read_json(ann_file)
    for key in ('videos', 'categories'):
        if not isinstance(data, dict) or key not in data:
            raise ValueError(f'{ann_file}: {key} is missing, so this is no annotation file of YouTube-VIS.')
    if not data.get('annotations'):
        raise ValueError(f'{ann_file}: it holds no annotations, so nothing can be evaluated.')
    sizes = {video['id']: (video['height'], video['width']) for video in data['videos']}
    videos = {video_id: AnnotatedVideo(video_id) for video_id in sizes}
    for annotation in data['annotations']:
        owner = f'{ann_file}, annotation {annotation.get("id")!r}'
        for key in ('video_id', 'category_id', 'iscrowd', 'segmentations', 'areas'):
            if key not in annotation:
                raise ValueError(f'{owner}: {key} is missing.')
        if annotation['video_id'] not in videos:
            raise ValueError(f'{owner}: video_id {annotation["video_id"]!r} is not among the videos.')
        areas = [area for area in annotation['areas'] if area]
        videos[annotation['video_id']].tracks.append(AnnotatedTrack(
            annotation['category_id'], bool(annotation['iscrowd']), float(np.mean(areas)) if areas else 0.0,
            [_as_rle(frame, *sizes[annotation['video_id']]) for frame in annotation['segmentations']]))
    names = {category['id']: category.get('name', str(category['id'])) for category in data['categories']}
    return GroundTruth(str(ann_file), dict(sorted(names.items())), videos)


def _mean(values: np.ndarray) -> float:
    valid = values[values > -1]
    return float(np.mean(valid)) if valid.size else -1.0


def _curve(scores: np.ndarray, right: np.ndarray, ignored: np.ndarray, num_annotated: int) -> Any:
    """Precision at the recall points, float64 [101], and the recall reached, of predictions in video order."""
    order = np.argsort(-scores, kind='stable')
    right, ignored = right[order], ignored[order]
    hits = np.cumsum(right & ~ignored).astype(np.float64)
    misses = np.cumsum(~right & ~ignored).astype(np.float64)
    at_points = np.zeros(len(RECALL_POINTS))
    if not len(hits):
        return at_points, 0.0
    recall = hits / num_annotated
    precision = np.maximum.accumulate((hits / (misses + hits + np.spacing(1)))[::-1])[::-1]
    index = np.searchsorted(recall, RECALL_POINTS, side='left')
    reached = index < len(recall)
    at_points[reached] = precision[index[reached]]
    return at_points, recall[-1]


def accumulate(matches: Iterable[VideoMatch], categories: Mapping[int, str]) -> Evaluation:
    """Statistics of videos that were matched one by one.

    Args:
        matches: one a video, in any order. Equal scores are ranked by video id.
        categories: id -> name, all categories of the annotation file; predictions of others do not count.
    """
    matches = sorted(matches, key=lambda match: match.video_id)
    ids = sorted(categories)
    num_thresholds, num_areas = len(IOU_THRESHOLDS), len(AREA_RANGES)
    precision = -np.ones((num_thresholds, len(RECALL_POINTS), len(ids), num_areas, len(TRACK_CAPS)))
    recall = -np.ones((num_thresholds, len(ids), num_areas, len(TRACK_CAPS)))
    for k, category_id in enumerate(ids):
        cells = [match.categories[category_id] for match in matches if category_id in match.categories]
        if not cells:
            continue
        num_annotated = np.sum([cell.num_annotated for cell in cells], axis=0)
        for m, cap in enumerate(TRACK_CAPS):
            scores = np.concatenate([cell.scores[:cap] for cell in cells])
            matched = np.concatenate([cell.matched[..., :cap] for cell in cells], axis=-1)
            ignored = np.concatenate([cell.ignored[..., :cap] for cell in cells], axis=-1)
            for a in np.flatnonzero(num_annotated):
                for t in range(num_thresholds):
                    precision[t, :, k, a, m], recall[t, k, a, m] = _curve(scores, matched[a, t], ignored[a, t],
                                                                          num_annotated[a])
    return Evaluation(_statistics(precision, recall),
                      {categories[i]: _mean(precision[:, :, k, 0, -1]) for k, i in enumerate(ids)}, precision, recall)


def _statistics(precision: np.ndarray, recall: np.ndarray) -> Dict[str, float]:
    half = int(np.flatnonzero(IOU_THRESHOLDS == 0.5)[0])
    strict = int(np.flatnonzero(IOU_THRESHOLDS == 0.75)[0])
    stats = {'AP': _mean(precision[..., 0, -1]), 'AP50': _mean(precision[half, ..., 0, -1]),
             'AP75': _mean(precision[strict, ..., 0, -1])}
    stats.update({f'AP{name}': _mean(precision[..., a, -1]) for a, name in ((1, 's'), (2, 'm'), (3, 'l'))})
    stats.update({f'AR{cap}': _mean(recall[..., 0, m]) for m, cap in enumerate(TRACK_CAPS)})
    stats.update({f'AR{name}': _mean(recall[..., a, -1]) for a, name in ((1, 's'), (2, 'm'), (3, 'l'))})
    return stats


def evaluate_results(results: Union[str, os.PathLike, Sequence[Mapping[str, Any]]],
                     ann_file: Union[str, os.PathLike]) -> Evaluation:
    """Evaluate a results file, or its list of entries, against an annotation file.

    Videos without results count as missed. An empty list has AP 0.

    Raises:
        FileNotFoundError: a file is not there.
        ValueError: an unknown video, a missing key, a score that is no number, a mask that does not fill its frame.
    """
    source = 'The results'
    if isinstance(results, (str, os.PathLike)):
        source, results = str(results), _read_json(results)
    if not isinstance(results, (list, tuple)):
        raise ValueError(f'{source}: a list of results is expected, not a {type(results).__name__}.')
    truth = load_ground_truth(ann_file)
    by_video: Dict[Any, List[Mapping[str, Any]]] = {video_id: [] for video_id in truth.videos}
    for i, entry in enumerate(results):
        if not isinstance(entry, Mapping) or 'video_id' not in entry:
            raise ValueError(f'{source}, entry {i}: an object with video_id is expected.')
        if entry['video_id'] not in by_video:
            raise ValueError(f'{source}, entry {i}: video_id {entry["video_id"]!r} is not in {ann_file}.')
        by_video[entry['video_id']].append(entry)
    matches = (match_video(video, by_video[video_id]) for video_id, video in truth.videos.items())
    return accumulate(matches, truth.categories)
