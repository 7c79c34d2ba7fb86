"""Files given as a checkpoint that are none, or damaged: one sentence each, nothing executes."""
import io
import json
import os
import pickle
import random
import struct
import zipfile

import numpy as np
import pytest
import torch
from torch import nn

from mmvis.converters import load_checkpoint, read_checkpoint
from mmvis.errors import InputError, InputMissingError

META = dict(epoch=3, dataset_meta=dict(classes=['a', 'b'], category_ids=[1, 2]))


def small_model(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Linear(4, 5))


def content(seed=1):
    return dict(meta=META, state_dict=dict(small_model(seed).state_dict()), optimizer=dict(state={}, param_groups=[]))


def saved(content, **kwargs):
    buffer = io.BytesIO()
    torch.save(content, buffer, **kwargs)
    return buffer.getvalue()


def sentence(path, data=None, model=None):
    """The sentence for a file, from the reader alone or from loading it into a model."""
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(InputError) as caught:
        read_checkpoint(path) if model is None else load_checkpoint(model, path, logger='silent')
    assert str(path) in str(caught.value) and '\n' not in str(caught.value)
    return str(caught.value)


SAFETENSORS = json.dumps({'a': dict(dtype='F32', shape=[1], data_offsets=[0, 4])}).encode()


@pytest.mark.parametrize('data, said', [
    (b'', 'is empty'),
    (b'\n<!DOCTYPE html><html><head><title>Google Drive - Virus scan warning</title>', 'is a web page'),
    (b'<html><body>403 Forbidden</body></html>', 'is a web page'),
    (b'version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 178\n', 'is a pointer of Git LFS'),
    (b'{"error": {"code": 404}}', "is text, perhaps the answer of a server in place of the file: '{\"error\""),
    (struct.pack('<Q', len(SAFETENSORS)) + SAFETENSORS + bytes(2), 'is no file of safetensors, or it is cut off'),
    (b'\x1f\x8b\x08\x00' + bytes(99), 'is an archive'),
    (pickle.dumps([np.ones(3)]), 'holds a list, not a dict of arrays'),
    (b'no checkpoint at all', 'is not a checkpoint of PyTorch')],
    ids=['empty', 'drive', 'html', 'lfs', 'json', 'safetensors', 'gzip', 'pickle', 'text'])
def test_what_is_often_taken_for_a_checkpoint(tmp_path, data, said):
    assert said in sentence(tmp_path / 'x.pth', data)


def test_what_is_no_file(tmp_path):
    os.mkfifo(tmp_path / 'pipe.pth')
    os.symlink('loop.pth', tmp_path / 'loop.pth')
    assert 'is a folder without model.safetensors: give a file' in sentence(tmp_path)
    assert 'is no ordinary file' in sentence(tmp_path / 'pipe.pth')
    for name in ('loop', 'gone'):
        with pytest.raises(InputMissingError, match=f'{name}.pth does not exist'):
            read_checkpoint(tmp_path / f'{name}.pth')


def test_archives_that_are_none_of_weights(tmp_path):
    with zipfile.ZipFile(tmp_path / 'a.zip', 'w') as archive:
        archive.writestr('model_final.pth', b'inside')
    assert "none of PyTorch (it holds ['model_final.pth']): unpack it" in sentence(tmp_path / 'a.zip')
    with zipfile.ZipFile(tmp_path / 'b.pth', 'w', zipfile.ZIP_DEFLATED) as archive:
        archive.writestr('b/data.pkl', b'.')
        archive.writestr('b/data/0', bytes(2**20))  # a thousand times what the file has
    assert 'announces more than it holds' in sentence(tmp_path / 'b.pth')
    torch.jit.script(nn.ReLU()).save(str(tmp_path / 'c.pth'))
    assert 'is a TorchScript program' in sentence(tmp_path / 'c.pth')


