"""Tokens of earlier frames that the decoder attends to (InstanceFormer section 3.3; the OVIS models have them)."""
from typing import List, NamedTuple, Optional, Sequence, Tuple

import torch
from mmdet.models.layers import SinePositionalEncoding
from torch import Tensor, nn


class FrameTokens(NamedTuple):
    """The chosen slots of one frame: values [B, M, d + C + 4] (feature, class scores, box), positions [B, M, d]."""
    values: Tensor
    positions: Tensor


class TokenMemory(nn.Module):
    """Chooses the tokens of a frame and prepares those of the last frames for attention.

    Args:
        num_classes: C, class units of the model.
        num_tokens: M, tokens a frame.
        num_frames: S, earlier frames that are remembered; published models take as many as the training clips have.
    """

    def __init__(self, num_classes: int, embed_dims: int = 256, num_tokens: int = 10, num_frames: int = 3) -> None:
        super().__init__()
        self.num_tokens, self.num_frames = num_tokens, num_frames
        self.proj = nn.Linear(embed_dims + num_classes + 4, embed_dims)
        nn.init.xavier_uniform_(self.proj.weight)
        self.encoding = SinePositionalEncoding(embed_dims // 2, normalize=True, offset=-0.5)

    def choose(self, scores: Tensor, matched: Optional[Sequence[Tensor]] = None) -> Tensor:
        """The M slots of each clip that become tokens, int64 [B, M].

        Those with the highest score; in training the matched slots in ascending order, then the best of the others.

        Args:
            scores: [B, Q]; matched: B lists of slots.
        """
        if matched is None:
            return scores.topk(self.num_tokens, dim=1).indices
        chosen = []
        for row, slots in zip(scores, matched):
            order = row.detach().clone().index_fill_(0, slots, -1.).argsort(descending=True)
            chosen.append(torch.cat([slots.sort().values, order])[:self.num_tokens])
        return torch.stack(chosen)

    @staticmethod
    def gather(slots: Tensor, features: Tensor, scores: Tensor, boxes: Tensor, positions: Tensor) -> FrameTokens:
        """Tokens of ``slots`` [B, M] out of features [B, Q, d], class scores [B, Q, C], boxes [B, Q, 4] and slot
        positions [Q, d]. No gradient flows back through them."""
        values = torch.cat([features, scores, boxes], dim=-1).detach()
        index = slots[..., None].expand(-1, -1, values.shape[-1])
        return FrameTokens(values.gather(1, index), positions.detach()[slots])

    def forward(self, bank: List[FrameTokens]) -> Optional[Tuple[Tensor, Tensor]]:
        """Values and positions [B, R, d] of all tokens of the remembered frames, oldest first; None of no frame.

        A position is that of the slot plus that of the frame: row i of S for the i-th oldest frame, also while the
        memory fills.
        """
        if not bank:
            return None
        times = self.frame_positions()[:len(bank)].to(bank[0].positions)
        positions = [tokens.positions + time for tokens, time in zip(bank, times)]
        return self.proj(torch.cat([tokens.values for tokens in bank], dim=1)), torch.cat(positions, dim=1)

    def frame_positions(self) -> Tensor:
        """Sine encoding of a column of S rows, [S, d]."""
        column = torch.zeros(1, self.num_frames, 1, device=self.proj.weight.device)
        return self.encoding(column)[0, :, :, 0].transpose(0, 1)
