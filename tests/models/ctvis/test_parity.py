"""CTVIS's numbers are those of the official code, of the network, the tracks and the losses."""
import sys
from pathlib import Path

from mmengine.registry import DefaultScope

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / 'tools'))

import check_parity  # noqa: E402

GOLDEN = ROOT / 'tests' / 'golden' / 'ctvis' / 'public.json'


def test_the_official_numbers(capsys):
    """Network with embeddings, association, births, re-entries, noise, results, contrastive items, losses, gradients."""
    with DefaultScope.overwrite_default_scope('mmvis'):
        verdict = check_parity.check('ctvis', GOLDEN, None, None, brief=False)
    lines = capsys.readouterr().out
    assert verdict.good, lines
    assert 'compared 40 of 40, 0 beyond tolerance' in lines
    assert 'values.scenario.noise' in lines and 'values.cl.late' in lines and 'spread/heads9.pred_embeds' in lines
