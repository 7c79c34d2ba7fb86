"""AP and AR of video instance segmentation as a metric of mmengine's validation and test loops."""
from typing import Any, Collection, Dict, List, NamedTuple, Optional, Sequence

from mmengine.dist import all_gather_object
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log

from mmvis.errors import InputError
from mmvis.registry import METRICS
from mmvis.structures import VideoResult

from .ground_truth import GroundTruth, load_ground_truth
from .matching import VideoMatch, match_video
from .rules import Rules
from .subsets import evaluate_short_long, find_long
from .vis_eval import Evaluation, accumulate


@METRICS.register_module()
class VISMetric(BaseMetric):
    """YouTube-VIS AP and AR of the videos that were run.

    Every video is matched as soon as its result comes and only the outcome is kept: no masks pile up. The annotation
    file is that of the dataset: ``dataset_meta`` must hold ``ann_file``, ``has_annotations``, ``classes`` and
    ``category_ids``. Without annotations nothing is measured.

    Args:
        benchmark: whose rules, 'ytvis' or 'ovis'.
        long_ids, long_frames: which videos are long, to measure short and long ones apart too (YouTube-VIS 2022): a
            file that names them (see ``find_long``), or those of more than so many frames.
        prefix: of the names of the statistics.
    """
    default_prefix = 'vis'

    def __init__(self, benchmark: str = 'ytvis', long_ids: Optional[str] = None, long_frames: Optional[int] = None,
                 prefix: Optional[str] = None) -> None:
        super().__init__(prefix=prefix)
        self.rules = Rules(benchmark)
        self.long_ids, self.long_frames = long_ids, long_frames
        self._truth: Optional[GroundTruth] = None

    def process(self, data_batch: Any, data_samples: Sequence[VideoResult]) -> None:
        """Match the results of whole videos.

        Raises:
            ValueError: a video that is not in the annotation file.
        """
        if not self.dataset_meta['has_annotations']:
            return
        for result in data_samples:
            truth = self._ground_truth()
            if result.video_id not in truth.videos:
                raise InputError(f'{truth.path}: video {result.video_id!r} is not in this annotation file.')
            self.results.append(match_video(truth, truth.videos[result.video_id], self._entries(result), self.rules))

    def evaluate(self, size: int) -> Dict[str, float]:
        """Statistics over the videos of all processes, the same on each of them.

        mmengine's own gathering would drop videos when the processes have unequal numbers of them.
        """
        gathered = all_gather_object(list(self.results))
        self.results.clear()
        matches = {match.video_id: match for part in gathered for match in part}
        metrics = self.compute_metrics(list(matches.values()))
        return {f'{self.prefix}/{name}': value for name, value in metrics.items()}

    def compute_metrics(self, results: List[VideoMatch]) -> Dict[str, float]:
        """``segm_AP`` and the other statistics in 0 .. 1 (-1: nothing of that kind is annotated).

        With long videos named also ``short_segm_AP`` ..., ``long_segm_AP`` ... and their mean, ``mean_segm_AP`` ...
        """
        if not self.dataset_meta['has_annotations']:
            print_log(f'{self.dataset_meta["ann_file"]} has no annotations: AP is not computed.', logger='current')
            return {}
        truth = self._ground_truth()
        if len(results) < len(truth.videos):
            print_log(f'AP over {len(results)} of the {len(truth.videos)} videos of {truth.path}.', logger='current')
        matched = _Matched(results, truth, self.rules, self.dataset_meta['category_ids'])
        evaluation = matched.evaluate()
        print_log('\n' + evaluation.table(), logger='current')
        stats = {'': evaluation.stats}
        if self.long_ids is not None or self.long_frames is not None:
            parts = evaluate_short_long(matched, find_long(truth, self.long_ids, self.long_frames))
            print_log('Short and long videos\n' + parts.table(), logger='current')
            stats.update(short_=parts.short.stats, long_=parts.long.stats, mean_=parts.mean)
        return {f'{part}segm_{name}': value for part in stats for name, value in stats[part].items()}

    def _ground_truth(self) -> GroundTruth:
        if self._truth is None or self._truth.path != str(self.dataset_meta['ann_file']):
            self._truth = load_ground_truth(self.dataset_meta['ann_file'])
        return self._truth

    def _entries(self, result: VideoResult) -> List[Dict[str, Any]]:
        """The result as entries of a results file."""
        return [dict(category_id=self.dataset_meta['category_ids'][track.label], score=float(track.score),
                     segmentations=[track.masks.get(t) for t in range(result.num_frames)]) for track in result.tracks]


class _Matched(NamedTuple):
    """Videos that were matched one by one, to be evaluated together or in parts."""
    matches: List[VideoMatch]
    truth: GroundTruth
    rules: Rules
    category_ids: Sequence[int]

    def evaluate(self, video_ids: Optional[Collection] = None) -> Evaluation:
        """Statistics of all videos, or of those named as if there were no others."""
        chosen = [match for match in self.matches if video_ids is None or match.video_id in video_ids]
        return accumulate(chosen, self.truth, self.rules, self.category_ids)
