"""The transformer: attention against its plain form, positions, identity embedding, and what is remembered when."""
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from mmvis.models.condinst_iai.id_bank import IdentityBank
from mmvis.models.condinst_iai.lstt import LSTT, LocalAttention, sine_positions, to_map
from mmvis.models.condinst_iai.memory import LSTTMemory


def windowed(attention, query, key, value, size):
    """Local attention as the paper writes it: gather the window of every cell."""
    heads, window, radius = attention.heads, attention.window, attention.window // 2
    batch, num, channels = query.shape
    width = channels // heads

    def windows(x):
        cut = F.unfold(to_map(x, size), window, padding=radius)
        return cut.reshape(batch, heads, width, window ** 2, num)

    inside = F.unfold(torch.ones(1, 1, *size), window, padding=radius).reshape(1, 1, window ** 2, num) > 0
    relative = attention.relative_emb(to_map(query, size)).reshape(batch, heads, window ** 2, num)
    query = to_map(query, size).reshape(batch, heads, width, 1, num)
    logits = (query / math.sqrt(width) * windows(key)).sum(2) + relative
    weights = logits.masked_fill(~inside, -1e8).softmax(2)
    out = (weights[:, :, None] * (windows(value) + attention.v_bias)).sum(3)
    return attention.fc(out.reshape(batch, channels, num).transpose(1, 2))


@pytest.mark.parametrize('size, window', [((4, 5), 15), ((18, 20), 15), ((9, 3), 5), ((1, 7), 3)])
def test_local_attention_is_the_windowed_form(size, window):
    torch.manual_seed(0)
    attention = LocalAttention(12, 2, window)
    torch.nn.init.normal_(attention.v_bias)
    query, key, value = torch.randn(3, 2, size[0] * size[1], 12).unbind(0)
    expected = windowed(attention, query, key, value, size)
    torch.testing.assert_close(attention(query, key, value, size), expected, rtol=1e-4, atol=1e-5)


def test_positions_run_from_zero_to_a_full_turn_in_both_directions():
    code = sine_positions(3, 5, 8, torch.device('cpu')).reshape(3, 5, 8)
    assert torch.equal(code[:, 0, :4], code[:, 4, :4]) and torch.equal(code[0, :, 4:], code[2, :, 4:])
    torch.testing.assert_close(code[0, 0], torch.tensor([0., 1.] * 4))
    torch.testing.assert_close(code[1, 0, :2], torch.tensor([0., -1.]), rtol=0, atol=1e-5)      # half a turn
    torch.testing.assert_close(code[0, 1, 4:6], torch.tensor([1., 0.]), rtol=0, atol=1e-5)      # a quarter


def test_a_table_made_in_inference_mode_serves_training():
    with torch.inference_mode():
        sine_positions(7, 3, 16, torch.device('cpu'))
        LocalAttention(4, 2, 3)(*torch.zeros(3, 1, 21, 4).unbind(0), (7, 3))
    attention = LocalAttention(4, 2, 3)
    x = torch.randn(1, 21, 4, requires_grad=True)
    attention(x, x, x, (7, 3)).sum().backward()
    assert torch.isfinite(x.grad).all()


@pytest.mark.parametrize('stride, size', [(32, (64, 96)), (16, (48, 80))])
def test_identities_of_one_map_cost_only_where_they_are(stride, size):
    torch.manual_seed(0)
    bank = IdentityBank(6, 10, stride)
    owner = np.full(size, 6, np.uint8)
    owner[3:20, 5:33], owner[20:40, 40:70], owner[:10, 60:], owner[30, 30] = 0, 4, 7, 2     # 7 is nobody
    one_hot = torch.from_numpy(owner == np.arange(7)[:, None, None]).float()[None]
    cells = size[0] // stride * (size[1] // stride)
    assert bank.owners(owner).shape == (1, cells, 10)
    torch.testing.assert_close(bank.owners(owner), bank.dense(one_hot), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(bank.empty((cells, 1)), bank.dense(torch.zeros_like(one_hot)))


def small_lstt(**changes):
    torch.manual_seed(0)
    return LSTT(**{**dict(max_obj_num=6, channels=16, feedforward=32, ffn_groups=4, window=5), **changes}).eval()


def frames_kept(policy, num, new=(), **settings):
    """Which frames the long-term memory holds after each of ``num`` frames, newest first."""
    lstt, memory, kept = small_lstt(), LSTTMemory(policy=policy, **settings), []
    for t in range(num):
        lstt(torch.randn(1, 16, 2, 3), memory)
        lstt.remember(memory, torch.full((1, 6, 16), float(t)), t in new)
        kept.append([entry.frame_idx for entry in memory.entries])
        assert memory.long_term()[0].shape == (1, 6 * len(kept[-1]), 16)
    return kept


def test_every_third_frame_is_kept_and_every_newcomer():
    assert frames_kept('official', 10)[-1] == [8, 5, 2, 0]
    assert frames_kept('official', 10, new=(1, 6))[-1] == [9, 6, 4, 1, 0]
    assert frames_kept('official', 6, interval=1)[-1] == [5, 4, 3, 2, 1, 0]


def test_bounded_memory_is_spread_over_the_past_and_forgets_what_is_too_old():
    kept = frames_kept('bounded', 200, max_frames=5)
    assert kept[11] == [11, 8, 5, 2, 0] == frames_kept('official', 12)[-1]
    assert max(map(len, kept)) == 5 and kept[-1][-1] == 0
    gaps = [a - b for a, b in zip(kept[-1], kept[-1][1:])]
    assert max(gaps) <= 4 * min(gaps[1:])
    recent = frames_kept('bounded', 200, max_frames=5, max_age=60)
    assert max(map(len, recent)) == 5 and all(frames[0] - frames[-1] <= 60 for frames in recent)
    # Newcomers are stored out of turn, close to others: of close ones not all are needed.
    assert len(frames_kept('bounded', 30, new=range(10, 20), max_frames=5)[-1]) == 5


def test_memory_cut_off_sees_every_frame_as_the_first():
    lstt, memory = small_lstt(), LSTTMemory(policy='off')
    x = torch.randn(1, 16, 2, 3)
    first = lstt(x, memory)
    lstt.remember(memory, torch.ones(1, 6, 16))
    assert torch.equal(lstt(x, memory), first) and memory.entries == []
    kept = LSTTMemory()
    lstt(x, kept)
    lstt.remember(kept, torch.ones(1, 6, 16))
    assert not torch.allclose(lstt(x, kept), first, atol=1e-3)


def test_wrong_policies_are_named():
    with pytest.raises(ValueError, match='official, bounded, off'):
        LSTTMemory(policy='all')
    with pytest.raises(ValueError, match='max_frames must be at least 3, not 2'):
        LSTTMemory(policy='bounded', max_frames=2)


def test_drop_path_leaves_out_the_same_cells_of_all_clips_and_only_in_training():
    layer = small_lstt(drop_path=0.5).layer
    x = torch.ones(3, 40, 16)
    assert layer.drop_path(x) is x
    dropped = layer.train().drop_path(x)
    assert set(dropped.unique().tolist()) == {0., 2.}
    assert torch.equal(dropped[0], dropped[2]) and (dropped == dropped[..., :1]).all()