def test_a_rotten_byte_is_found_by_the_checksum(tmp_path):
    data = saved(content())
    weights = content()['state_dict']['2.weight'].numpy().tobytes()
    position = data.find(weights) + 21
    rotten = data[:position] + bytes([data[position] ^ 1]) + data[position + 1:]
    (tmp_path / 'x.pth').write_bytes(rotten)
    assert torch.load(tmp_path / 'x.pth')['state_dict']  # which torch does not look at
    assert '/data/' in sentence(tmp_path / 'x.pth') and 'checksum' in sentence(tmp_path / 'x.pth')
    torch.serialization.set_crc32_options(False)
    try:
        (tmp_path / 'x.pth').write_bytes(saved(content()))
    finally:
        torch.serialization.set_crc32_options(True)
    assert 'state_dict' in read_checkpoint(tmp_path / 'x.pth')  # written without any


@pytest.mark.parametrize('value', [float('nan'), float('inf'), -float('inf')])
def test_values_that_are_not_finite(tmp_path, value):
    state = content()['state_dict']
    state['2.weight'][1, 2] = value
    said = sentence(tmp_path / 'x.pth', saved(state), small_model())
    assert 'its tensor 2.weight holds NaN or infinite values' in said
    state['2.weight'] = state['2.weight'].half()
    assert '2.weight' in sentence(tmp_path / 'x.pth', saved(state), small_model())
    del state['2.weight']
    state['unused'] = torch.full((3,), value)  # the model does not take it
    (tmp_path / 'x.pth').write_bytes(saved(state))
    load_checkpoint(small_model(), tmp_path / 'x.pth', logger='silent')


@pytest.mark.parametrize('odd, said', [
    (lambda x: x.to_sparse(), 'is not dense (torch.sparse_coo)'),
    (lambda x: torch.quantize_per_tensor(x, 0.1, 0, torch.qint8), 'is quantized'),
    (lambda x: x.to('meta'), 'has no values'),
    (lambda x: torch.zeros(1).expand(2**40), 'announces 1099511627776 values, but 4 bytes are there'),
    (lambda x: x + 1j, 'is complex')], ids=['sparse', 'quantized', 'meta', 'repeated', 'complex'])
@pytest.mark.filterwarnings('ignore')
def test_tensors_that_no_model_takes(tmp_path, odd, said):
    state = content()['state_dict']
    state['2.weight'] = odd(state['2.weight'])
    assert f'its tensor 2.weight {said}' in sentence(tmp_path / 'x.pth', saved(state), small_model())


def test_keys_that_are_no_text(tmp_path):
    said = sentence(tmp_path / 'x.pth', saved({7: torch.ones(3), 'a': torch.ones(2)}), small_model())
    assert 'a tensor under the key 7, which is no text' in said


@pytest.mark.parametrize('rename', [
    lambda key: f'_orig_mod.{key}', lambda key: f'module.module.{key}', lambda key: f'module._orig_mod.{key}',
    lambda key: f'_orig_mod.module.{key}', lambda key: key.replace('1.', '1._orig_mod.')])
def test_what_wrappers_put_into_keys(tmp_path, rename):
    trained, model = content(), small_model()
    trained['state_dict'] = {rename(key): value for key, value in trained['state_dict'].items()}
    torch.save(trained, tmp_path / 'x.pth')
    report = load_checkpoint(model, tmp_path / 'x.pth', strict=True, logger='silent')
    assert report.dataset_meta == META['dataset_meta']
    for key, value in content()['state_dict'].items():
        assert torch.equal(model.state_dict()[key], value)


@pytest.mark.parametrize('meta', [[], 'x', None, 7, dict(dataset_meta=[1]), dict(dataset_meta=dict(classes=3)),
                                  dict(dataset_meta=dict(classes=['a'], category_ids=[1, 2])),
                                  dict(dataset_meta=dict(classes=['a'], category_ids=['1']))])
def test_notes_beside_the_weights_that_tell_nothing(tmp_path, meta):
    torch.save(dict(content(), meta=meta), tmp_path / 'x.pth')
    assert load_checkpoint(small_model(), tmp_path / 'x.pth', logger='silent').dataset_meta == {}


