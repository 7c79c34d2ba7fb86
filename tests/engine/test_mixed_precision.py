"""Mixed precision without a GPU."""
import pytest
import torch
from torch import nn

from mmvis.engine import MixedPrecisionOptimWrapper, amp

pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason='asks for what a CPU does')


@pytest.fixture(autouse=True)
def has_bfloat16(monkeypatch):
    """The tests ask for the same on every CPU."""
    monkeypatch.setattr(amp, 'cpu_has_bfloat16', lambda: True)


class Net(nn.Module):

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.linear = nn.Linear(64, 1)

    def forward(self, x):
        self.dtype = (y := self.linear(x)).dtype
        return y.float().square().mean()


def train_step(wrapper, model, x):
    with wrapper.optim_context(model):
        loss = model(x)
    wrapper.update_params(loss)
    return loss.item()


def make(**kwargs):
    model = Net()
    return model, MixedPrecisionOptimWrapper(optimizer=torch.optim.SGD(model.parameters(), 0.1), **kwargs)


def test_forward_is_bfloat16_and_weights_stay_float32():
    model, wrapper = make(clip_grad=dict(max_norm=1.))
    x = torch.rand(8, 64)
    before = model.linear.weight.clone()
    exact = model(x).item()
    loss = train_step(wrapper, model, x)
    assert model.dtype == torch.bfloat16
    assert loss != exact and loss == pytest.approx(exact, rel=0.03)
    assert model.linear.weight.dtype == torch.float32 and model.linear.weight.grad is None
    step = (before - model.linear.weight).norm().item() / 0.1
    assert 0 < step <= 1.001  # clipped: the norm of weight and bias gradients together is at most 1
    assert 'train/grad_norm' in wrapper.message_hub.log_scalars


def test_gradients_accumulate():
    model, wrapper = make(accumulative_counts=2)
    before = model.linear.weight.clone()
    train_step(wrapper, model, torch.rand(8, 64))
    assert torch.equal(before, model.linear.weight)
    train_step(wrapper, model, torch.rand(8, 64))
    assert not torch.equal(before, model.linear.weight)


def test_state_goes_both_ways_between_mixed_and_full_precision():
    model, wrapper = make()
    train_step(wrapper, model, torch.rand(8, 64))
    state = wrapper.state_dict()
    assert state['loss_scaler'] == {}  # bfloat16 needs none
    _, other = make()
    other.load_state_dict(state)
    other.load_state_dict({name: value for name, value in state.items() if name != 'loss_scaler'})
    assert 'loss_scaler' in state


def test_a_cpu_without_bfloat16_trains_in_float32_unless_told_otherwise(monkeypatch):
    said = []
    monkeypatch.setattr(amp, 'cpu_has_bfloat16', lambda: False)
    monkeypatch.setattr(amp, 'print_log', lambda text, **options: said.append(text))
    model, wrapper = make()
    assert len(said) == 1 and 'mixed precision is off' in said[0]
    x = torch.rand(8, 64)
    exact = model(x).item()
    assert train_step(wrapper, model, x) == exact
    assert model.dtype == torch.float32 and wrapper.state_dict()['loss_scaler'] == {}
    model, wrapper = make(dtype='bfloat16')
    train_step(wrapper, model, x)
    assert model.dtype == torch.bfloat16
    assert len(said) == 2 and 'leave out optim_wrapper.dtype' in said[1]


@pytest.mark.parametrize('dtype', ['float16', 'float64'])
def test_what_a_cpu_cannot_do_is_said(dtype):
    with pytest.raises(ValueError, match=f'optim_wrapper.dtype is .?{dtype}.*bfloat16'):
        make(dtype=dtype)
