"""HOTA, CLEAR (MOTA) and identity (IDF1) metrics on masks, by the definitions and defaults of TrackEval.

Sources: J. Luiten et al., "HOTA: A Higher Order Metric for Evaluating Multi-Object Tracking", IJCV 2021; K. Bernardin,
R. Stiefelhagen, "Evaluating Multiple Object Tracking Performance: The CLEAR MOT Metrics", 2008; E. Ristani et al.,
"Performance Measures and a Data Set for Multi-Target, Multi-Camera Tracking", 2016;
https://github.com/JonathonLuiten/TrackEval, whose YouTube-VIS data set is evaluated class by class. Every number here
is made of sums over videos, so videos can be shared out.
"""
from dataclasses import dataclass
from typing import Dict, Iterable, List, Sequence, Tuple, Union

import numpy as np
from scipy.optimize import linear_sum_assignment

from .ground_truth import AnnotatedVideo, GroundTruth
from .masks import TrackMasks, track_overlap
from .matching import Entry, read_entries

#: Localization thresholds over which HOTA is averaged.
ALPHAS = np.arange(0.05, 0.99, 0.05)
#: IoU from which CLEAR and identity metrics take two masks for the same object.
THRESHOLD = 0.5
_EPS = np.finfo(float).eps

#: The numbers that ``scores_of`` returns, in order, and what they say.
TRACKING_SCORES = {
    'HOTA': 'detection and association in balance', 'DetA': 'detection accuracy', 'AssA': 'association accuracy',
    'LocA': 'localization accuracy', 'DetRe': 'detection recall', 'DetPr': 'detection precision',
    'AssRe': 'association recall', 'AssPr': 'association precision', 'MOTA': 'misses, false positives and switches',
    'MOTP': 'mean IoU of matched masks', 'IDF1': 'share of masks with the right identity', 'IDR': 'identity recall',
    'IDP': 'identity precision', 'IDSW': 'identity switches', 'Frag': 'interruptions of tracks',
    'MT': 'tracks found in more than 80 % of their frames', 'PT': 'in 20 to 80 %', 'ML': 'in less'}
_COUNTS = ('IDSW', 'Frag', 'MT', 'PT', 'ML')

Sums = Dict[str, Union[float, np.ndarray]]


@dataclass
class VideoTracking:
    """What one video adds.

    Attributes:
        video_id: of the annotation file.
        sums: position of a category -> sums for ``scores_of``.
        timeline: int32 [G, frames], for every annotated track the place among the results of the video of the track
            that CLEAR matches to it in a frame; -1 where it is missed, -2 where it is not annotated.
    """
    video_id: Union[int, str]
    sums: Dict[int, Sums]
    timeline: np.ndarray


@dataclass
class _Frames:
    """One category of one video. present_gt, present: bool [T, G] and [T, D]; iou: float64 [T, G, D]."""
    present_gt: np.ndarray
    present: np.ndarray
    iou: np.ndarray

    def both(self) -> Iterable[Tuple[int, np.ndarray, np.ndarray, np.ndarray]]:
        """Frames with an annotation and a prediction: number, indices of the two, IoU between them."""
        for t in np.flatnonzero(self.present_gt.any(1) & self.present.any(1)):
            rows, columns = np.flatnonzero(self.present_gt[t]), np.flatnonzero(self.present[t])
            yield t, rows, columns, self.iou[t][np.ix_(rows, columns)]


def track_video(truth: GroundTruth, video: AnnotatedVideo, entries: Sequence[Entry], min_score: float,
                strict: bool = False) -> VideoTracking:
    """The sums of one video over the results that score at least ``min_score``, the same in whatever order they come.

    Args:
        strict: where two assignments are equally good, the order of the entries decides, as in TrackEval.

    Raises:
        InputError: a mask that does not fill its frame.
    """
    place = {category_id: k for k, category_id in enumerate(truth.category_ids)}
    chosen = [i for i, entry in enumerate(entries) if entry['category_id'] in place and not entry['score'] < min_score]
    masks = read_entries(video, entries, chosen)
    scores = np.array([entries[i]['score'] for i in chosen], np.float64)
    ranked = np.arange(len(chosen)) if strict else ranked_tracks(scores, masks)
    categories = np.array([place[entries[i]['category_id']] for i in chosen], np.int64)
    timeline = np.full((len(video.tracks), video.num_frames), -2, np.int32)
    sums: Dict[int, Sums] = {}
    for k in np.union1d(categories, video.categories).tolist():
        own, annotated = ranked[categories[ranked] == k], np.flatnonzero(video.categories == k)
        frames = _frames(truth.masks, video.tracks[annotated], masks, own, video.num_frames)
        clear, matched = _clear(frames)
        sums[k] = {**_hota(frames), **clear, **_identity(frames)}
        names = np.array([chosen[i] for i in own] + [-1], np.int32)
        timeline[annotated] = np.where(frames.present_gt, names[matched], -2).T
    return VideoTracking(video.video_id, sums, timeline)


