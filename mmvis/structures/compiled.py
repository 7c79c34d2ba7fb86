"""Inner loops that numba compiles where it is installed, and that NumPy does to the same bits where it is not."""
import functools
import importlib
import logging
import os
from types import ModuleType
from typing import Any, Callable

#: Set to 0 to do without numba.
NUMBA_VARIABLE = 'MMVIS_NUMBA'


def choose_kernels(plain: ModuleType, compiled: str) -> ModuleType:
    """The module named ``compiled`` where numba is installed and wanted, else ``plain``."""
    return _choose(plain, compiled, os.environ.get(NUMBA_VARIABLE) != '0')


@functools.lru_cache(maxsize=None)
def _choose(plain: ModuleType, compiled: str, wanted: bool) -> ModuleType:
    try:
        return importlib.import_module(compiled) if wanted else plain  # numba takes a second to import
    except ImportError:
        return plain


class CompiledLoop:
    """A function that numba compiles when it is first called with arguments of a kind.

    numba keeps the machine code in ``__pycache__`` beside the file or, where that cannot be written, in the user's
    cache folder; where neither can be, or the disk is full, or what is there is damaged, it compiles anew in every
    process.
    """
    _told = False

    def __init__(self, function: Callable) -> None:
        from numba import njit  # only modules that are imported where numba is installed get here
        self._function, self._njit = function, njit
        try:
            self._compiled = njit(cache=True, nogil=True)(function)
        except RuntimeError:  # no folder for the machine code
            self._compiled = njit(nogil=True)(function)

    def __call__(self, *args) -> Any:
        try:
            return self._compiled(*args)
        except Exception as error:  # a full disk, or whatever the reader of a damaged file raises; a real one comes again
            folder = self._compiled.stats.cache_path
            self._compiled = self._njit(nogil=True)(self._function)
            result = self._compiled(*args)
            if not CompiledLoop._told:
                CompiledLoop._told = True
                logging.getLogger(__name__).warning('Compiled loops cannot be kept or read in %s (%s): they are '
                                                    'compiled anew.', folder, error)
            return result

