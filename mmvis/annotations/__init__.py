"""The one reader of annotation files, for training, evaluation, splitting, browsing and drawing. No PyTorch here."""
from .index import AnnotationIndex, VideoRecord, load_annotations
from .json_file import no_garbage_collection, parse_json, read_json
from .outlines import Outlines, load_outlines
from .reader import Content, Video, read_content

__all__ = ['AnnotationIndex', 'Content', 'Outlines', 'Video', 'VideoRecord', 'load_annotations', 'load_outlines',
           'no_garbage_collection', 'parse_json', 'read_content', 'read_json']