class Command:
    """Runs a program when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f'touch {self.path}',)


@pytest.mark.parametrize('where', ['alone', 'value', 'key', 'old format', 'plain'])
def test_nothing_executes(tmp_path, where):
    command = Command(tmp_path / 'executed')
    value = {'alone': command, 'key': {(1, command): 2}}.get(where, dict(content(), meta=dict(note=command)))
    data = pickle.dumps(value) if where == 'plain' else saved(
        value, _use_new_zipfile_serialization=where != 'old format')
    said = sentence(tmp_path / 'x.pth', data)
    assert ('Python objects' in said or 'could run foreign code' in said) and not (tmp_path / 'executed').exists()


ODD = [None, True, -1, 2**70, 0.5, float('nan'), '', 'abc', b'\xff', [], {}, [[]], {'a': 1}, {1: 2}, (1, 2), 1j, {3},
       torch.ones(0), torch.ones(2, 3), torch.tensor(float('nan')), torch.ones(3).to_sparse(), torch.ones(3, dtype=bool),
       torch.zeros(1).expand(2**40), torch.empty(4, 5, device='meta'), torch.ones(4, dtype=torch.complex64),
       torch.ones(5, dtype=torch.float8_e4m3fn), torch.full((5,), 2**62), torch.Size([2]), np.arange(3), 'x' * 5000]


def change_content(value, rng):
    """One change somewhere in a nested dict or list, in place."""
    while True:
        keys = list(value) if isinstance(value, dict) else list(range(len(value)))
        if not keys:
            return
        key = rng.choice(keys)
        if isinstance(value[key], (dict, list)) and rng.random() < 0.8:
            value = value[key]
            continue
        kind = rng.randrange(4)
        if kind == 0 and isinstance(value, dict):
            value[rng.choice([7, None, 'module.x', 'x\0', '\ud800', (1, 2), 0.5])] = value.pop(key)
        elif kind == 1:
            del value[key]
        elif kind == 2 and isinstance(value, dict):
            value[rng.choice(['x', 'state_dict', 'model', 9])] = rng.choice(ODD)
        else:
            value[key] = rng.choice(ODD)
        return


def change_bytes(data, rng):
    """Damage: bytes that are other ones, a hole, a cut, a piece twice."""
    kind, at, size = rng.randrange(4), rng.randrange(len(data)), rng.randrange(1, 200)
    if kind == 0:
        return data[:at] + bytes([rng.randrange(256)]) + data[at + 1:]
    if kind == 1:
        return data[:at] + bytes(size) + data[at + size:]
    return data[:at] if kind == 2 else data[:at + size] + data[at:]


def change_pickle(data, rng):
    """Other bytes in the pickle of a file that is whole otherwise, with the right checksum."""
    source, target = zipfile.ZipFile(io.BytesIO(data)), io.BytesIO()
    with zipfile.ZipFile(target, 'w') as archive:
        for name in source.namelist():
            part = bytearray(source.read(name))
            if name.endswith('data.pkl'):
                for _ in range(rng.choice([1, 1, 2, 4])):
                    part[rng.randrange(len(part))] = rng.choice([rng.randrange(256), *b'(.0NIR)}]tQhqbcos'])
            archive.writestr(name, bytes(part))
    return target.getvalue()


@pytest.mark.filterwarnings('ignore')
def test_four_hundred_changed_files(tmp_path):
    """Each is refused in a sentence with the file's name, or gives weights that are numbers."""
    rng = random.Random(0)
    path, refused, read = tmp_path / 'x.pth', 0, 0
    for number in range(400):
        changed = content()
        if number % 4 == 0:
            for _ in range(rng.choice([1, 1, 2])):
                change_content(changed, rng)
        data = saved(changed, _use_new_zipfile_serialization=number % 4 != 1 and rng.random() < 0.8)
        if number % 4 in (1, 2):
            data = change_bytes(data, rng)
        elif number % 4 == 3:
            data = change_pickle(saved(changed), rng)
        path.write_bytes(data)
        model = small_model()
        try:
            load_checkpoint(model, path, logger='silent')
            read += 1
        except InputError as error:
            assert str(path) in str(error) and '\n' not in str(error) and len(str(error)) < 1500, (number, str(error))
            refused += 1
        for key, value in model.state_dict().items():
            assert torch.isfinite(value).all(), (number, key)
    assert refused > 100 and read > 50, (refused, read)
