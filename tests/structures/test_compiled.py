"""Loops that numba compiles: the cache of their machine code may be full or damaged."""
import logging

import pytest
from helpers.full_disk import files_end_at

from mmvis.structures.compiled import CompiledLoop

pytest.importorskip('numba')


def double(x):
    return 2 * x


def triple(x):
    return 3 * x


def test_a_cache_that_cannot_be_written_or_read_costs_one_line(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr('numba.config.CACHE_DIR', str(tmp_path))
    monkeypatch.setattr(CompiledLoop, '_told', False)
    with caplog.at_level(logging.WARNING):
        with files_end_at(100):
            assert CompiledLoop(double)(3) == 6 and CompiledLoop(triple)(3) == 9
        line, = caplog.messages
        assert str(tmp_path) in line and 'File too large' in line
        assert CompiledLoop(double)(3) == 6  # kept this time
        index, = tmp_path.rglob('*double*.nbi')
        index.write_bytes(index.read_bytes()[:50])
        monkeypatch.setattr(CompiledLoop, '_told', False)
        assert CompiledLoop(double)(3) == 6 and len(caplog.messages) == 2
    with pytest.raises(TypeError):  # an error of the function itself
        CompiledLoop(double)()
