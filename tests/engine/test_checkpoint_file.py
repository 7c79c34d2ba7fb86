"""What a checkpoint file may hold and how it is written."""
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch

from helpers.full_disk import files_end_at
from mmvis.engine import checkpoint
from mmvis.errors import InputFileError


def test_to_plain_leaves_tensors_and_plain_values():
    layers = OrderedDict(weight=torch.ones(2))
    layers._metadata = OrderedDict({'': dict(version=1)})
    value = checkpoint.to_plain(dict(
        score=np.float64(0.5), count=np.int64(3), array=np.arange(3.), path=Path('a/b'), nested=[(1, None, True)],
        layers=layers))
    assert value['score'] == 0.5 and type(value['score']) is float and type(value['count']) is int
    assert value['array'].tolist() == [0., 1., 2.] and isinstance(value['array'], torch.Tensor)
    assert value['path'] == 'a/b' and value['nested'] == [(1, None, True)]
    assert value['layers']._metadata == {'': dict(version=1)}


def test_to_plain_names_what_it_refuses():
    with pytest.raises(TypeError, match=r"checkpoint\['meta'\]\['model'\] is a Linear"):
        checkpoint.to_plain(dict(meta=dict(model=torch.nn.Linear(1, 1))))


def test_an_interrupted_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / 'epoch_1.pth'
    checkpoint.write_checkpoint(dict(value=1), path)

    def interrupted(content, file):
        file.write(b'half of it')
        raise KeyboardInterrupt

    monkeypatch.setattr(torch, 'save', interrupted)
    with pytest.raises(KeyboardInterrupt):
        checkpoint.write_checkpoint(dict(value=2), path)
    assert torch.load(path) == dict(value=1)
    assert [file.name for file in tmp_path.iterdir()] == ['epoch_1.pth']


@pytest.mark.parametrize('limit', [0, 100, 5_000, 100_000])
def test_a_full_disk_names_the_file_and_what_is_there(tmp_path, limit):
    value = torch.zeros(50_000)
    path = str(tmp_path / 'epoch_2.pth')
    with files_end_at(limit):
        with pytest.raises(InputFileError, match='epoch_2.pth cannot be written: File too large. No checkpoint is th'):
            checkpoint.write_checkpoint(dict(value=value), path)
    assert not list(tmp_path.iterdir())
    checkpoint.write_checkpoint(dict(value=1), str(tmp_path / 'epoch_1.pth'))
    with files_end_at(limit):
        with pytest.raises(InputFileError, match='epoch_2.pth cannot .*/epoch_1.pth is whole: the training can go on'):
            checkpoint.write_checkpoint(dict(value=value), path)
    assert [file.name for file in tmp_path.iterdir()] == ['epoch_1.pth']


def test_a_bug_in_writing_stays_a_bug(tmp_path, monkeypatch):
    def broken(content, file):
        raise RuntimeError('a bug')

    monkeypatch.setattr(torch, 'save', broken)
    with pytest.raises(RuntimeError, match='^a bug$'):
        checkpoint.write_checkpoint(dict(value=1), str(tmp_path / 'epoch_1.pth'))
    assert not list(tmp_path.iterdir())
