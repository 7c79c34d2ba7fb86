"""What float32 means, and numbers that half precision is too coarse for: coordinates, sums, logits that a loss or a result
looks at."""
import torch
from torch import Tensor

from mmvis.errors import InputError


def set_float32(precision: str, device: str) -> None:
    """What this process computes float32 with, on GPUs of the Ampere generation or newer: 'tf32' convolutions and products
    of matrices with 10 bits of mantissa, 'fp32' neither. PyTorch's default is mixed, only convolutions.

    Args:
        device: 'cuda', or another type, where 'fp32' is all there is.

    Raises:
        InputError: 'tf32' without CUDA.
    """
    if device != 'cuda':
        if precision == 'tf32':
            raise InputError(f"precision 'tf32' needs CUDA, but the model is on {device}: use 'fp32'.")
        return
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = precision == 'tf32'


def at_least_float32(x: Tensor) -> Tensor:
    """float16 and bfloat16 become float32; float32 and float64 stay."""
    return x.to(torch.promote_types(x.dtype, torch.float32))
