"""Results files and what they are worth."""
from typing import Any

from mmvis.lazy import lazy_name

from .ground_truth import AnnotatedVideo, GroundTruth, load_ground_truth
from .matching import VideoMatch, match_video
from .rules import Rules
from .vis_eval import Evaluation, Evaluator, accumulate, evaluate_results

#: What belongs to a running model: PyTorch comes with it, which takes seconds, and evaluating a file needs none.
_OF_RUNS = {'image_eval': 'COCOMetric evaluate_image_results image_table', 'results_writer': 'ResultsWriter',
            'vis_metric': 'VISMetric'}

__all__ = ['AnnotatedVideo', 'COCOMetric', 'Evaluation', 'Evaluator', 'GroundTruth', 'ResultsWriter', 'Rules',
           'VISMetric', 'VideoMatch', 'accumulate', 'evaluate_image_results', 'evaluate_results', 'image_table',
           'load_ground_truth', 'match_video']


def __getattr__(name: str) -> Any:
    return lazy_name(__name__, _OF_RUNS, name)
