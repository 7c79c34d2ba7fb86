"""Memory of this process."""
import ctypes
import gc
import sys

import pytest

needs_proc = pytest.mark.skipif(not sys.platform.startswith('linux'), reason='reads /proc')


def resident_kib(name: str = 'VmRSS') -> int:
    """KiB this process holds now (``VmRSS``) or held at most (``VmHWM``)."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), 'malloc_trim', None)     # what is free already, but not given back, is no growth
    if trim is not None:
        trim(0)
    with open('/proc/self/status') as file:
        return next(int(line.split()[1]) for line in file if line.startswith(name))
