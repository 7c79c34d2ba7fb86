"""PyAV and OpenCV give the same frames of a file."""
import itertools
import math
import re
import struct
from fractions import Fraction

import cv2
import numpy as np
import pytest

from mmvis.apis import sources, video_decoding
from mmvis.apis.sources import open_source

av = pytest.importorskip('av')
#: Milliseconds of a phone that films in the dark.
UNEVEN = [0, 30, 100, 400, 420, 1000, 1010, 1500, 1600, 1700, 1730, 4000]


def make(path, times=range(0, 1200, 100), size=(96, 64), codec='libx264', pix_fmt='yuv420p', b_frames=0,
         unit=Fraction(1, 1000), **container):
    """A video of 12 frames, with a key frame every 5."""
    with av.open(str(path), 'w', **container) as file:
        stream = file.add_stream(codec, rate=10, options={'x265-params': 'log-level=none'} if '265' in codec else {})
        (stream.width, stream.height), stream.pix_fmt = size, pix_fmt
        stream.time_base = stream.codec_context.time_base = unit
        stream.codec_context.gop_size, stream.codec_context.max_b_frames = 5, b_frames
        for number, time in enumerate(times):
            picture = np.random.default_rng(number).integers(0, 255, (8, 12, 3), np.uint8)
            frame = av.VideoFrame.from_ndarray(cv2.resize(picture, size), format='bgr24')
            frame.pts, frame.time_base = time, unit
            file.mux(stream.encode(frame))
        file.mux(stream.encode())
    return path


def turn(degrees):
    """Have a player turn the video clockwise, by the matrix in the header of its track (ISO 14496-12, 8.3.2)."""
    def write_matrix(path):
        cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
        data = bytearray(path.read_bytes())
        struct.pack_into('>5i', data, data.index(b'tkhd') + 44, *(round(value * 65536) for value in (
            cosine, sine, 0, -sine, cosine)))
        path.write_bytes(data)
    return write_matrix


def truncate(path):
    path.write_bytes(path.read_bytes()[:int(0.6 * path.stat().st_size)])


def overwrite_frame(path):
    """What is in the middle of the file is no frame any more."""
    with av.open(str(path)) as file:
        packet = next(itertools.islice(file.demux(video=0), 6, None))
        position, size = packet.pos, packet.size
    with open(path, 'r+b') as file:
        file.seek(position)
        file.write(b'\xff' * size)


def has_one_swscale():
    """Whether both bring one version of what converts colours."""
    theirs = re.search(r'swscale:\s+YES \((\d+)\.(\d+)', cv2.getBuildInformation())
    return theirs and tuple(map(int, theirs.groups())) == av.library_versions['libswscale'][:2]


def read(path, decoder, monkeypatch):
    """Frames, frame rate, announced frames, and what is said."""
    said = []
    with monkeypatch.context() as patch:
        patch.setattr(video_decoding, 'av', av if decoder == 'PyAV' else None)
        patch.setattr(sources, 'print_log', lambda text, **options: said.append(text))
        source = open_source(path)
        assert source.decoder == decoder
        return list(source), source.fps, source.num_frames, said


@pytest.mark.parametrize('name, options, change, num_frames, shape', [
    ('ordinary.mp4', {}, None, 12, (64, 96)),
    ('b.mp4', dict(b_frames=3), None, 12, (64, 96)),
    ('b.ts', dict(b_frames=2), None, 12, (64, 96)),
    ('uneven.mp4', dict(times=UNEVEN), None, 12, (64, 96)),
    ('uneven.mov', dict(times=UNEVEN, b_frames=2), None, 12, (64, 96)),
    ('turned_90.mp4', {}, turn(90), 12, (96, 64)),
    ('turned_180.mov', {}, turn(180), 12, (64, 96)),
    ('turned_270.mp4', {}, turn(270), 12, (96, 64)),
    ('turned_45.mp4', {}, turn(45), 12, (64, 96)),
    ('odd.mp4', dict(size=(97, 65), pix_fmt='yuv444p'), None, 12, (65, 97)),
    ('ten_bits.mp4', dict(codec='libx265', pix_fmt='yuv420p10le'), None, 12, (64, 96)),
    ('vp9.webm', dict(codec='libvpx-vp9'), None, 12, (64, 96)),
    ('old.avi', dict(codec='mpeg4', times=range(12), unit=Fraction(1, 10)), None, 12, (64, 96)),
    ('cut.mkv', {}, truncate, range(5, 9), (64, 96)),
    ('cut.mp4', dict(options={'movflags': 'faststart'}), truncate, range(5, 9), (64, 96)),
    ('overwritten.mp4', {}, overwrite_frame, range(10, 12), (64, 96))])
def test_both_decoders_give_the_same_frames(tmp_path, monkeypatch, name, options, change, num_frames, shape):
    if 'ten_bits' in name and not has_one_swscale():
        pytest.skip('Colours of ten bits are rounded differently by the versions of FFmpeg that PyAV and OpenCV bring')
    path = make(tmp_path / name, **options)
    if change:
        change(path)
    (frames, *told), (others, *told_too) = (read(path, decoder, monkeypatch) for decoder in ('PyAV', 'OpenCV'))
    is_damaged = num_frames != 12
    assert len(frames) in (num_frames if is_damaged else [12])
    assert {frame.shape for frame in frames} == {(*shape, 3)} and {frame.dtype for frame in frames} == {np.dtype(np.uint8)}
    assert len(frames) == len(others) and all(map(np.array_equal, frames, others))
    assert told[:2] == pytest.approx(told_too[:2]) and told[1] == 12
    assert len(told[2]) == len(told_too[2]) == is_damaged


def test_turned_frames_stand_upright(tmp_path, monkeypatch):
    path = make(tmp_path / 'phone.mp4')
    lying = read(path, 'PyAV', monkeypatch)[0]
    turn(90)(path)
    upright = read(path, 'PyAV', monkeypatch)[0]
    assert np.array_equal(upright[3], cv2.rotate(lying[3], cv2.ROTATE_90_CLOCKWISE))


def test_a_truncated_video_is_told_in_a_sentence(tmp_path, monkeypatch):
    path = make(tmp_path / 'cut.mkv')
    truncate(path)
    frames, _, _, said = read(path, 'PyAV', monkeypatch)
    assert len(said) == 1 and f'cut.mkv announces 12 frames, but {len(frames)} could be decoded' in said[0]


@pytest.mark.parametrize('kind', ['sound', 'without its index'])
def test_what_holds_no_video_is_refused_in_a_sentence(tmp_path, kind):
    path = tmp_path / 'x.mp4'
    if kind == 'sound':
        with av.open(str(path), 'w') as file:
            stream = file.add_stream('aac', rate=44100)
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format='fltp', layout='mono')
            frame.sample_rate = 44100
            file.mux(stream.encode(frame))
            file.mux(stream.encode())
    else:
        truncate(make(path))  # the index of an ordinary MP4 stands at its end
    with pytest.raises(ValueError, match=r'x.mp4 cannot be opened as a video: it is damaged or none, or PyAV lacks'):
        open_source(path)
