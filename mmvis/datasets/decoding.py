"""Decoding a picture, with what its decoder has to say about it.

A JPEG has no checksum. Whether one is damaged only libjpeg knows, which tells it on stderr and then gives the pixels as
if nothing were wrong; OpenCV passes on neither the words nor their number. So stderr is caught while a picture is
decoded: 0.01 ms, where decoding once more with a library that tells would double the time.
"""
import os
import re
import sys
import threading
from contextlib import contextmanager, suppress
from typing import Iterator, List, Optional, Tuple

import cv2
import numpy as np

#: Words of libjpeg, libpng, libtiff and OpenCV for a picture of which a part is not as it was written. What else they
#: say (an unknown colour profile, an odd version number) is harmless.
_DAMAGE = re.compile(r'Corrupt JPEG data|Premature end of JPEG|Inconsistent progression|libpng error|^\[ *ERROR:'
                     r'|TIFF_Warning (JPEGLib: (Corrupt|Premature)|PackBitsDecode: Discarding)')
_OWN_WORDS = re.compile(r'^(\[ *(ERROR|WARN|INFO|DEBUG):|libpng |OpenCV\()')
_CORE = (re.compile(r' error: \([^)]*\) (.*) in function'), re.compile(r'^\[[^]]*\] global \S+ \w+ (.*)'),
         re.compile(r'^libpng error: (.*)'))
# One at a time: stderr belongs to the whole process. A fork waits, so that no child is born with it caught.
_one_at_a_time = threading.RLock()
if hasattr(os, 'register_at_fork'):
    os.register_at_fork(before=_one_at_a_time.acquire, after_in_parent=_one_at_a_time.release,
                        after_in_child=_one_at_a_time.release)


def decode(data: bytes, flags: int = cv2.IMREAD_COLOR) -> Tuple[Optional[np.ndarray], str]:
    """``cv2.imdecode``, and what is wrong with the picture.

    Args:
        data: content of the file.
        flags: as OpenCV takes them.

    Returns:
        The picture, None if it cannot be decoded; and the complaint of the decoder, '' if the picture is whole as far
        as its format can tell (a hole in a JPEG is noticed where the rest of its scan does not fit the picture any
        more; BMP and WebP cannot tell a hole at all).
    """
    failure: List[str] = []
    with _one_at_a_time:
        with _catch_stderr() as caught:
            image = None
            if data:
                try:
                    image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
                except cv2.error as error:
                    failure.append(error.err or str(error).strip())
    complaints, strange = [], []
    for line in b''.join(caught).decode('utf-8', 'replace').splitlines(keepends=True):
        if _DAMAGE.search(line) or image is None and _OWN_WORDS.match(line):
            complaints.append(line.strip())
        elif line.strip() or image is not None:
            strange.append(line)
    if strange:  # harmless, or of another thread
        sys.stderr.write(''.join(strange))
    return image, _core((failure + complaints + [''])[0])


def _core(line: str) -> str:
    """The part of a complaint that says something to people who do not know the decoder."""
    found = next((match for match in (pattern.search(line) for pattern in _CORE) if match), None)
    return (found[1] if found else line).strip().rstrip('.')[:160]


@contextmanager
def _catch_stderr() -> Iterator[List[bytes]]:
    """What is written to stderr, also by C, in a list that is filled when the block ends."""
    caught: List[bytes] = []
    sink, source = os.pipe()
    for end in (sink, source):  # a decoder that fills the pipe loses words, and does not wait for ever
        os.set_blocking(end, False)
    try:
        before: Optional[int] = os.dup(2)
    except OSError:  # there is no stderr
        before = None
    try:
        os.dup2(source, 2)
        try:
            yield caught
        finally:
            if before is None:
                os.close(2)
            else:
                os.dup2(before, 2)
                os.close(before)
            os.close(source)
            with suppress(BlockingIOError):
                while True:
                    chunk = os.read(sink, 65536)
                    if not chunk:
                        break
                    caught.append(chunk)
    finally:
        os.close(sink)
