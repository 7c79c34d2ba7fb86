"""Checkpoints of other code bases and our own: recognised by their keys, loaded safely, with a printed account."""
from .checkpoint_file import check_weights, read_checkpoint
from .layout import Layout
from .load import LoadReport, convert_state_dict, dataset_meta, load_checkpoint

__all__ = ['Layout', 'LoadReport', 'check_weights', 'convert_state_dict', 'dataset_meta', 'load_checkpoint',
           'read_checkpoint']
