"""What a GPU finds and sends of a frame's masks, against the store's own way."""
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from virtual_cuda import VirtualCuda

from mmvis.models.layers.end_results import RowsState
from mmvis.models.layers.mask_packing import as_numpy, pack_on_device, to_threshold
from mmvis.models.sipmask.masks import encode_masks
from mmvis.records import EndRanking, pack_rows
from mmvis.structures import VideoInfo


def scene(seed, rows=12, size=(24, 40), dtype=torch.float32):
    """Smooth masks, among them an empty one, a full one and one of noise."""
    draw = torch.Generator().manual_seed(seed)
    masks = F.interpolate(torch.randn(rows, 1, 4, 5, generator=draw) * 3 - 2.5, size, mode='bicubic')[:, 0]
    masks[1], masks[2], masks[3] = -1., 1., torch.randn(size, generator=draw)
    return torch.randn(rows, 5, generator=draw), masks.to(dtype)


@pytest.mark.parametrize('dtype', [torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize('size', [(24, 40), (13, 9), (12, 11)], ids=str)
def test_the_store_gets_the_same(size, dtype):
    masks = scene(0, size=size, dtype=dtype)[1]
    expected = pack_rows(as_numpy(masks))
    present, counts, signs, values = pack_on_device(masks)
    rows = np.flatnonzero(present.numpy())
    np.testing.assert_array_equal(rows, expected.rows)
    np.testing.assert_array_equal(counts.numpy()[rows], expected.counts)
    np.testing.assert_array_equal(signs.numpy()[rows], expected.signs)
    found = as_numpy(values[:int(counts.sum())])
    assert found.dtype == expected.values.dtype
    np.testing.assert_array_equal(found, expected.values)
    assert 1 not in rows and 0 < counts[0] < masks[0].numel() and counts[2] == 0


@pytest.mark.parametrize('num_frames', [1, 2, 5])
def test_frames_that_come_late_lead_to_the_same_results(num_frames):
    video = VideoInfo(1, (90, 150), (96, 160), 1.067, num_frames)
    frames = [scene(seed) for seed in range(num_frames)]

    def run(device):
        state = RowsState(video, EndRanking(6), network=(96, 160))
        for logits, masks in frames:
            assert state.add(logits.to(device), masks.to(device)) == []
        found, verdicts = state.finish()
        return state, list(found), verdicts

    _, expected, expected_verdicts = run('cpu')
    with VirtualCuda() as device:
        state, found, verdicts = run('cuda')
        waits, uploads = device.total('sync'), device.total('upload')
    assert verdicts == expected_verdicts and state.late == []
    assert len(found) == num_frames and any(map(len, found))
    for own, other in zip(found, expected):
        assert own.masks == other.masks
        np.testing.assert_array_equal(own.track_ids, other.track_ids)
    # The frames themselves are uploaded, twice each; what is waited for is one event a frame, and at the end
    # the last two frames.
    assert waits <= num_frames + 2 and uploads == 2 * num_frames


@pytest.mark.parametrize('threshold', [0., 0.4])
@pytest.mark.parametrize('factor, ratio_of_sizes', [(2., True), (3.7, False), (0.6, True)])
def test_what_is_near_a_threshold_leads_to_the_same_masks(threshold, factor, ratio_of_sizes):
    masks = scene(1)[1].sigmoid()
    masks[4, :, 20:] = 0.                                   # cut at a box
    size = tuple(int(side * factor) for side in masks.shape[1:])
    with VirtualCuda() as device:
        sent = to_threshold(masks.to('cuda'), threshold)
    assert device.total('sync') == 2 and device.total('bytes') < masks.numel() * 4 * 0.7
    found, expected = (encode_masks(x, factor, size, threshold, ratio_of_sizes) for x in (sent, masks.numpy()))
    assert found == expected and len({rle['counts'] for rle in found}) > (8 if threshold else 1)
    assert to_threshold(masks[:0], threshold).shape == (0, 24, 40)
