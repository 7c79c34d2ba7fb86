"""A disk that is soon full, without being root: writes beyond a number of bytes of one file fail (EFBIG)."""
import resource
from contextlib import contextmanager


@contextmanager
def files_end_at(num_bytes):
    """In the block no file of this process can grow beyond that, whoever writes it; Python ignores the signal."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
