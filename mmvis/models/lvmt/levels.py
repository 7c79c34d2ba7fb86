"""From the blocks of a frozen vision transformer to the tokens that the decoder works on."""
import torch
from torch import Tensor, nn

from ..backbones.vit import MLP


class Level(nn.Module):
    """What one level of the transformer adds to the tokens of the decoder.

    The batch norm counts every token of every frame: class token, registers and padding too.

    Args:
        dim: C; eps: of the norm.
    """

    def __init__(self, dim: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.norm = nn.BatchNorm1d(dim, eps=eps)
        self.mlp = MLP(dim, dim // 2, dim)
        self.scale = nn.Parameter(torch.ones(dim))

    def forward(self, x: Tensor) -> Tensor:
        """[N, S, C] to [N, S, C]."""
        x = self.norm(x.transpose(1, 2)).transpose(1, 2)
        return (x + self.mlp(x)) * self.scale
