"""A video of 1,000 frames: what is kept does not grow with it."""
import gc
import sys

import numpy as np
import pytest
import torch
from helpers.tiny_ifc import tiny_frames, tiny_model

from mmvis.structures import VideoInfo


def resident_kib() -> int:
    gc.collect()
    with open('/proc/self/status') as file:
        return next(int(line.split()[1]) for line in file if line.startswith('VmRSS'))


@pytest.mark.skipif(not sys.platform.startswith('linux'), reason='reads /proc')
def test_memory_grows_with_the_tubes_only():
    torch.set_num_threads(1)
    model = tiny_model(num_frames=3, num_encoder_layers=1, num_decoder_layers=1)
    state = model.start(VideoInfo(1, (64, 96), (32, 48), 0.5, None))
    clip = model.data_preprocessor({'inputs': [tiny_frames(50, (32, 48))]}, False)['inputs']
    written, resident, seen = 0, {}, set()
    for t in range(1000):
        for frame in model.step(state, clip[t % 50][None]):
            assert frame.frame_idx == len(seen)
            seen.add(frame.frame_idx)
            written += len(frame)
        if t in (99, 999):
            resident[t] = resident_kib()
    rest, verdicts = model.finish(state)
    assert len(seen) + len(rest) == 1000 and written > 1000 and len(rest) == model.lag
    assert len(state.features) < model.num_frames and not state.joiner._frames
    assert resident[999] - resident[99] < 4096, (resident, len(state.joiner))
    assert {v.track_id for v in verdicts} <= set(range(len(state.joiner)))
    assert np.isfinite([v.score for v in verdicts]).all()