def ranked_tracks(scores: np.ndarray, masks: TrackMasks) -> np.ndarray:
    """The tracks by falling score, then by their masks: int64 [N].

    Of two assignments that are equally good, which one is taken depends on the order of the tracks; in this one it
    does not depend on that of the file.
    """
    def key(track: int) -> Tuple[bool, float, Tuple[bytes, bytes]]:
        return np.isnan(scores[track]), -scores[track], masks.fingerprint(track)

    return np.array(sorted(range(len(scores)), key=key), np.int64)


def _frames(annotated: TrackMasks, gt: np.ndarray, masks: TrackMasks, own: np.ndarray, num_frames: int) -> _Frames:
    pairs = np.stack([np.tile(own, len(gt)), np.repeat(gt, len(own))], 1)
    inter, union = (array[:, :num_frames] for array in track_overlap(masks, annotated, pairs))
    iou = np.zeros((num_frames, len(pairs)))
    np.divide(inter.T, union.T, out=iou[:inter.shape[1]], where=union.T > 0)
    return _Frames(_present(annotated, gt, num_frames), _present(masks, own, num_frames),
                   iou.reshape(num_frames, len(gt), len(own)))


def _present(masks: TrackMasks, tracks: np.ndarray, num_frames: int) -> np.ndarray:
    """Whether the tracks have a mask, be it empty, in each frame: bool [num_frames, tracks]."""
    out = np.zeros((num_frames, len(tracks)), bool)
    for column, track in enumerate(tracks):
        heights = masks.heights[masks.frames[track]:masks.frames[track + 1]][:num_frames]
        out[:len(heights), column] = heights >= 0
    return out


def _hota(frames: _Frames) -> Sums:
    """Section 5 of the HOTA paper: one assignment a frame, best in IoU weighted by how well the tracks fit overall."""
    num_gt, num = frames.present_gt.sum(0)[:, None], frames.present.sum(0)[None, :]
    fit = np.zeros(frames.iou.shape[1:])
    for _, rows, columns, iou in frames.both():
        other = iou.sum(0, keepdims=True) + iou.sum(1, keepdims=True) - iou
        fit[np.ix_(rows, columns)] += np.divide(iou, other, out=np.zeros_like(iou), where=other > _EPS)
    fit /= np.maximum(num_gt + num - fit, _EPS)
    hits, located = np.zeros(len(ALPHAS)), np.zeros(len(ALPHAS))
    together = np.zeros((len(ALPHAS), *fit.shape))
    for _, rows, columns, iou in frames.both():
        i, j = linear_sum_assignment(-fit[np.ix_(rows, columns)] * iou)
        right = iou[i, j] >= ALPHAS[:, None] - _EPS  # [alphas, pairs]
        hits += right.sum(1)
        located += (right * iou[i, j]).sum(1)
        together[:, rows[i], columns[j]] += right
    # Every matched mask counts with the Jaccard index, recall and precision of its pair of tracks.
    weights = dict(AssA=num_gt + num - together, AssRe=num_gt, AssPr=num)
    return dict({name: (together * together / np.maximum(1, weight)).sum((1, 2)) for name, weight in weights.items()},
                TP=hits, FN=num_gt.sum() - hits, FP=num.sum() - hits, LocA=located)


def _clear(frames: _Frames) -> Tuple[Sums, np.ndarray]:
    """CLEAR: matches of the frame before are kept while they hold. Also int64 [T, G], the track matched or -1."""
    num_frames, num_gt, _ = frames.iou.shape
    last = np.full(num_gt, -1)       # the track that was matched last, however long ago
    before = np.full(num_gt, -1)     # in the frame before
    matched = np.full((num_frames, num_gt), -1)
    begun, switches, iou_sum = np.zeros(num_gt), 0, 0.0
    for t, rows, columns, iou in frames.both():
        value = 1000.0 * (columns[None, :] == before[rows, None]) + iou
        value[iou < THRESHOLD - _EPS] = 0
        i, j = linear_sum_assignment(-value)
        i, j = i[value[i, j] > _EPS], j[value[i, j] > _EPS]
        found, tracks = rows[i], columns[j]
        switches += int(((last[found] >= 0) & (last[found] != tracks)).sum())
        last[found] = tracks
        now = np.full(num_gt, -1)
        now[found] = tracks
        begun += (before < 0) & (now >= 0)
        before, matched[t] = now, now
        iou_sum += iou[i, j].sum()
    hits, annotated = (matched >= 0).sum(0), frames.present_gt.sum(0)
    share = hits[annotated > 0] / annotated[annotated > 0]
    mostly, partly = int((share > 0.8).sum()), int((share >= 0.2).sum())
    return dict(CLR_TP=hits.sum(), CLR_FN=annotated.sum() - hits.sum(), CLR_FP=frames.present.sum() - hits.sum(),
                IDSW=switches, Frag=(begun[begun > 0] - 1).sum(), MT=mostly, PT=partly - mostly,
                ML=len(share) - partly, MOTP=iou_sum), matched


