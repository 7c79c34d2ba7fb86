"""Short and long videos apart, as YouTube-VIS 2022 reports them."""
import os
from dataclasses import dataclass
from typing import Any, Collection, Dict, List, Optional, Protocol, Union

from mmvis.annotations import parse_json
from mmvis.annotations.fields import as_id
from mmvis.annotations.json_file import read_bytes
from mmvis.errors import InputError, shown

from .ground_truth import GroundTruth
from .vis_eval import Evaluation, side_by_side


@dataclass
class ShortLong:
    """Evaluations of the short and of the long videos, each as if there were no others, and of all together.

    ``mean`` is the mean of the two for every statistic, -1 where one of them is: not the same as ``union``.
    """
    short: Evaluation
    long: Evaluation
    union: Evaluation
    mean: Dict[str, float]

    def table(self) -> str:
        return side_by_side(dict(short=self.short.stats, long=self.long.stats, mean=self.mean, union=self.union.stats))


class Matched(Protocol):
    """Results matched with their annotations, such as an ``Evaluator``."""
    truth: GroundTruth

    def evaluate(self, video_ids: Optional[Collection] = None) -> Evaluation: ...


def evaluate_short_long(evaluator: Matched, long_ids: List[Union[int, str]]) -> ShortLong:
    """Split the videos into those of ``long_ids`` and the others.

    Raises:
        ValueError: no video is left on one side.
    """
    chosen = set(long_ids)
    short_ids = [video_id for video_id in evaluator.truth.videos if video_id not in chosen]
    if not chosen or not short_ids:
        raise InputError(f'{evaluator.truth.path}: all {len(evaluator.truth.videos)} videos are '
                         f'{"long" if chosen else "short"}, so there are no two parts.')
    short, long = evaluator.evaluate(short_ids), evaluator.evaluate(chosen)
    mean = {name: -1.0 if min(value, long.stats[name]) == -1 else (value + long.stats[name]) / 2
            for name, value in short.stats.items()}
    return ShortLong(short, long, evaluator.evaluate(), mean)


def find_long(truth: GroundTruth,
              file: Optional[Union[str, os.PathLike]] = None,
              frames: Optional[int] = None) -> List[Any]:
    """Ids of the long videos: those that a file lists, or those of more than so many frames.

    Args:
        file: an annotation file of the long videos, a JSON list of ids, or a text with an id a line.
        frames: the longest of the short videos has at most so many.

    Raises:
        InputError: the file cannot be read, holds something else, or an id that the annotation file does not have.
    """
    if file is None:
        return [video.video_id for video in truth.videos.values() if video.num_frames > frames]
    listed = _listed(read_bytes(file), file)
    by_text = {str(video_id): video_id for video_id in truth.videos}
    for video_id in listed:
        if str(video_id) not in by_text:
            raise InputError(f'{file}: video {shown(video_id)} is not in {truth.path}.')
    return [by_text[str(video_id)] for video_id in listed]


def _listed(content: bytes, file: Union[str, os.PathLike]) -> List[Any]:
    """The ids in a file of one of the three kinds; ids that are written as 7.0 as integers."""
    text = content.decode('utf-8-sig', errors='replace')
    if text.lstrip()[:1] in ('{', '['):
        listed = parse_json(content, file)
        if isinstance(listed, dict):
            if not isinstance(listed.get('videos'), list):
                raise InputError(f'{file}: an annotation file with a list of videos is needed, or a list of ids.')
            listed = [video.get('id') if isinstance(video, dict) else video for video in listed['videos']]
    else:
        listed = text.split()
    return [value if as_id(value) is None else as_id(value) for value in listed]
