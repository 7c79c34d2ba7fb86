"""Results files and what they are worth."""
from .ground_truth import AnnotatedVideo, GroundTruth, load_ground_truth
from .image_eval import COCOMetric, evaluate_image_results, image_table
from .matching import VideoMatch, match_video
from .results_writer import ResultsWriter
from .rules import Rules
from .vis_eval import Evaluation, Evaluator, accumulate, evaluate_results
from .vis_metric import VISMetric

__all__ = ['AnnotatedVideo', 'COCOMetric', 'Evaluation', 'Evaluator', 'GroundTruth', 'ResultsWriter', 'Rules',
           'VISMetric', 'VideoMatch', 'accumulate', 'evaluate_image_results', 'evaluate_results', 'image_table',
           'load_ground_truth', 'match_video']
