"""Numbers of the official code: network, targets, losses, gradients, joining, whole videos."""
import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / 'tools'))

import check_parity  # noqa: E402
from parity import ifc as parity_ifc  # noqa: E402

from mmvis.models.layers.inference import optimize_for_inference  # noqa: E402

GOLDEN = ROOT / 'tests' / 'golden' / 'ifc' / 'public.json'


def test_official_numbers(capsys):
    assert check_parity.check('ifc', GOLDEN, None, None, brief=True).good, capsys.readouterr().out


def test_a_fast_model_joins_the_same_tubes(tmp_path, monkeypatch, capsys):
    golden = json.loads(GOLDEN.read_text())
    del golden['stages']
    golden['values'] = {key: value for key, value in golden['values'].items() if key.startswith('video/')}
    path = tmp_path / 'public.json'
    path.write_text(json.dumps(golden))
    monkeypatch.setattr(parity_ifc, 'load_official', lambda *args, load=parity_ifc.load_official:
                        optimize_for_inference(load(*args)))
    assert check_parity.check('ifc', path, GOLDEN.parent, None, brief=True).good, capsys.readouterr().out
