"""Results files and what they are worth."""
from .matching import AnnotatedTrack, AnnotatedVideo, VideoMatch, match_video
from .results_writer import ResultsWriter
from .vis_eval import Evaluation, GroundTruth, accumulate, evaluate_results, load_ground_truth
from .vis_metric import VISMetric

__all__ = ['AnnotatedTrack', 'AnnotatedVideo', 'Evaluation', 'GroundTruth', 'ResultsWriter', 'VISMetric', 'VideoMatch',
           'accumulate', 'evaluate_results', 'load_ground_truth', 'match_video']
