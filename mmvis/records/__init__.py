"""What becomes of the frames of a video, without PyTorch: the journal and the results file, and for systems that choose
their tracks when the video ends the ranking and the masks until then."""
from .enlarge import enlarge_and_encode, enlarge_with_values
from .image_results import image_ids, image_results
from .mask_store import MaskStore, PackedRows, pack_rows
from .ranking import EndRanking, Record, best_of_row
from .results_file import ResultsFile

__all__ = ['EndRanking', 'MaskStore', 'PackedRows', 'Record', 'ResultsFile', 'best_of_row', 'enlarge_and_encode',
           'enlarge_with_values', 'image_ids', 'image_results', 'pack_rows']
