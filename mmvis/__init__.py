"""mmvis: a toolbox for video instance segmentation."""
from mmvis.ops import supply_mmcv_ext
from mmvis.version import __version__

__all__ = ['__version__']

# mmcv.ops and mmdet.models ask for mmcv's compiled operators when they are imported, so this stands first.
supply_mmcv_ext()
