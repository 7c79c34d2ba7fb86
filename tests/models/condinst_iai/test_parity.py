"""CondInst+IAI gives the numbers of the official code."""
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / 'tools'))

import check_parity  # noqa: E402

GOLDEN = ROOT / 'tests' / 'golden' / 'iai' / 'public.json'


def test_iai_gives_the_official_numbers(capsys):
    assert check_parity.main(['iai', str(GOLDEN)]) == 0, capsys.readouterr().out
    out = capsys.readouterr().out
    assert 'compared 161 of 161, 0 beyond tolerance' in out
    assert 'free_run.area_float64' in out and 'losses.clip.eval_mode.grad_norm' in out
