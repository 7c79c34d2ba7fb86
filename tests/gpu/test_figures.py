"""The table of tests/gpu/figures.py, with canned measurements: it needs no GPU."""
import argparse

from gpu import figures


def test_a_row_a_system_and_a_dash_for_what_failed(monkeypatch, capsys):
    asked = []

    def measure(*args):
        asked.append(args)
        if 'fp16' in args:
            return None
        if args[0] == 'inference':
            return dict(runs=[dict(seconds=0.125)], memory_mib=801.4)
        return dict(seconds=0.25, memory_mib=4000., clips=2, frames=5, size=(360, 640))

    monkeypatch.setattr(figures, 'measure', measure)
    args = argparse.Namespace(device='cuda', systems=['ifc', 'memcnp'], precisions=['fp32', 'fp16'], frames='3', steps='4')
    assert figures.main(args) == 1
    rows = capsys.readouterr().out.strip().splitlines()
    step = '0.250 / 4000 (2 x 5 frames, 640x360)'
    assert rows[2:] == [f'| {system} | 8.0 / 801 | - | {step} | {step} |' for system in ('ifc', 'memcnp')]
    assert rows[0].count('|') == rows[1].count('|') == rows[2].count('|')
    assert len(asked) == 8 and [call[-1] for call in asked].count('--amp') == 2
    assert {call[1] for call in asked} == {figures.CONFIGS[system] for system in args.systems}


def test_a_failed_run_leaves_its_last_sentence(capsys):
    assert figures.measure('inference', 'no_such_config.py') is None
    assert 'no_such_config.py' in capsys.readouterr().err.split(': ', 1)[1]
