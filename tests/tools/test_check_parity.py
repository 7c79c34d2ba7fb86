"""Numbers of the official code, and the tool that compares with them."""
import hashlib
import json
import math
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / 'tools'))

import check_parity  # noqa: E402
from parity import fill  # noqa: E402
from parity.compare import Stage, deviation, plain  # noqa: E402

from mmvis.structures import encode_mask  # noqa: E402

GOLDEN = ROOT / 'tests' / 'golden' / 'masktrackrcnn' / 'public.json'


def test_masktrackrcnn_gives_the_official_numbers(tmp_path, capsys):
    dump = tmp_path / 'again' / 'public.json'
    dump.parent.mkdir()
    assert check_parity.main(['masktrackrcnn', str(GOLDEN), '--dump', str(dump)]) == 0, capsys.readouterr().out
    out = capsys.readouterr().out
    assert 'compared 74 of 74, 0 beyond tolerance' in out and 'results_json.results' in out

    golden, ours = json.loads(GOLDEN.read_text()), json.loads(dump.read_text())
    assert ours.keys() == golden.keys() and ours['losses'].keys() == golden['losses'].keys()
    assert ours['stages_frame0']['backbone.C5']['index'] == golden['stages_frame0']['backbone.C5']['index']
    assert (dump.parent / 'results_json_public.json').is_file()
    golden, ours = check_parity.load_golden(GOLDEN)[0], check_parity.load_golden(dump)[0]
    for key in golden.keys() - {'recipe', 'losses'}:
        assert deviation(ours[key], golden[key], 1e-3, 1e-4) <= 1, key


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """A parity file of three numbers and a system that has them; returns (path, list of stages to change)."""
    (tmp_path / 'manifest.json').write_text('{}')
    path = tmp_path / 'toy.json'
    path.write_text(json.dumps(dict(recipe=dict(salt="this file's name"), a=dict(x=1.5, ids=[1, 2]), given=[4], b='text')))
    stages = [Stage(('a', 'x'), 1.5001), Stage(('a', 'ids'), torch.tensor([1, 2])), Stage(('given',), given=True),
              Stage(('b',), 'text')]
    salts = []
    module = type(sys)('parity.toy')
    module.stages = lambda golden, manifest_dir, salt: salts.append((manifest_dir, salt)) or iter(stages)
    monkeypatch.setitem(sys.modules, 'parity.toy', module)
    monkeypatch.setattr(check_parity, 'SYSTEMS', ('toy',))
    return path, stages, salts


def test_exit_status_tells_what_is_wrong(toy, capsys):
    path, stages, salts = toy
    assert check_parity.main(['toy', str(path)]) == 0
    assert 'compared 3 of 3' in capsys.readouterr().out and salts == [(path.parent, 'toy')]
    stages[0].value = 1.6
    assert check_parity.main(['toy', str(path)]) == 1
    assert 'FAIL  a.x' in capsys.readouterr().out
    stages[0].value = 1.5
    del stages[1]
    assert check_parity.main(['toy', str(path)]) == 1
    assert 'a.ids: not read' in capsys.readouterr().out
    stages[0] = Stage(('a', 'more'), 1)
    assert check_parity.main(['toy', str(path)]) == 1
    out = capsys.readouterr().out
    assert 'a.more: not in the file' in out and 'a.x: not read' in out and 'compared 1 of 3' in out


def test_manifests_may_lie_elsewhere(toy, tmp_path, capsys):
    path, _, salts = toy
    elsewhere = tmp_path / 'manifests'
    elsewhere.mkdir()
    shutil.move(tmp_path / 'manifest.json', elsewhere)
    assert check_parity.main(['toy', str(path)]) == 1
    assert '--manifests' in capsys.readouterr().err
    assert check_parity.main(['toy', str(path), '--manifests', str(elsewhere)]) == 0
    assert salts == [(elsewhere, 'toy')]


def test_all_checks_every_file_of_a_folder(toy, tmp_path, capsys):
    path, stages, salts = toy
    (tmp_path / 'all' / 'toy').mkdir(parents=True)
    for name in ('one.json', 'two.json'):
        shutil.copy(path, tmp_path / 'all' / 'toy' / name)
    for name in ('manifest.json', 'timing.json', 'results_json_other.json'):
        shutil.copy(tmp_path / 'manifest.json', tmp_path / 'all' / 'toy' / name)
    (tmp_path / 'all' / 'later').mkdir()
    shutil.copy(path, tmp_path / 'all' / 'later' / 'public.json')
    record = tmp_path / 'record.json'
    assert check_parity.main(['--all', str(tmp_path / 'all'), '--json', str(record)]) == 0
    assert [salt for _, salt in salts] == ['one', 'two']
    lines = capsys.readouterr().out.splitlines()
    assert not any(line.startswith('ok') for line in lines)
    assert [line.split(maxsplit=1)[1] for line in lines if line.startswith('later ')] == [
        'no system of this name: not checked']
    rows = [line.split() for line in lines if line.startswith('toy ')]
    assert [row[:5] for row in rows] == [['toy', f'toy/{name}.json', '3', '0', '0'] for name in ('one', 'two')]
    files = json.loads(record.read_text())['files']
    assert [(x['file'], x['compared'], x['beyond'], x['unread']) for x in files] == [
        ('toy/one.json', 3, 0, 0), ('toy/two.json', 3, 0, 0)]
    assert files[0]['sha256'] == hashlib.sha256(path.read_bytes()).hexdigest()

    stages[0].value = 1.6
    assert check_parity.main(['--all', str(tmp_path / 'all')]) == 1
    out = capsys.readouterr().out
    assert 'FAIL  a.x' in out and [line.split()[-1] for line in out.splitlines() if line.startswith('toy ')] == ['FAIL'] * 2


