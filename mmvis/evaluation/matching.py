"""Which predicted track is which annotated track: the rules of the YouTube-VIS evaluation for one video.

Source: L. Yang, Y. Fan, N. Xu, "Video Instance Segmentation", ICCV 2019, and the evaluation code of the benchmark
(https://github.com/youtubevos/cocoapi), whose numbers are kept to the last bit of the IoU.
"""
from dataclasses import dataclass, field
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple, Union

import numpy as np
from pycocotools import mask as coco_mask

#: linspace, literally: its ninth value is 0.8999999999999999, which decides ties.
IOU_THRESHOLDS = np.linspace(0.5, 0.95, 10)
#: Mean area of a track in pixels, both ends included.
AREA_RANGES: Dict[str, Tuple[float, float]] = {
    'all': (0.0, 1e10), 'small': (0.0, 128.0**2), 'medium': (128.0**2, 256.0**2), 'large': (256.0**2, 1e10)}
#: More predictions of one video and category than this are not looked at; the best ones are kept.
MAX_TRACKS = 100

Segmentations = Sequence[Optional[Mapping[str, Any]]]


@dataclass
class AnnotatedTrack:
    """One object of the annotation file. ``area``: mean of the file's ``areas`` over the frames where it is not 0."""
    category_id: int
    is_crowd: bool
    area: float
    segmentations: Segmentations


@dataclass
class AnnotatedVideo:
    """What the annotation file says of one video."""
    video_id: Union[int, str]
    tracks: List[AnnotatedTrack] = field(default_factory=list)


@dataclass
class CategoryMatch:
    """The outcome for one video and category: D predictions by falling score, A area ranges, T IoU thresholds."""
    scores: np.ndarray          # float64 [D]
    matched: np.ndarray         # bool [A, T, D], taken by an annotation
    ignored: np.ndarray         # bool [A, T, D], neither right nor wrong
    num_annotated: np.ndarray   # int64 [A], annotations that count


@dataclass
class VideoMatch:
    """The outcome for one video, category by category: all that is needed of it for the statistics."""
    video_id: Union[int, str]
    categories: Dict[int, CategoryMatch]


@dataclass
class _Masks:
    """The masks of one track by frame: RLEs, their pixels and their sizes; None, 0 and None where there is no mask."""
    rles: List[Optional[Mapping[str, Any]]]
    pixels: np.ndarray                          # int64 [frames]
    sizes: List[Optional[Tuple[int, int]]]

    def mean_area(self) -> float:
        seen = self.pixels[self.pixels > 0]
        return float(seen.sum() / len(seen)) if len(seen) else 0.0


def run_lengths(counts: Union[str, bytes]) -> np.ndarray:
    """Runs, int64, of a compressed RLE string; background and foreground in turn.

    Five bits a byte (value - 48), bit 5 says that more follow, the sign bit of the last one extends; from the fourth
    run on the difference to the run two before is stored.
    """
    raw = np.frombuffer(counts.encode('ascii') if isinstance(counts, str) else counts, np.uint8).astype(np.int64) - 48
    if len(raw) == 0:
        return raw
    if raw.min() < 0 or raw.max() > 63 or raw[-1] & 32:
        raise ValueError('the string is not a compressed RLE')
    last = (raw & 32) == 0
    starts = np.concatenate([[0], np.flatnonzero(last)[:-1] + 1])
    group = np.cumsum(last) - last
    shift = 5 * (np.arange(len(raw)) - starts[group])
    if shift.max() > 50:
        raise ValueError('the string is not a compressed RLE')
    runs = np.add.reduceat((raw & 31) << shift, starts)
    negative = (raw[last] & 16) != 0
    runs[negative] -= np.int64(1) << (shift[last][negative] + 5)
    runs[1::2] = np.cumsum(runs[1::2])
    runs[2::2] = np.cumsum(runs[2::2])
    return runs


def _read_masks(segmentations: Segmentations, owner: str) -> _Masks:
    """Check and measure the masks of a track. An RLE that does not fill its frame would hang pycocotools."""
    if not isinstance(segmentations, (list, tuple)):
        raise ValueError(f'{owner}: segmentations must be a list with one RLE or null per frame.')
    rles, sizes = [], []
    pixels = np.zeros(len(segmentations), np.int64)
    for t, rle in enumerate(segmentations):
        if not rle:
            rles.append(None)
            sizes.append(None)
            continue
        try:
            height, width = (int(side) for side in rle['size'])
            counts = rle['counts']
        except (TypeError, KeyError, ValueError):
            raise ValueError(f'{owner}, frame {t}: segmentations must hold RLEs '
                             "{'size': [h, w], 'counts': str} or null.") from None
        if not isinstance(counts, (str, bytes)):
            raise ValueError(f'{owner}, frame {t}: counts of segmentations must be a compressed RLE string, '
                             f'not a {type(counts).__name__}.')
        try:
            runs = run_lengths(counts)
        except (ValueError, UnicodeEncodeError):
            raise ValueError(f'{owner}, frame {t}: counts of segmentations is not a compressed RLE string.') from None
        if runs.sum() != height * width or (len(runs) and runs.min() < 0):
            raise ValueError(f'{owner}, frame {t}: counts of segmentations cover {int(runs.sum())} pixels, '
                             f'but size {height} x {width} has {height * width}.')
        pixels[t] = runs[1::2].sum()
        rles.append({'size': [height, width], 'counts': counts})
        sizes.append((height, width))
    return _Masks(rles, pixels, sizes)


