"""Sigmoid and softmax focal loss (Lin et al., ICCV 2017) as ``mmcv.ops`` calls them.

``weight`` is empty or holds one factor a class; the background has the factor 1. Logarithms of probabilities are
taken so that the loss of every finite logit is finite.
"""
import torch
import torch.nn.functional as F
from torch import Tensor


def _class_weight(weight: Tensor, target: Tensor, num_classes: int):
    """Factor of each row's class, [N, 1], or 1."""
    if weight.numel() == 0:
        return 1
    is_class = (target >= 0) & (target < num_classes)
    return torch.where(is_class, weight[target.clamp(0, num_classes - 1)], 1).view(-1, 1)


def _positive(target: Tensor, num_classes: int) -> Tensor:
    """Bool [N, C], true at each row's own class; a row of the background has none."""
    return target.view(-1, 1) == torch.arange(num_classes, device=target.device)


def sigmoid_focal_loss_forward(input: Tensor, target: Tensor, weight: Tensor, output: Tensor, gamma: float,
                               alpha: float) -> None:
    """Fills ``output`` [N, C] with the loss of each logit.

    Args:
        input: [N, C] logits.
        target: int64 [N], class from 0 to C - 1; any other number is background.
    """
    own = _positive(target, input.shape[1])
    p, q = input.sigmoid(), (-input).sigmoid()
    positive = -alpha * q ** gamma * F.logsigmoid(input)
    negative = -(1 - alpha) * p ** gamma * F.logsigmoid(-input)
    output.copy_(torch.where(own, positive, negative) * _class_weight(weight, target, input.shape[1]))


def sigmoid_focal_loss_backward(input: Tensor, target: Tensor, weight: Tensor, grad_input: Tensor, gamma: float,
                                alpha: float) -> None:
    """Fills ``grad_input`` [N, C] with the derivative of each loss."""
    own = _positive(target, input.shape[1])
    p, q = input.sigmoid(), (-input).sigmoid()
    positive = -alpha * q ** gamma * (q - gamma * p * F.logsigmoid(input))
    negative = -(1 - alpha) * p ** gamma * (gamma * q * F.logsigmoid(-input) - p)
    grad_input.copy_(torch.where(own, positive, negative) * _class_weight(weight, target, input.shape[1]))


def softmax_focal_loss_forward(input: Tensor, target: Tensor, weight: Tensor, output: Tensor, gamma: float,
                               alpha: float) -> None:
    """Fills ``output`` [N] with the loss of each row; a row whose target is no class counts nothing.

    Args:
        input: [N, C], after the softmax.
        target: int64 [N], class from 0 to C - 1.
    """
    p, own = _own_probability(input, target)
    loss = -alpha * (1 - p) ** gamma * p.log() * _class_weight(weight, target, input.shape[1])
    output.copy_((loss * own.any(1, keepdim=True)).view(-1))


def softmax_focal_loss_backward(input: Tensor, target: Tensor, weight: Tensor, buff: Tensor, grad_input: Tensor,
                                gamma: float, alpha: float) -> None:
    """Fills ``grad_input`` [N, C], the derivative by the logits, and ``buff`` [N], p times that by p."""
    p, own = _own_probability(input, target)
    rest = 1 - p
    # At p = 1, a gamma below 1 gives infinity times log(1) = 0; the limit is 0.
    power = rest.clamp(min=torch.finfo(p.dtype).tiny) ** (gamma - 1)
    slope = alpha * (gamma * power * p * p.log() - rest ** gamma) * _class_weight(weight, target, input.shape[1])
    slope = slope * own.any(1, keepdim=True)
    buff.copy_(slope.view(-1))
    grad_input.copy_(slope * (own.to(input.dtype) - input))


def _own_probability(softmax: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Probability of each row's own class [N, 1] (1 where it has none) and the mask [N, C] of own classes."""
    own = _positive(target, softmax.shape[1])
    p = torch.where(own, softmax, 1).amin(1, keepdim=True)
    return p.clamp(min=torch.finfo(softmax.dtype).tiny), own
