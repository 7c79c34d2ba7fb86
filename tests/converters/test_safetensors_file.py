"""Files and folders of safetensors, as the Hugging Face hub has them: read, written, and damaged ones told in a sentence."""
import json

import pytest
import torch
from helpers.tiny_videomt import tiny_model
from safetensors.torch import load_file, save_file

from mmvis.converters import load_checkpoint, read_checkpoint
from mmvis.converters.safetensors_file import write_folder
from mmvis.converters.videomt import to_transformers
from mmvis.errors import InputError, InputMissingError

TENSORS = {'a.weight': torch.arange(6.).view(2, 3), 'b': torch.ones(3, dtype=torch.bfloat16)}


def write_shards(folder, names=('model-1.safetensors', 'model-2.safetensors'), tensors=TENSORS):
    for name, (key, value) in zip(names, tensors.items()):
        save_file({key: value}, folder / name)
    table = dict(metadata={}, weight_map=dict(zip(tensors, names)))
    (folder / 'model.safetensors.index.json').write_text(json.dumps(table))


def assert_equal(found):
    assert found.keys() == TENSORS.keys() and all(torch.equal(found[key], TENSORS[key]) for key in TENSORS)


def test_a_file_and_folders_give_the_same(tmp_path):
    save_file(TENSORS, tmp_path / 'x.bin', {'format': 'pt'})           # by whatever name
    assert_equal(read_checkpoint(tmp_path / 'x.bin'))
    (tmp_path / 'one').mkdir()
    save_file(TENSORS, tmp_path / 'one' / 'model.safetensors')
    assert_equal(read_checkpoint(tmp_path / 'one'))
    (tmp_path / 'two').mkdir()
    write_shards(tmp_path / 'two')
    assert_equal(read_checkpoint(tmp_path / 'two'))


@pytest.mark.parametrize('table, said', [
    ('{"weight_map": {"b": "../x.safetensors"}}', 'which is no file of that folder'),
    ('{"weight_map": {"b": "/etc/passwd"}}', 'which is no file of that folder'),
    ('{"weight_map": {"b": "gone.safetensors"}}', 'gone.safetensors, which is missing'),
    ('{"weight_map": 5}', 'is no list of files'), ('{', 'is no list of files'), ('[' * 100000, 'is no list of files')])
def test_lists_of_files_that_are_none(tmp_path, table, said):
    (tmp_path / 'model.safetensors.index.json').write_text(table)
    with pytest.raises(InputError, match=said):
        read_checkpoint(tmp_path)


def test_a_tensor_twice(tmp_path):
    write_shards(tmp_path)
    save_file(TENSORS, tmp_path / 'model-2.safetensors')
    with pytest.raises(InputError, match='model-2.safetensors has the tensor a.weight once more'):
        read_checkpoint(tmp_path)


def test_damaged_files(tmp_path):
    save_file(TENSORS, tmp_path / 'x.safetensors')
    good = (tmp_path / 'x.safetensors').read_bytes()
    for number, bad in enumerate([good[:-1], good[:12], good.replace(b'BF16', b'BF17'), good + b'x',
                                  good.replace(b'[2,3]', b'[2,4]')]):
        (tmp_path / 'bad').write_bytes(bad)
        with pytest.raises(InputError, match='is no file of safetensors, or it is cut off or damaged') as caught:
            read_checkpoint(tmp_path / 'bad')
        assert '\n' not in str(caught.value), number


def test_videomt_goes_to_transformers_and_comes_back(tmp_path):
    model, other = tiny_model(), tiny_model(seed=1)
    write_folder(tmp_path / 'hub', to_transformers(model.state_dict()), dict(model_type='videomt'))
    assert json.loads((tmp_path / 'hub' / 'config.json').read_text()) == {'model_type': 'videomt'}
    assert 'layers.0.attention.q_proj.weight' in load_file(tmp_path / 'hub' / 'model.safetensors')
    report = load_checkpoint(other, tmp_path / 'hub', strict=True, logger='silent')
    assert 'transformers' in report.source
    assert all(torch.equal(a, b) for a, b in zip(model.state_dict().values(), other.state_dict().values()))


def test_a_folder_that_is_read_is_not_written_over(tmp_path):
    save_file(TENSORS, tmp_path / 'model.safetensors')
    with pytest.raises(InputError, match='is an input of this run'):
        write_folder(tmp_path, TENSORS, {}, [tmp_path / 'model.safetensors'])
    with pytest.raises(InputMissingError, match='does not exist'):
        read_checkpoint(tmp_path / 'gone')
    assert_equal(read_checkpoint(tmp_path))
