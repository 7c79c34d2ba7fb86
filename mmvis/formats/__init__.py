"""Annotation formats of other tools, each in one module with two functions:

``read(source, frames) -> VideoSet``: videos, frames and tracks of a file or folder; ``frames`` is the folder of the
pictures, None where they lie beside. ``write(videos, out) -> notes``: the same out again. What a format says of results
of a tool is a third one, ``read_results(source, videos)``. A further format is a module with these and a line here.
"""
from types import ModuleType
from typing import Dict

from . import coco, cvat, davis, labelme, mots, ytvis
from .tracks import LabeledVideo, Track, VideoSet

#: Name on the command line -> module.
FORMATS: Dict[str, ModuleType] = dict(labelme=labelme, cvat=cvat, coco=coco, mots=mots, davis=davis, ytvis=ytvis)

__all__ = ['FORMATS', 'LabeledVideo', 'Track', 'VideoSet']
