"""What a checkpoint file may hold and how it is written."""
import copy
import re
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.full_disk import files_end_at
from mmengine.logging import MessageHub

from mmvis.engine import SafeCheckpointHook, checkpoint
from mmvis.engine.rng import get_rng_state, set_rng_state
from mmvis.errors import InputError, InputFileError


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


@pytest.fixture(scope='module')
def state():
    """What a training saves, small."""
    hub = MessageHub.get_instance('test_checkpoint_file')
    hub.update_scalar('train/loss', 0.5)
    hub.update_info('keep_ckpt_ids', [1, 2])
    return dict(meta=dict(epoch=1, iter=4, iters_per_epoch=4, seed=7), state_dict=dict(weight=torch.ones(2)),
                optimizer=dict(state={}, param_groups=[]), rng_states=[get_rng_state()],
                message_hub=checkpoint.pack_message_hub(hub))


def test_what_a_training_saves_is_read_back(state, tmp_path):
    checkpoint.write_checkpoint(state, tmp_path / 'epoch_1.pth')
    read = checkpoint.read_training_state(tmp_path / 'epoch_1.pth')
    hub = MessageHub.get_instance('test_checkpoint_file_again')
    checkpoint.restore_message_hub(hub, read['message_hub'])
    assert hub.get_scalar('train/loss').data[0].tolist() == [0.5] and hub.get_info('keep_ckpt_ids') == [1, 2]


@pytest.mark.parametrize('path, value, said', [
    ('meta', [], 'its meta is a list, not a dict'),
    ('meta.iter', 'x', 'its meta.iter is x, not a number'),
    ('meta.epoch', -1, 'its meta.epoch is -1'),
    ('meta.seed', 2**70, 'its meta.seed is 1180591620717411303424'),
    ('rng_states', {}, 'its rng_states is a dict, not a list'),
    ('state_dict.weight', None, 'its weight weight is a NoneType, not a tensor'),
    ('state_dict.weight', torch.tensor([1., float('nan')]), 'its tensor weight holds NaN'),
    ('state_dict.weight', torch.ones(2).to_sparse(), 'its tensor weight is not dense'),
    ('message_hub', [], 'its message_hub is a list'),
    ('message_hub.curves', None, 'its message_hub has no curves'),
    ('message_hub.curves.train/loss', dict(values=[1.]), 'message_hub.curves has train/loss, which is no curve'),
    ('message_hub.curves.train/loss.counts', torch.ones(5), 'message_hub.curves has train/loss, which is no curve'),
    ('message_hub.info.keep_ckpt_ids', ['../1'], "message_hub.info.keep_ckpt_ids is ['../1']"),
    ('message_hub.info.best_score', 'high', 'message_hub.info.best_score is high'),
    ('message_hub.info.best_ckpt', 7, 'message_hub.info.best_ckpt is 7')])
def test_a_state_that_no_training_has_written_is_told_by_its_place(state, tmp_path, path, value, said):
    changed = copy.deepcopy(state)
    *parents, last = path.split('.')
    place = changed
    for name in parents:
        place = place[name]
    place[last] = value
    torch.save(checkpoint.to_plain(changed), tmp_path / 'x.pth')
    with pytest.raises(InputError, match=re.escape(said)) as caught:
        checkpoint.read_training_state(tmp_path / 'x.pth')
    assert str(tmp_path / 'x.pth') in str(caught.value)


def test_a_generator_does_not_draw_from_the_memory_behind_its_state(state):
    name, keys, _, gauss, cached = state['rng_states'][0]['numpy']
    with pytest.raises(ValueError, match='position 1000000 of 624'):
        set_rng_state({**state['rng_states'][0], 'numpy': (name, keys, 10**6, gauss, cached)})


def test_a_best_checkpoint_that_a_file_tells_is_taken_by_its_name(tmp_path):
    hook = SafeCheckpointHook()
    hook.out_dir = str(tmp_path)
    assert hook._own('/old/place/best_AP_epoch_2.pth') == str(tmp_path / 'best_AP_epoch_2.pth')
    assert hook._own('/elsewhere/thesis.tex') is None and hook._own(None) is None
