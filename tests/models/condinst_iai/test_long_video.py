"""A stream of 2,000 frames with the bounded memory: the state and the process stay as large as they were."""
import torch
from helpers.resident import needs_proc, resident_kib
from helpers.tiny_iai import tiny_config, tiny_model

from mmvis.models.condinst_iai.model import IAIState
from mmvis.structures import VideoInfo

NUM_FRAMES = 2000


def state_bytes(state: IAIState) -> int:
    """All that a video keeps: tensors of the memory, sums of scores."""
    tensors = [x for entry in state.memory.entries for x in (entry.keys, entry.values)]
    tensors += [*state.memory.short_term, *state.memory.long_term()]
    return sum(x.untyped_storage().nbytes() for x in tensors) + sum(x.nbytes for x in state.book.cls_sums.values())


@needs_proc
def test_bounded_memory_is_flat_over_a_long_stream():
    torch.set_num_threads(1)
    config = tiny_config()                              # three levels of the pyramid do: the frames are small
    model = tiny_model(memory=dict(policy='bounded', max_frames=4), test_cfg=dict(max_per_img=3, forget_after=20),
                       neck=dict(config['neck'], num_outs=3),
                       bbox_head=dict(config['bbox_head'], strides=(8, 16, 32), regress_ranges=((-1, 64), (64, 128),
                                                                                                (128, 1e8))))
    state = model.start(VideoInfo('camera', (64, 96), (64, 96), 1., None))
    images = torch.nn.functional.interpolate(torch.randn(4, 3, 8, 12), (64, 96), mode='bilinear')
    features = [[x[None] for x in levels] for levels in zip(*model.backbone(images))]
    seen, sizes, resident = 0, {}, {}
    with torch.inference_mode():
        for t in range(NUM_FRAMES):
            seen += len(model.step_features(state, [x.clone() for x in features[t // 7 % 4]], (64, 96)))
            if t + 1 in (100, NUM_FRAMES):
                sizes[t + 1], resident[t + 1] = state_bytes(state), resident_kib()
    assert seen > NUM_FRAMES and len(state.memory.entries) == 4
    assert sizes[NUM_FRAMES] == sizes[100]
    assert resident[NUM_FRAMES] - resident[100] <= 4096


def test_official_memory_grows():
    model = tiny_model()
    state = model.start(VideoInfo('camera', (64, 96), (64, 96), 1., None))
    images = torch.zeros(1, 3, 64, 96)
    tokens = []
    for _ in range(7):
        model.step(state, images)
        tokens.append(state.memory.long_term()[0].shape[1])
    assert tokens == sorted(tokens) and tokens[-1] >= 3 * tokens[0]
