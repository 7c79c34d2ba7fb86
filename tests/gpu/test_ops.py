"""The supplied operators give the same outputs and gradients on CUDA as on the CPU."""
import pytest
import torch
from mmcv.ops import (
    batched_nms,
    deform_conv2d,
    modulated_deform_conv2d,
    nms,
    roi_align,
    sigmoid_focal_loss,
    soft_nms,
    softmax_focal_loss,
)

from mmvis.ops.deform_attn import ms_deform_attn  # mmvis before mmcv.ops

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason='needs a CUDA device')]


def randn(*shape):
    return torch.randn(*shape, dtype=torch.float64)


def rois():
    boxes = torch.rand(6, 4, dtype=torch.float64) * 20
    boxes[:, 2:] += boxes[:, :2]
    return torch.cat([torch.randint(0, 2, (6, 1)).double(), boxes], 1)


def attention_inputs():
    return [randn(2, 23, 2, 4), torch.rand(2, 5, 2, 2, 3, 2, dtype=torch.float64) * 1.4 - 0.2,
            randn(2, 5, 2, 2, 3).softmax(-1)]


SHAPES, STARTS = torch.tensor([[4, 5], [1, 3]]), torch.tensor([0, 20])
TARGET = torch.tensor([0, 2, 3, 1, 3])
OPERATORS = {
    'roi_align': (lambda x, r: roi_align(x, r.detach(), 3, 0.5, 0, 'avg', True), lambda: [randn(2, 3, 9, 11), rois()]),
    'roi_align_max': (lambda x, r: roi_align(x, r.detach(), 3, 0.5, 2, 'max', False),
                      lambda: [randn(2, 3, 9, 11), rois()]),
    'deform_conv': (lambda x, o, w: deform_conv2d(x, o, w, 1, 1, 1, 1, 2),
                    lambda: [randn(2, 4, 6, 5), randn(2, 36, 6, 5), randn(6, 4, 3, 3)]),
    'modulated_deform_conv': (lambda x, o, m, w, b: modulated_deform_conv2d(x, o, m, w, b, 1, 1),
                              lambda: [randn(2, 4, 6, 5), randn(2, 18, 6, 5), randn(2, 9, 6, 5), randn(6, 4, 3, 3),
                                       randn(6)]),
    'sigmoid_focal': (lambda x: sigmoid_focal_loss(x, TARGET.to(x.device), 2.0, 0.25, None, 'none'),
                      lambda: [randn(5, 3)]),
    'softmax_focal': (lambda x: softmax_focal_loss(x, TARGET.to(x.device) % 3, 2.0, 0.25, None, 'mean'),
                      lambda: [randn(5, 3)]),
    'ms_deform_attn': (lambda v, s, a: ms_deform_attn(v, SHAPES.to(v.device), STARTS.to(v.device), s, a),
                       attention_inputs),
}


@pytest.mark.parametrize('name', OPERATORS)
def test_outputs_and_gradients(name):
    op, make = OPERATORS[name]
    torch.manual_seed(0)
    host = [x.requires_grad_() for x in make()]
    device = [x.detach().cuda().requires_grad_() for x in host]
    outputs = op(*host), op(*device)
    torch.testing.assert_close(outputs[1].cpu(), outputs[0], rtol=1e-9, atol=1e-9)
    for output in outputs:
        output.square().sum().backward()
    for a, b in zip(host, device):
        assert (a.grad is None) == (b.grad is None)
        if a.grad is not None:
            torch.testing.assert_close(b.grad.cpu(), a.grad, rtol=1e-8, atol=1e-8)


def test_nms():
    torch.manual_seed(0)
    boxes, scores = rois()[:, 1:].repeat(20, 1).float() + torch.rand(120, 4), torch.rand(120)
    labels = torch.arange(120) % 3
    for run in (lambda b, s, i: nms(b, s, 0.5)[1], lambda b, s, i: nms(b, s, 0.5, offset=1)[1],
                lambda b, s, i: soft_nms(b, s, 0.5)[1],
                lambda b, s, i: batched_nms(b, s, i, dict(type='nms', iou_threshold=0.5))[1]):
        assert run(boxes.cuda(), scores.cuda(), labels.cuda()).tolist() == run(boxes, scores, labels).tolist()


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_roi_align_under_autocast(dtype):
    conv, image = torch.nn.Conv2d(3, 4, 1).cuda(), torch.randn(2, 3, 9, 11, device='cuda')
    with torch.autocast('cuda', dtype):
        roi_align(conv(image), rois().float().cuda(), 3, 0.5).float().sum().backward()
    assert conv.weight.grad.dtype == torch.float32 and conv.weight.grad.abs().sum() > 0
