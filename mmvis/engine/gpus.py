"""Is there a GPU that PyTorch passes over?"""
import logging
import os
import warnings
from functools import lru_cache
from pathlib import Path
from typing import Optional

import torch
from mmengine.logging import print_log

#: One folder for every GPU that the driver of the system has found.
_DRIVER = Path('/proc/driver/nvidia/gpus')


def unusable_gpu() -> Optional[str]:
    """Why PyTorch cannot use the GPU of this machine; None where there is none, it is hidden, or it can be used."""
    hidden = os.environ.get('CUDA_VISIBLE_DEVICES', '0').strip() in ('', '-1')
    if hidden or not any(_DRIVER.glob('*')):
        return None
    with warnings.catch_warnings():                  # PyTorch's own warning would come twice
        warnings.simplefilter('ignore')
        if torch.cuda.is_available():
            return None
        if torch.version.cuda is None and torch.version.hip is None:
            return f'PyTorch {torch.__version__} was built without CUDA'
        try:
            torch.cuda.init()
        except (RuntimeError, AssertionError) as error:
            return ' '.join(str(error).split())
    return 'PyTorch does not find it'


@lru_cache(maxsize=None)
def warn_of_unusable_gpu() -> None:
    """One warning a process, where all would silently run on the CPU."""
    reason = unusable_gpu()
    if reason is not None:
        print_log(f'This machine has a GPU, but all runs on the CPU: {reason}.', logger='current', level=logging.WARNING)
