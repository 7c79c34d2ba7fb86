"""Operators that PyTorch and torchvision lack, and the stand-in for the compiled operators of mmcv.

Nothing here imports torch: ``import mmvis`` stays light. Import an operator from its file, for example
``from mmvis.ops.deform_attn import ms_deform_attn``.
"""
import sys
from importlib.util import spec_from_file_location
from pathlib import Path


class MMCVExtFinder:
    """Finds ``mmvis/ops/mmcv_ext.py`` as the module ``mmcv._ext``.

    It stands last in ``sys.meta_path``, so it is asked only when nothing else has found the module: a compiled
    mmcv is used without a word. The module gets a real spec, which mmengine and mmcv look at.
    """

    @staticmethod
    def find_spec(fullname, path=None, target=None):
        if fullname == 'mmcv._ext':
            return spec_from_file_location(fullname, Path(__file__).with_name('mmcv_ext.py'))
        return None


def supply_mmcv_ext() -> None:
    """Makes ``import mmcv._ext`` work without a compiled mmcv, from now on in this process."""
    if MMCVExtFinder not in sys.meta_path:
        sys.meta_path.append(MMCVExtFinder)