def _identity(frames: _Frames) -> Sums:
    """One assignment of tracks for the whole video that leaves the fewest masks without the right identity."""
    num_gt, num = frames.present_gt.sum(0), frames.present.sum(0)
    common = (frames.iou >= THRESHOLD).sum(0)
    i, j = linear_sum_assignment(-common)
    hits = common[i, j].sum()
    return dict(IDTP=hits, IDFN=num_gt.sum() - hits, IDFP=num.sum() - hits)


def add_up(parts: Iterable[Sums]) -> Sums:
    """Sums over videos or categories."""
    total: Sums = {}
    for part in parts:
        for name, value in part.items():
            total[name] = total.get(name, 0) + value
    return total


def scores_of(sums: Sums) -> Dict[str, float]:
    """The scores of TRACKING_SCORES. HOTA and its parts are means over the localization thresholds."""
    if not sums:
        sums = dict.fromkeys(('CLR_TP', 'CLR_FN', 'CLR_FP', 'MOTP', 'IDTP', 'IDFN', 'IDFP', *_COUNTS), 0.0)
        sums.update({name: np.zeros(len(ALPHAS)) for name in ('TP', 'FN', 'FP', 'LocA', 'AssA', 'AssRe', 'AssPr')})
    hits, missed, wrong = sums['TP'], sums['FN'], sums['FP']
    det, ass = hits / np.maximum(1, hits + missed + wrong), sums['AssA'] / np.maximum(1, hits)
    annotated = max(1, sums['CLR_TP'] + sums['CLR_FN'])
    curves = dict(HOTA=np.sqrt(det * ass), DetA=det, AssA=ass,
                  LocA=np.maximum(1e-10, sums['LocA']) / np.maximum(1e-10, hits),
                  DetRe=hits / np.maximum(1, hits + missed), DetPr=hits / np.maximum(1, hits + wrong),
                  AssRe=sums['AssRe'] / np.maximum(1, hits), AssPr=sums['AssPr'] / np.maximum(1, hits))
    values = dict(MOTA=(sums['CLR_TP'] - sums['CLR_FP'] - sums['IDSW']) / annotated,
                  MOTP=sums['MOTP'] / max(1, sums['CLR_TP']),
                  IDF1=sums['IDTP'] / max(1, sums['IDTP'] + 0.5 * sums['IDFP'] + 0.5 * sums['IDFN']),
                  IDR=sums['IDTP'] / max(1, sums['IDTP'] + sums['IDFN']),
                  IDP=sums['IDTP'] / max(1, sums['IDTP'] + sums['IDFP']), **{name: sums[name] for name in _COUNTS})
    return {name: float(np.mean(value)) for name, value in {**curves, **values}.items()}


@dataclass
class TrackingScores:
    """Tracking scores by name.

    Attributes:
        class_averaged: means over all categories of the file, those without annotations included, as TrackEval
            has them; counts are sums.
        detection_averaged: over all masks, whatever their category.
        per_category: name -> scores.
        per_video: video id -> scores over all its masks.
        timelines: video id -> VideoTracking.timeline.
    """
    class_averaged: Dict[str, float]
    detection_averaged: Dict[str, float]
    per_category: Dict[str, Dict[str, float]]
    per_video: Dict[Union[int, str], Dict[str, float]]
    timelines: Dict[Union[int, str], np.ndarray]

    def table(self) -> str:
        lines = [f'{"":<6}{"by class":>10}{"by mask":>10}']
        for name, meaning in TRACKING_SCORES.items():
            style = '.0f' if name in _COUNTS else '.3f'
            values = (self.class_averaged[name], self.detection_averaged[name])
            lines.append(f'{name:<6}' + ''.join(f'{value:>10{style}}' for value in values) + f'  {meaning}')
        return '\n'.join(lines)


def summarize_tracking(videos: Sequence[VideoTracking], names: List[str]) -> TrackingScores:
    """Scores of videos that were tracked one by one; ``names`` of all categories."""
    per_class = [add_up(video.sums[k] for video in videos if k in video.sums) for k in range(len(names))]
    per_category = {name: scores_of(sums) for name, sums in zip(names, per_class)}
    overall = scores_of(add_up(per_class))
    averaged = {name: overall[name] if name in _COUNTS else
                float(np.mean([scores[name] for scores in per_category.values()])) for name in TRACKING_SCORES}
    return TrackingScores(averaged, overall, per_category,
                          {video.video_id: scores_of(add_up(video.sums.values())) for video in videos},
                          {video.video_id: video.timeline for video in videos})
