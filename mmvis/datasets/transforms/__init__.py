"""Transforms of whole clips. Each draws once a clip and treats all frames alike; see :class:`ClipTransform`."""
from .base import ClipCompose, ClipTransform
from .boxes import ClipBoxesFromMasks, ClipClampBoxes
from .choice import ClipRandomChoice
from .crop import ClipCrop, ClipPad
from .flip import ClipFlip
from .lsj import ClipLSJ
from .photometric import ClipBlur, ClipColorJitter, ClipColorShift, ClipPhotometric
from .resize import ClipResize, resized_shape
from .rotate import ClipDrawPolygons, ClipRotate
from .warp import ClipRepeat, ClipShuffle, ClipWarp

__all__ = ['ClipBlur', 'ClipBoxesFromMasks', 'ClipClampBoxes', 'ClipColorJitter', 'ClipColorShift', 'ClipCompose',
           'ClipCrop', 'ClipDrawPolygons', 'ClipFlip', 'ClipLSJ', 'ClipPad', 'ClipPhotometric', 'ClipRandomChoice', 'ClipRepeat',
           'ClipResize', 'ClipRotate', 'ClipShuffle', 'ClipTransform', 'ClipWarp', 'resized_shape']
