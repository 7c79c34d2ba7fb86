"""Results files and what they are worth."""
import importlib
from typing import Any

from .ground_truth import AnnotatedVideo, GroundTruth, load_ground_truth
from .matching import VideoMatch, match_video
from .rules import Rules
from .vis_eval import Evaluation, Evaluator, accumulate, evaluate_results

#: What belongs to a running model: PyTorch comes with it, which takes seconds, and evaluating a file needs none.
_OF_RUNS = {'COCOMetric': 'image_eval', 'evaluate_image_results': 'image_eval', 'image_table': 'image_eval',
            'ResultsWriter': 'results_writer', 'VISMetric': 'vis_metric'}

__all__ = ['AnnotatedVideo', 'COCOMetric', 'Evaluation', 'Evaluator', 'GroundTruth', 'ResultsWriter', 'Rules',
           'VISMetric', 'VideoMatch', 'accumulate', 'evaluate_image_results', 'evaluate_results', 'image_table',
           'load_ground_truth', 'match_video']


def __getattr__(name: str) -> Any:
    """What belongs to runs, when it is asked for."""
    if name in _OF_RUNS:
        return getattr(importlib.import_module(f'.{_OF_RUNS[name]}', __name__), name)
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
