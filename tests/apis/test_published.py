"""Models by name, and models in one file: written, found, read, and refused where something is wrong with them."""
import ast
import json
import sys
import types
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.config import Config
from safetensors.torch import load_file, save_file

from mmvis.apis import VISPredictor, find_published, publish, read_published
from mmvis.apis.published import write_published
from mmvis.converters.safetensors_file import read_published_table
from mmvis.datasets.sample_set import CATEGORIES
from mmvis.engine import load_config
from mmvis.errors import InputError, InputFileError, InputMissingError

ROOT = Path(__file__).resolve().parents[2]
CONFIG, CHECKPOINT = 'videomt_vit_tiny_sample.py', ROOT / 'models' / 'videomt_sample.pth'


@pytest.fixture(scope='module')
def published(tmp_path_factory):
    """The small VidEoMT, from a checkpoint with an optimizer."""
    folder = tmp_path_factory.mktemp('published')
    training = dict(torch.load(CHECKPOINT, weights_only=True), optimizer=dict(state={0: torch.zeros(1 << 20)}))
    torch.save(training, folder / 'epoch_5.pth')
    path, report = publish(load_config(CONFIG), folder / 'epoch_5.pth', folder / 'out', 'small')
    assert not report.missing
    return path


def test_a_published_model_gives_the_same_results(published):
    def results(predictor):
        frames = [np.random.default_rng(number).integers(0, 255, (96, 128, 3), np.uint8) for number in range(2)]
        frames = [frame for _, frame in predictor.run(frames)]
        return frames, predictor.entries

    named = VISPredictor.from_name('videomt_sample', device='cpu')
    given = VISPredictor.from_pretrained(published.parent, device='cpu')
    assert given.classes == named.classes == ('disc', *named.classes[1:]) and given.category_ids == named.category_ids
    (frames, entries), (expected, expected_entries) = results(given), results(named)
    assert entries == expected_entries and len(frames) == len(expected) == 2
    for one, other in zip(frames, expected):
        assert len(one) and one.masks == other.masks
        assert np.array_equal(one.scores, other.scores) and np.array_equal(one.boxes, other.boxes)
        assert np.array_equal(one.track_ids, other.track_ids) and np.array_equal(one.labels, other.labels)


def test_the_file_holds_weights_classes_and_config_alone(published):
    weights = load_file(published)
    assert {value.dtype for value in weights.values()} <= {torch.float16, torch.int64, torch.bool}
    assert published.stat().st_size < CHECKPOINT.stat().st_size  # 4 MB of optimizer stay behind
    table = read_published_table(published)
    assert table['classes'][0] == 'disc' and table['category_ids'] == list(CATEGORIES)
    config = ast.literal_eval(table['config'])
    own = load_config(CONFIG)
    assert config['model'] == own.model.to_dict()
    assert not {'data_root', 'ann_file', 'img_prefix'} & set(config['test_dataloader']['dataset'])
    again = write_published(published.parent / 'again', 'small', weights, own, table['classes'], table['category_ids'])
    assert again.name == published.name and again.read_bytes() == published.read_bytes()


def test_a_changed_file_is_refused(published, tmp_path):
    content = bytearray(published.read_bytes())
    content[-1] ^= 1
    changed = tmp_path / published.name
    changed.write_bytes(content)
    with pytest.raises(InputError, match=r'is damaged or was changed: its SHA-256 begins with \w{8}, not with \w{8}'):
        read_published(changed)
    assert read_published(changed.rename(tmp_path / 'renamed.safetensors')).model.type == 'VidEoMT'
    (tmp_path / 'renamed.safetensors').write_bytes(content[:5000])
    with pytest.raises(InputError, match='is cut off or damaged'):
        read_published(tmp_path / 'renamed.safetensors')


@pytest.mark.parametrize('change', [
    dict(model=dict(type='subprocess.Popen', args='true')), dict(model=dict(type='os')),
    dict(model=dict(type='VidEoMT', backbone=[dict(_scope_='evil')])), dict(model=dict(type=('VidEoMT',)))])
def test_a_file_cannot_name_what_is_not_registered(change, tmp_path):
    config = Config(dict(test_dataloader=dict(dataset=dict(type='SampleDataset')), **change))
    path = write_published(tmp_path, 'x', {'a': torch.zeros(1)}, config, ['a'], [1])
    with pytest.raises(InputError, match='is of a model with .*, which this mmvis .* does not have'):
        read_published(path)


@pytest.mark.parametrize('text', ['__import__("os").getpid()', '{', '[]', '{"model": {}}'])
def test_a_config_in_a_file_is_not_run(text, tmp_path):
    save_file({'a': torch.zeros(1)}, tmp_path / 'x.safetensors', {'mmvis': json.dumps(dict(config=text))})
    with pytest.raises(InputError, match='x.safetensors has no config of a test in it'):
        read_published(tmp_path / 'x.safetensors')


def test_other_files_of_safetensors_are_told_apart(tmp_path):
    save_file({'a': torch.zeros(1)}, tmp_path / 'x.safetensors')
    with pytest.raises(InputError, match='carries no config'):
        read_published(tmp_path / 'x.safetensors')


@pytest.mark.parametrize('change, said', [(dict(custom_imports=dict(imports=['my_model'])), 'has custom_imports'),
                                          (dict(model=dict(type='VidEoMT', rate=float('inf'))), 'must be of dicts')])
def test_what_cannot_be_published_is_told(change, said, tmp_path):
    config = Config(dict(dict(model=dict(), test_dataloader=dict(dataset=dict())), **change))
    with pytest.raises(InputError, match=said):
        write_published(tmp_path, 'x', {'a': torch.zeros(1)}, config, ['a'], [1])
    assert not list(tmp_path.iterdir())


def test_a_file_is_found_in_its_folder_and_on_the_hub(published, tmp_path, monkeypatch):
    asked = []

    def snapshot_download(name, revision, allow_patterns):
        asked.append((name, revision))
        return str(published.parent)

    assert find_published(published) == find_published(published.parent) == str(published)
    with pytest.raises(InputMissingError, match='has no file of safetensors'):
        find_published(tmp_path)
    for name in ('a', 'b'):
        (tmp_path / f'{name}.safetensors').touch()
    with pytest.raises(InputMissingError, match='has 2 files of safetensors: give one of them'):
        find_published(tmp_path)
    with pytest.raises(InputMissingError, match='There is no published model nowhere: give a file'):
        find_published('nowhere')
    monkeypatch.setitem(sys.modules, 'huggingface_hub', types.SimpleNamespace(snapshot_download=snapshot_download))
    assert find_published('me/small', 'v1') == str(published) and asked == [('me/small', 'v1')]
    monkeypatch.setitem(sys.modules, 'huggingface_hub', None)
    with pytest.raises(InputError, match='me/small is no file and no folder here.*pip install huggingface_hub'):
        find_published('me/small')


def test_without_a_network_the_hub_is_told_in_a_sentence(tmp_path, monkeypatch):
    huggingface_hub = pytest.importorskip('huggingface_hub')
    monkeypatch.setattr(huggingface_hub.constants, 'HF_HUB_OFFLINE', True)
    monkeypatch.setattr(huggingface_hub.constants, 'HF_HUB_CACHE', str(tmp_path))
    with pytest.raises(InputFileError, match=r'the Hugging Face hub does not give it: \w+ \(.*Without a network, give'):
        find_published('nobody/nothing')


def test_unknown_names_are_told_with_the_nearest():
    with pytest.raises(InputError, match="There is no model 'iai_condinst_r5'; did you mean iai_condinst_r50"):
        VISPredictor.from_name('iai_condinst_r5')