def test_all_wants_a_file_of_every_system(toy, tmp_path, capsys):
    assert check_parity.main(['--all', str(tmp_path / 'nothing')]) == 1
    assert 'no file in' in capsys.readouterr().out
    for arguments in (['--all', str(tmp_path), '--dump', 'x'], ['toy', str(toy[0]), '--json', 'x'], []):
        with pytest.raises(SystemExit):
            check_parity.main(arguments)


def test_bad_files_cost_a_sentence(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(check_parity, 'SYSTEMS', ('toy',))
    (tmp_path / 'x.json').write_text('{"a": 1}')
    assert check_parity.main(['toy', str(tmp_path / 'x.json')]) == 1
    assert 'not a parity file' in capsys.readouterr().err
    assert check_parity.main(['toy', str(tmp_path / 'y.json')]) == 1
    assert 'does not exist' in capsys.readouterr().err


def test_deviation_is_exact_where_it_must_be():
    assert deviation([1, 'a', None, True], [1, 'a', None, True], 1e-3, 1e-4) == 0
    for ours, reference in ((1, 2), ('a', 'b'), ([1], [1, 2]), ({'a': 1}, {'b': 1}), (None, 1.), (math.nan, 1.), (1.5, 1)):
        assert deviation(ours, reference, 1e-3, 1e-4) == math.inf
    assert deviation(1.0022, 1., 1e-3, 1e-4) == pytest.approx(2.)
    assert deviation(math.nan, math.nan, 1e-3, 1e-4) == 0


def test_fingerprints_compare_shape_and_places():
    x = torch.arange(12.).reshape(3, 4)
    reference = dict(shape=[3, 4], mean=5.5, std=3.45, index=[0, 5, 11], value=[0., 5., 11.])
    assert plain(x, reference)['value'] == [0., 5., 11.] and plain(x, reference)['mean'] == 5.5
    assert deviation(plain(x, reference), reference, 1e-3, 1e-4) == 0
    assert deviation(plain(x.reshape(4, 3), reference), reference, 1e-3, 1e-4) == math.inf
    assert deviation(plain(x + 0.01, reference), reference, 1e-3, 1e-4) > 1


def test_masks_may_differ_by_two_pixels():
    mask = np.zeros((8, 9), np.uint8)
    mask[2:5, 3:6] = 1
    other = mask.copy()
    other[5, 3:5] = 1
    assert deviation(encode_mask(other), encode_mask(mask), 1e-3, 1e-4) == 1
    other[5, 5] = 1
    assert deviation(encode_mask(other), encode_mask(mask), 1e-3, 1e-4) > 1
    assert deviation(dict(area=12), dict(area=10), 1e-3, 1e-4) == 1


def test_filled_tensors_follow_from_key_and_salt():
    manifest = {'bn.running_var': [[4], 'float32'], 'bn.weight': [[4], 'float32'], 'bn.bias': [[4], 'float32'],
                'conv.weight': [[2, 8, 3, 3], 'float32'], 'bn.num_batches_tracked': [[], 'int64']}
    one, two = fill.state_dict(manifest, 'a'), fill.state_dict(manifest, 'b')
    assert all(torch.equal(one[key], fill.parameter(key, *manifest[key], 'a')) for key in manifest)
    assert not torch.equal(one['conv.weight'], two['conv.weight'])
    assert (one['bn.running_var'] >= 1).all() and one['conv.weight'].std() < 0.2
    assert one['bn.num_batches_tracked'].item() == 0
    # first numbers of the stream seeded with crc32('public:x')
    np.testing.assert_allclose(fill.unit('x', (2,), 'public').numpy(), [-0.2381119281053543, 0.09435532242059708], rtol=1e-6)


def test_the_reference_numbers_are_not_written_over(toy, tmp_path, capsys):
    path, _, _ = toy
    before = path.read_bytes()
    assert check_parity.main(['toy', str(path), '--dump', str(path)]) == 1
    assert 'toy.json is an input of this run' in capsys.readouterr().err and path.read_bytes() == before
    assert check_parity.main(['toy', str(path), '--dump', str(tmp_path / 'manifest.json')]) == 1
    (tmp_path / 'toy').mkdir()
    golden = path.rename(tmp_path / 'toy' / 'a.json')
    assert check_parity.main(['--all', str(tmp_path), '--json', str(golden)]) == 1
    assert golden.read_bytes() == before and (tmp_path / 'manifest.json').read_text() == '{}'
