"""The exact store of mask logits, against keeping everything."""
import gc
import os
import signal
import subprocess
import sys
import tempfile
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from mmvis.errors import InputFileError
from mmvis.records import MaskStore, enlarge_and_encode
from mmvis.records.mask_store import find_band
from mmvis.structures import decode_rle

#: (h4, w4), (H, W), (height, width), (h, w): down to a smaller frame, up to a larger one, and the size of the network
SIZES = [((24, 40), (96, 160), (90, 150), (45, 75)), ((24, 40), (96, 160), (90, 150), (270, 450)),
         ((13, 9), (52, 36), (52, 33), (52, 33)), ((16, 16), (64, 64), (50, 64), (71, 40))]


def scenes(kind: str, num: int, size: tuple, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    if kind == 'noise':
        return rng.normal(0, 2, (num, *size)).astype(np.float32)
    grid = torch.from_numpy(rng.normal(-2.5, 3, (num, 1, 4, 5)).astype(np.float32))
    return F.interpolate(grid, size, mode='bicubic')[:, 0].numpy()


def dense(logits: np.ndarray, network: tuple, cut: tuple, size: tuple) -> np.ndarray:
    x = F.interpolate(torch.from_numpy(logits)[None], network, mode='bilinear', align_corners=False)
    return (F.interpolate(x[..., :cut[0], :cut[1]], size, mode='bilinear', align_corners=False)[0] > 0).numpy()


def encoded(logits: np.ndarray, network: tuple, cut: tuple, size: tuple) -> np.ndarray:
    found = enlarge_and_encode(logits, size, network, cut)
    return np.zeros(size, bool) if found is None else decode_rle(found[0]).astype(bool)


@pytest.mark.parametrize('kind', ['smooth', 'noise'])
@pytest.mark.parametrize('sizes', SIZES, ids=str)
def test_masks_are_those_of_keeping_everything(kind, sizes):
    small, network, cut, size = sizes
    frames = [scenes(kind, 20, small, seed) for seed in range(3)]
    store = MaskStore()
    for logits in frames:
        store.add(logits)
    assert len(store) == 3
    pixels = 0
    for logits, found in zip(frames, store.frames(range(0, 20, 3))):
        expected = dense(logits[::3], network, cut, size)
        for row, mask in zip(range(0, 20, 3), expected):
            own = encoded(found[row], network, cut, size) if row in found else np.zeros(size, bool)
            np.testing.assert_array_equal(own, mask)
            np.testing.assert_array_equal(encoded(logits[row], network, cut, size), mask)
            pixels += mask.sum()
    assert pixels > 1000


def test_a_band_of_one_cell_less_would_not_be_exact():
    """The 5x5 neighbourhood is needed: what a store with 3x3 gives is seen to differ."""
    differ = 0
    for seed in range(20):
        logits = scenes('smooth', 20, (24, 40), seed)
        near = F.max_pool2d(torch.from_numpy(logits > 0).float()[None], 3, 1, 1)[0].numpy() > 0
        away = F.max_pool2d(torch.from_numpy(logits <= 0).float()[None], 3, 1, 1)[0].numpy() > 0
        restored = np.where(near & away, logits, np.sign(logits)).astype(np.float32)
        sizes = ((96, 160), (90, 150), (43, 75))
        differ += sum((dense(x[None], *sizes) != dense(y[None], *sizes)).sum() for x, y in zip(logits, restored))
    assert differ > 0


def test_the_band_is_where_five_by_five_cells_hold_both_signs():
    positive = np.random.default_rng(0).random((3, 11, 7)) < 0.1
    padded = np.pad(positive.astype(int), ((0, 0), (2, 2), (2, 2)), constant_values=-1)
    for n, i, j in np.ndindex(positive.shape):
        cells = padded[n, i:i + 5, j:j + 5]
        assert find_band(positive)[n, i, j] == ((cells == 1).any() and (cells == 0).any())


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision_is_kept_as_it_came(dtype):
    logits = torch.from_numpy(scenes('smooth', 8, (24, 40))).to(dtype)
    array = logits.view(torch.uint16).numpy() if dtype == torch.bfloat16 else logits.numpy()
    store, wide = MaskStore(), MaskStore()
    store.add(array)
    wide.add(logits.float().numpy())
    assert store.num_bytes < 0.7 * wide.num_bytes
    for own, other in zip(store.frames(range(8)), wide.frames(range(8))):
        assert own.keys() == other.keys() and len(own)
        for row in own:
            np.testing.assert_array_equal(own[row], other[row])


def test_bytes():
    """Empty rows cost nothing, noise no more than itself, smooth masks a small part."""
    empty, noise, smooth = MaskStore(), MaskStore(), MaskStore()
    empty.add(np.full((200, 96, 160), -1, np.float32))
    noise.add(scenes('noise', 20, (96, 160)))
    smooth.add(scenes('smooth', 20, (96, 160)))
    plain = 20 * 96 * 160 * 4
    assert empty.num_bytes < 100 and noise.num_bytes < 1.04 * plain and smooth.num_bytes < 0.4 * plain
    assert list(empty.frames([0, 3])) == [{}]


def test_a_file_takes_over_above_the_limit(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, 'tempdir', str(tmp_path))
    frames = [scenes('smooth', 6, (24, 40), seed) for seed in range(12)]
    kept, filed = MaskStore(), MaskStore(limit=4000)
    for logits in frames:
        kept.add(logits)
        filed.add(logits)
    assert filed.num_bytes == kept.num_bytes > 4000 and not filed._pieces
    assert not list(tmp_path.iterdir())                     # the file has no name
    for own, other in zip(filed.frames(range(6)), kept.frames(range(6)), strict=True):
        assert own.keys() == other.keys()
        assert all(np.array_equal(own[row], other[row]) for row in own)


def test_memory_is_flat_above_the_limit(tmp_path, monkeypatch):
    """By what is allocated: a frame leaves its length behind, and reading holds one piece at a time."""
    monkeypatch.setattr(tempfile, 'tempdir', str(tmp_path))
    frames = [scenes('smooth', 6, (24, 40), seed) for seed in range(5)]
    store, early, late = MaskStore(limit=20_000), 50, 300
    tracemalloc.start()
    try:
        for index in range(late):
            store.add(frames[index % 5])
            if index == early:
                gc.collect()
                begin, _ = tracemalloc.get_traced_memory()
        gc.collect()
        added = tracemalloc.get_traced_memory()[0] - begin
        tracemalloc.reset_peak()
        count = sum(1 for _ in store.frames(range(6)))
        read = tracemalloc.get_traced_memory()[1] - begin
    finally:
        tracemalloc.stop()
    assert count == late and store.num_bytes > 10 * store.limit
    assert added < 64 * (late - early) + 8192 and read < added + 200_000


@pytest.mark.skipif(not os.path.exists('/dev/full'), reason='needs a device that is always full')
def test_a_full_disk_is_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, 'tempdir', str(tmp_path))
    monkeypatch.setattr(tempfile, 'TemporaryFile', lambda: open('/dev/full', 'wb', buffering=0))
    store = MaskStore(limit=10)
    with pytest.raises(InputFileError, match=f'^{tmp_path} has no room for the masks .*TMPDIR.*: No space left on device.$'):
        store.add(scenes('smooth', 6, (24, 40)))


def test_a_killed_process_leaves_no_file(tmp_path):
    code = ('import numpy as np, time; from mmvis.records import MaskStore\n'
            'store = MaskStore(limit=10)\n'
            'for _ in range(50): store.add(np.random.default_rng(0).normal(size=(20, 24, 40)).astype(np.float32))\n'
            'print("ready", flush=True); time.sleep(60)')
    process = subprocess.Popen([sys.executable, '-c', code], stdout=subprocess.PIPE, env={**os.environ, 'TMPDIR': str(tmp_path)},
                               cwd=Path(__file__).resolve().parents[2])
    assert process.stdout.readline() == b'ready\n'
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert not list(tmp_path.iterdir())


def test_records_import_no_torch():
    package = Path(__file__).resolve().parents[2] / 'mmvis' / 'records'
    lines = [line for path in package.glob('*.py') for line in path.read_text().splitlines()]
    assert not [line for line in lines if line.lstrip().startswith(('import torch', 'from torch'))]
    assert [line for line in lines if line.startswith('import numpy')]
