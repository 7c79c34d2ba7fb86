"""A video of 1,000 frames, frame by frame: what a system keeps does not grow with it.

MaskTrackRCNN (with its data path) and CondInst+IAI (with its memory policies) have tests of their own.
"""
import numpy as np
import pytest
import torch
from helpers import tiny_ifc, tiny_instanceformer, tiny_memcnp, tiny_sipmask
from helpers.resident import needs_proc, resident_kib

from mmvis.structures import VideoInfo

NUM_FRAMES, PATTERNS = 1000, 8
#: System -> (model, frame size).
SYSTEMS = {
    'sipmask': (lambda: tiny_sipmask.tiny_model(), (64, 96)),
    'memcnp': (lambda: tiny_memcnp.tiny_model(), (96, 128)),
    'ifc': (lambda: tiny_ifc.tiny_model(num_encoder_layers=1, num_decoder_layers=1), (32, 48)),
    'instanceformer': (lambda: tiny_instanceformer.tiny_model(memory=tiny_instanceformer.MEMORY), (64, 96)),
}


@needs_proc
@pytest.mark.parametrize('name', sorted(SYSTEMS))
def test_memory_after_frame_100_stays(name):
    torch.set_num_threads(1)
    build, size = SYSTEMS[name]
    model = build()
    state = model.start(VideoInfo('long', (2 * size[0], 2 * size[1]), size, 0.5, None))
    clip = model.data_preprocessor({'inputs': [tiny_ifc.tiny_frames(PATTERNS, size)]}, False)['inputs']
    resident, indices, objects = {}, [], 0
    with torch.inference_mode():
        for t in range(NUM_FRAMES):
            for frame in model.step(state, clip[t // 5 % PATTERNS][None]):
                indices.append(frame.frame_idx)
                objects += len(frame)
            if t + 1 in (100, NUM_FRAMES):
                resident[t + 1] = resident_kib()
        rest, verdicts = model.finish(state)
    rest = [frame.frame_idx for frame in rest]
    assert indices + rest == list(range(NUM_FRAMES)) and len(rest) <= model.lag(state)
    assert objects > NUM_FRAMES                                        # there was something to remember
    assert verdicts and np.isfinite([verdict.score for verdict in verdicts]).all()
    assert resident[NUM_FRAMES] - resident[100] < 4096, resident
