"""Curves have a bound: a value added to a long one would cost as much as the whole curve."""
import pytest
from mmengine.logging import HistoryBuffer, MessageHub
from mmengine.runner import LogProcessor

from mmvis.engine.history import HISTORY_LENGTH, bound_history

MEAN = dict(data_src='loss', log_name='mean', method_name='mean')


@pytest.mark.parametrize('options, length', [
    (dict(), HISTORY_LENGTH), (dict(window_size=1200), 1200), (dict(custom_cfg=[dict(MEAN, window_size=1500)]), 1500),
    (dict(custom_cfg=[dict(MEAN, window_size='epoch')]), 2000)])
def test_the_longest_window_of_the_log_is_kept(options, length):
    hub = MessageHub(f'bounded {length}')
    hub.update_scalar('old', -1.)
    bound_history(hub, LogProcessor(**options))
    hub.load_state_dict(dict(log_scalars=dict(resumed=HistoryBuffer([-1.], [1])), runtime_info={}, resumed_keys={}))
    for value in range(1999 if length == 2000 else 2000):
        for name in ('old', 'new', 'resumed'):
            hub.update_scalar(name, float(value))
    curves = [hub.get_scalar(name) for name in ('old', 'resumed')]
    assert [len(curve.data[0]) for curve in curves] == [length, length]
    assert curves[0].data[0][-1] == value and hub.get_scalar('new').mean(2) == value - 0.5
