"""The inter-frame communication encoder (Hwang et al., NeurIPS 2021, section 3.1)."""
from typing import Any, Dict, Optional, Tuple

import torch
from mmdet.models.layers import DetrTransformerEncoderLayer
from torch import Tensor, nn


def attention_config(embed_dims: int, num_heads: int, dropout: float) -> Dict[str, Any]:
    """Config of mmdet's attention with DETR's two dropouts, that of the weights and that of the output."""
    return dict(embed_dims=embed_dims, num_heads=num_heads, attn_drop=dropout, batch_first=True,
                dropout_layer=dict(type='Dropout', drop_prob=dropout))


def ffn_config(embed_dims: int, ffn_dims: int, dropout: float) -> Dict[str, Any]:
    """Config of mmdet's feed-forward network with one hidden layer."""
    return dict(embed_dims=embed_dims, feedforward_channels=ffn_dims, num_fcs=2, ffn_drop=dropout,
                act_cfg=dict(type='ReLU', inplace=True))


class ClipEncoder(nn.Module):
    """Frames that speak to each other through a few memory tokens only.

    In each block every frame's tokens and memory tokens attend to each other (*receive*), then memory token m of a
    frame attends to the memory tokens m of all frames of its clip (*communicate*), without any position: the network
    does not know the order of the frames. All layers are post-norm.

    P pixels of the stride-32 map, M memory tokens.
    """

    def __init__(self, num_layers: int = 3, num_memory: int = 8, embed_dims: int = 256, num_heads: int = 8,
                 ffn_dims: int = 2048, dropout: float = 0.1) -> None:
        super().__init__()
        self.memory = nn.Parameter(torch.empty(num_memory, embed_dims))
        self.memory_pos = nn.Parameter(torch.empty(num_memory, embed_dims))

        def layer() -> DetrTransformerEncoderLayer:
            return DetrTransformerEncoderLayer(attention_config(embed_dims, num_heads, dropout),
                                               ffn_config(embed_dims, ffn_dims, dropout))

        self.receive = nn.ModuleList(layer() for _ in range(num_layers))
        self.communicate = nn.ModuleList(layer() for _ in range(num_layers))
        for name, parameter in self.named_parameters():
            if name.startswith('memory'):
                nn.init.kaiming_normal_(parameter, mode='fan_out', nonlinearity='relu')
            elif parameter.dim() > 1:
                nn.init.xavier_uniform_(parameter)

    def first_receive(self, tokens: Tensor, pos: Tensor, padding: Optional[Tensor]) -> Tensor:
        """The first block's *receive*: it depends on the frame alone, not on its clip.

        Args:
            tokens: [N, P, C] of N frames.
            pos: [N or 1, P, C], their positions.
            padding: bool [N, P], True in the padding; None where there is none.

        Returns:
            [N, P + M, C], memory tokens last.
        """
        return self._receive(0, tokens, self.memory.expand(len(tokens), -1, -1), pos, padding)

    def forward(self, received: Tensor, pos: Tensor, padding: Optional[Tensor], num_frames: int
                ) -> Tuple[Tensor, Tensor]:
        """All that follows ``first_receive``.

        Args:
            received: [B * T, P + M, C] of ``first_receive``, clip after clip.
            pos, padding: as there.
            num_frames: T.

        Returns:
            Tokens [B * T, P, C] after the last *receive* and memory tokens [B * T, M, C] after the last *communicate*.
        """
        for following in range(1, len(self.receive) + 1):
            tokens, memory = received.split([pos.shape[1], len(self.memory)], dim=1)
            memory = self._communicate(following - 1, memory, num_frames)
            if following < len(self.receive):
                received = self._receive(following, tokens, memory, pos, padding)
        return tokens, memory

    def _receive(self, index: int, tokens: Tensor, memory: Tensor, pos: Tensor, padding: Optional[Tensor]) -> Tensor:
        pos = torch.cat([pos, self.memory_pos.expand(len(pos), -1, -1)], dim=1).expand(len(tokens), -1, -1)
        if padding is not None:
            padding = torch.cat([padding, padding.new_zeros(len(padding), len(self.memory))], dim=1)
        return self.receive[index](torch.cat([tokens, memory], dim=1), query_pos=pos, key_padding_mask=padding)

    def _communicate(self, index: int, memory: Tensor, num_frames: int) -> Tensor:
        size = memory.shape[1:]
        slots = memory.reshape(-1, num_frames, *size).transpose(1, 2)                      # [B, M, T, C]
        slots = self.communicate[index](slots.flatten(0, 1), query_pos=None, key_padding_mask=None)
        return slots.view(-1, size[0], num_frames, size[1]).transpose(1, 2).reshape(-1, *size)
