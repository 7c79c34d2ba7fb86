"""Deformable convolution v1 (Dai et al., ICCV 2017) and modulated (Zhu et al., CVPR 2019) as ``mmcv.ops`` calls
them, by torchvision's kernels: offset channels are (group, kernel tap, (y, x)) in both. 16-bit inputs are computed
in float32. The buffers of the compiled operators (columns, ones) and ``im2col_step`` change nothing.
"""
import torch
import torchvision  # noqa: F401  (registers torch.ops.torchvision)
from torch import Tensor


def _full(x: Tensor) -> Tensor:
    return x.float() if x.dtype in (torch.float16, torch.bfloat16) else x


def _arguments(input, weight, offset, mask, bias):
    """(input, weight, offset, mask, bias) of torchvision's kernel, and whether the mask counts."""
    input, weight, offset = _full(input), _full(weight), _full(offset)
    use_mask = mask is not None
    mask = _full(mask) if use_mask else input.new_zeros(len(input), 1)
    bias = _full(bias) if bias is not None else input.new_zeros(len(weight))
    return (input, weight, offset, mask, bias), use_mask


def _forward(input, weight, offset, mask, bias, geometry) -> Tensor:
    tensors, use_mask = _arguments(input, weight, offset, mask, bias)
    return torch.ops.torchvision.deform_conv2d(*tensors, *geometry, use_mask)


def _backward(grad_output, input, weight, offset, mask, bias, geometry) -> tuple[Tensor, ...]:
    """Gradients of (input, weight, offset, mask, bias)."""
    tensors, use_mask = _arguments(input, weight, offset, mask, bias)
    return torch.ops.torchvision._deform_conv2d_backward(_full(grad_output), *tensors, *geometry, use_mask)


def deform_conv_forward(input, weight, offset, output, columns, ones, kW, kH, dW, dH, padW, padH, dilationW,
                        dilationH, group, deformable_group, im2col_step) -> None:
    """Fills ``output`` [B, C_out, H_out, W_out].

    Args:
        input: [B, C, H, W]; weight: [C_out, C / group, kH, kW]
        offset: [B, deformable_group * kH * kW * 2, H_out, W_out], in pixels of the input.
    """
    geometry = (dH, dW, padH, padW, dilationH, dilationW, group, deformable_group)
    output.copy_(_forward(input, weight, offset, None, None, geometry))


def deform_conv_backward_input(input, offset, grad_output, grad_input, grad_offset, weight, columns, kW, kH, dW, dH,
                               padW, padH, dilationW, dilationH, group, deformable_group, im2col_step) -> None:
    """Fills ``grad_input`` and ``grad_offset``."""
    geometry = (dH, dW, padH, padW, dilationH, dilationW, group, deformable_group)
    grads = _backward(grad_output, input, weight, offset, None, None, geometry)
    grad_input.copy_(grads[0])
    grad_offset.copy_(grads[2])


def deform_conv_backward_parameters(input, offset, grad_output, grad_weight, columns, ones, kW, kH, dW, dH, padW,
                                    padH, dilationW, dilationH, group, deformable_group, scale, im2col_step) -> None:
    """Adds ``scale`` times the gradient of the weight to ``grad_weight``."""
    geometry = (dH, dW, padH, padW, dilationH, dilationW, group, deformable_group)
    # The values of the weight do not enter its own gradient, only its shape does.
    grads = _backward(grad_output, input, grad_weight, offset, None, None, geometry)
    grad_weight.add_(grads[1], alpha=scale)


def modulated_deform_conv_forward(input, weight, bias, ones, offset, mask, output, columns, kernel_h, kernel_w,
                                  stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w, group, deformable_group,
                                  with_bias) -> None:
    """Fills ``output``; as above, each sample times ``mask`` [B, deformable_group * kH * kW, H_out, W_out]."""
    geometry = (stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w, group, deformable_group)
    output.copy_(_forward(input, weight, offset, mask, bias if with_bias else None, geometry))


def modulated_deform_conv_backward(input, weight, bias, ones, offset, mask, columns, grad_input, grad_weight,
                                   grad_bias, grad_offset, grad_mask, grad_output, kernel_h, kernel_w, stride_h,
                                   stride_w, pad_h, pad_w, dilation_h, dilation_w, group, deformable_group,
                                   with_bias) -> None:
    """Fills the five gradients (that of the bias only ``with_bias``)."""
    geometry = (stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w, group, deformable_group)
    grads = _backward(grad_output, input, weight, offset, mask, bias if with_bias else None, geometry)
    targets = (grad_input, grad_weight, grad_offset, grad_mask, grad_bias)
    for target, grad in zip(targets if with_bias else targets[:4], grads):
        target.copy_(grad)
