import math

import pytest
import torch
from mmcv.ops import SigmoidFocalLoss, sigmoid_focal_loss, softmax_focal_loss
from torch.autograd import gradcheck

TARGET = torch.tensor([0, 2, 3, 1, 3])  # 3 is the background
WEIGHT = torch.tensor([0.5, 2.0, 1.5], dtype=torch.float64)


def logits():
    return 3 * torch.randn(5, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def sigmoid_reference(x, gamma, alpha, weight):
    rows = []
    for row, target in zip(x.tolist(), TARGET.tolist()):
        factor = 1 if weight is None or target == 3 else float(weight[target])
        p = [1 / (1 + math.exp(-v)) for v in row]
        rows.append([-factor * (alpha * (1 - q) ** gamma * math.log(q) if c == target
                                else (1 - alpha) * q ** gamma * math.log(1 - q)) for c, q in enumerate(p)])
    return torch.tensor(rows, dtype=torch.float64)


@pytest.mark.parametrize('weight', [None, WEIGHT], ids=['plain', 'weighted'])
@pytest.mark.parametrize('gamma', [0.0, 1.5, 2.0])
def test_sigmoid(gamma, weight):
    expected = sigmoid_reference(logits(), gamma, 0.25, weight)
    close = dict(rtol=1e-9, atol=1e-12)
    for reduction, value in (('none', expected), ('sum', expected.sum()), ('mean', expected.sum() / 5)):
        args = (TARGET, gamma, 0.25, weight, reduction)
        torch.testing.assert_close(sigmoid_focal_loss(logits(), *args), value, **close)
        assert gradcheck(lambda x: sigmoid_focal_loss(x, *args), logits().requires_grad_())
    torch.testing.assert_close(SigmoidFocalLoss(gamma, 0.25, weight)(logits(), TARGET), expected.sum() / 5, **close)


def test_sigmoid_agrees_with_the_plain_loss_of_mmdet():
    from mmdet.models.losses.focal_loss import py_sigmoid_focal_loss
    one_hot = torch.nn.functional.one_hot(TARGET, 4)[:, :3]
    expected = py_sigmoid_focal_loss(logits(), one_hot, gamma=2.0, alpha=0.25, reduction='none')
    torch.testing.assert_close(sigmoid_focal_loss(logits(), TARGET, 2.0, 0.25, None, 'none'), expected)


@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16])
def test_sigmoid_is_finite_at_extreme_logits(dtype):
    x = torch.tensor([[-200.0, 200.0, 0.0]] * 5, dtype=dtype).requires_grad_()
    loss = sigmoid_focal_loss(x, TARGET, 2.0, 0.25, None, 'sum')
    loss.backward()
    assert loss.isfinite() and loss > 40 and x.grad.isfinite().all() and x.grad[0, 0] == -0.25


@pytest.mark.parametrize('weight', [None, WEIGHT], ids=['plain', 'weighted'])
@pytest.mark.parametrize('gamma', [0.0, 0.5, 2.0])
def test_softmax(gamma, weight):
    target = torch.tensor([0, 2, -1, 1, 2])  # -1 is ignored
    p = logits().softmax(1)
    expected = torch.tensor([0 if t < 0 else -0.25 * (1 - p[n, t]) ** gamma * math.log(p[n, t])
                             * (1 if weight is None else weight[t]) for n, t in enumerate(target.tolist())],
                            dtype=torch.float64)
    for reduction, value in (('none', expected), ('sum', expected.sum()), ('mean', expected.sum() / 5)):
        result = softmax_focal_loss(logits(), target, gamma, 0.25, weight, reduction)
        torch.testing.assert_close(result, value, rtol=1e-9, atol=1e-12)
    for reduction in ('sum', 'mean'):  # mmcv's own backward accepts no 'none'
        assert gradcheck(lambda x: softmax_focal_loss(x, target, gamma, 0.25, weight, reduction),
                         logits().requires_grad_())


def test_softmax_is_finite_at_certainty():
    x = torch.tensor([[200.0, -200.0], [-200.0, 200.0]]).requires_grad_()
    loss = softmax_focal_loss(x, torch.tensor([0, 0]), 0.5, 0.25, None, 'sum')
    loss.backward()
    assert loss.isfinite() and loss > 20 and x.grad.isfinite().all()
