"""mmvis: a toolbox for video instance segmentation."""
import importlib
import os
from typing import Any

from mmvis.cli import interrupt_in_one_line

interrupt_in_one_line()  # before torch is imported, which takes seconds

from mmvis.ops import supply_mmcv_ext  # noqa: E402
from mmvis.version import __version__  # noqa: E402

__all__ = ['__version__']

# FFmpeg and OpenCV each print their own account of a failure, and ours is one sentence. FFmpeg reads this once.
os.environ.setdefault('OPENCV_FFMPEG_LOGLEVEL', '-8')

# mmcv.ops and mmdet.models ask for mmcv's compiled operators when they are imported, so this stands first.
supply_mmcv_ext()


def __getattr__(name: str) -> Any:
    """``mmvis.registry`` when it is asked for: PyTorch comes with it."""
    if name == 'registry':
        return importlib.import_module('mmvis.registry')
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
