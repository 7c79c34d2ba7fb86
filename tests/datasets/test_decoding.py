"""Words of the decoders on stderr: ours are taken, all others pass."""
import os
import threading
import time

import cv2
import numpy as np

from mmvis.datasets import decoding
from mmvis.datasets.decoding import decode

WHOLE = cv2.imencode('.jpg', np.random.default_rng(0).integers(0, 255, (40, 60, 3), np.uint8))[1].tobytes()
DAMAGED = WHOLE[:len(WHOLE) // 2] + b'\xff\xd9'


def slow(monkeypatch, words):
    """Decoding that takes a while; meanwhile the words are written to stderr, as C would."""
    imdecode = cv2.imdecode

    def decode_slowly(*args):
        image = imdecode(*args)
        os.write(2, words)
        time.sleep(0.1)
        return image

    monkeypatch.setattr(decoding.cv2, 'imdecode', decode_slowly)


def test_pixels_and_complaint():
    image, complaint = decode(WHOLE)
    assert complaint == '' and np.array_equal(image, cv2.imdecode(np.frombuffer(WHOLE, np.uint8), cv2.IMREAD_COLOR))
    assert decode(DAMAGED)[1] == 'Corrupt JPEG data: premature end of data segment'
    assert decode(b'') == (None, '') and decode(b'nothing')[0] is None


def test_words_of_others_pass(monkeypatch, capfd):
    slow(monkeypatch, b'libpng warning: iCCP: known incorrect sRGB profile\nof another thread\n')
    assert decode(WHOLE)[1] == ''
    assert decode(DAMAGED)[1].startswith('Corrupt')
    assert capfd.readouterr().err == 2 * 'libpng warning: iCCP: known incorrect sRGB profile\nof another thread\n'


def test_a_decoder_that_says_more_than_a_pipe_holds_does_not_hang(monkeypatch, capfd):
    os.set_blocking(1, True)
    chatter = b'\n'.join([b'[ERROR:0@0.1] global grfmt_tiff.cpp:117 TIFF_Error bad tile'] * 999)

    def imdecode(*args):
        for _ in range(20):
            try:
                os.write(2, chatter)
            except BlockingIOError:  # C drops them
                pass

    monkeypatch.setattr(decoding.cv2, 'imdecode', imdecode)
    assert decode(WHOLE) == (None, 'bad tile')


def test_a_child_that_is_born_meanwhile_has_its_own_stderr(monkeypatch, capfd):
    slow(monkeypatch, b'')
    thread = threading.Thread(target=decode, args=(WHOLE,))
    thread.start()
    time.sleep(0.03)
    child = os.fork()
    if child == 0:
        os.write(2, b'of the child\n')
        os._exit(0 if decode(DAMAGED)[1] else 1)
    thread.join()
    assert os.waitpid(child, 0)[1] == 0
    assert capfd.readouterr().err == 'of the child\n'
