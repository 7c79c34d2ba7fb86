"""The last step of the systems that choose their tracks when the video ends; without PyTorch."""
from .enlarge import enlarge_and_encode
from .mask_store import MaskStore
from .ranking import EndRanking, Record, best_of_row

__all__ = ['EndRanking', 'MaskStore', 'Record', 'best_of_row', 'enlarge_and_encode']