def _track_ious(tracks: List[_Masks], annotated: List[_Masks]) -> np.ndarray:
    """Spatio-temporal IoU, float64 [D, G]: pixels in both over pixels in either, summed over the frames.

    The shorter of two lists ends the comparison. A frame where both have masks of different sizes is left out.
    """
    inter = np.zeros((len(tracks), len(annotated)), np.int64)
    union = np.zeros_like(inter)
    for t in range(min(max(len(m.rles) for m in tracks), max(len(m.rles) for m in annotated))):
        rows = [i for i, m in enumerate(tracks) if t < len(m.rles)]
        columns = [j for j, m in enumerate(annotated) if t < len(m.rles)]
        areas = np.array([tracks[i].pixels[t] for i in rows])[:, None]
        both = areas + np.array([annotated[j].pixels[t] for j in columns])[None, :]
        here = [(a, i) for a, i in enumerate(rows) if tracks[i].rles[t] is not None]
        there = [(b, j) for b, j in enumerate(columns) if annotated[j].rles[t] is not None]
        common = np.zeros_like(both)
        if here and there:
            # With the crowd flag pycocotools divides by the first area: the integer comes back without an error.
            share = coco_mask.iou([tracks[i].rles[t] for _, i in here], [annotated[j].rles[t] for _, j in there],
                                  [1] * len(there))
            cells = np.ix_([a for a, _ in here], [b for b, _ in there])
            common[cells] = np.rint(share * areas[[a for a, _ in here]]).astype(np.int64)
            equal = np.array([[tracks[i].sizes[t] == annotated[j].sizes[t] for _, j in there] for _, i in here])
            if not equal.all():
                common[cells] = np.where(equal, common[cells], 0)
                both[cells] = np.where(equal, both[cells], 0)
        inter[np.ix_(rows, columns)] += common
        union[np.ix_(rows, columns)] += both - common
    return np.divide(inter, union, out=np.zeros(inter.shape), where=union > 0)


def _assign(ious: np.ndarray, crowd: np.ndarray, outside: np.ndarray, threshold: float) -> np.ndarray:
    """Index of the annotation that each prediction takes, -1 for none; int64 [D].

    Predictions choose in the order of their scores. Annotations that count go before ignored ones (crowd, or outside
    the area range), the highest IoU wins, among equal ones the last. Only a crowd can be taken more than once.
    """
    ignored = crowd | outside
    order = np.argsort(ignored, kind='stable')
    taken = np.zeros(len(ignored), bool)
    choice = np.full(len(ious), -1, np.int64)
    for d, row in enumerate(ious):
        best, best_iou = -1, min(threshold, 1 - 1e-10)
        for g in order:
            if taken[g] and not crowd[g]:
                continue
            if best >= 0 and not ignored[best] and ignored[g]:
                break
            if row[g] >= best_iou:
                best, best_iou = g, row[g]
        if best >= 0:
            taken[best] = True
            choice[d] = best
    return choice


def _match_category(ious: np.ndarray, scores: np.ndarray, areas: np.ndarray,
                    annotated: List[AnnotatedTrack]) -> CategoryMatch:
    """Matching of D predictions, by falling score, in all area ranges and at all thresholds."""
    crowd = np.array([track.is_crowd for track in annotated], bool)
    track_areas = np.array([track.area for track in annotated], np.float64)
    shape = len(AREA_RANGES), len(IOU_THRESHOLDS), len(scores)
    matched, ignored = np.zeros(shape, bool), np.zeros(shape, bool)
    num_annotated = np.zeros(len(AREA_RANGES), np.int64)
    for a, (low, high) in enumerate(AREA_RANGES.values()):
        outside = (track_areas < low) | (track_areas > high)
        num_annotated[a] = (~(crowd | outside)).sum()
        own_outside = (areas < low) | (areas > high)
        for t, threshold in enumerate(IOU_THRESHOLDS):
            choice = _assign(ious, crowd, outside, threshold)
            matched[a, t] = choice >= 0
            ignored[a, t] = np.append(crowd | outside, False)[choice] | (own_outside & (choice < 0))
    return CategoryMatch(scores, matched, ignored, num_annotated)


def match_video(annotated: AnnotatedVideo, results: Sequence[Mapping[str, Any]]) -> VideoMatch:
    """Match the results of one video with its annotations, category by category.

    Args:
        annotated: the video in the annotation file.
        results: entries of a results file for this video: ``category_id``, ``score``, ``segmentations`` (RLE or None
            per frame). Equal scores keep their order.

    Raises:
        ValueError: a score that is no number, a mask that does not fill its frame, a missing key.
    """
    owner = f'Result of video {annotated.video_id!r}'
    for entry in results:
        for key in ('category_id', 'score', 'segmentations'):
            if key not in entry:
                raise ValueError(f'{owner}: {key} is missing.')
        if isinstance(entry['score'], bool) or not isinstance(entry['score'], (int, float, np.number)):
            raise ValueError(f'{owner}: score must be a number, not {entry["score"]!r}.')
    categories: Dict[int, CategoryMatch] = {}
    for category_id in {track.category_id for track in annotated.tracks} | {entry['category_id'] for entry in results}:
        own = [entry for entry in results if entry['category_id'] == category_id]
        scores = np.array([entry['score'] for entry in own], np.float64)
        order = np.argsort(-scores, kind='stable')[:MAX_TRACKS]
        tracks = [_read_masks(own[i]['segmentations'], f'{owner}, category {category_id!r}') for i in order]
        truth = [track for track in annotated.tracks if track.category_id == category_id]
        ious = np.zeros((len(tracks), len(truth)))
        if tracks and truth:
            ious = _track_ious(tracks, [_read_masks(track.segmentations, f'Annotation of video {annotated.video_id!r}')
                                        for track in truth])
        areas = np.array([masks.mean_area() for masks in tracks], np.float64)
        categories[category_id] = _match_category(ious, scores[order], areas, truth)
    return VideoMatch(annotated.video_id, categories)
