"""Where every slot should start looking for its object in the next frame (ours; the published rules do not look)."""
import torch
from mmdet.models.layers import coordinate_to_encoding
from torch import Tensor, nn

from ..layers.deformable_encoder import Tokens, pixel_centres
from ..layers.precision import at_least_float32


class PointSearch(nn.Module):
    """Points that boxes start from: the mean of all places, weighted by how alike their features are to the slot.

    Deformable attention samples where a slot says and compares no looks, so that a slot whose object is elsewhere takes
    what it finds at the old place. Here what the slot holds is compared with every place of the coarser levels; places
    near its last box are preferred, the more the larger ``near`` is.

    Args:
        embed_dims: d of slots and places.
        near: how strongly, at first: the weight of a place falls by exp(-near r^2), r in units of the image.
    """

    def __init__(self, embed_dims: int = 256, near: float = 30.) -> None:
        super().__init__()
        self.query, self.key = nn.Linear(embed_dims, embed_dims), nn.Linear(embed_dims, embed_dims)
        self.box_query = nn.Linear(2 * embed_dims, embed_dims, bias=False)
        self.place_key = nn.Linear(embed_dims, embed_dims, bias=False)
        nn.init.zeros_(self.box_query.weight)
        self.log_near = nn.Parameter(torch.tensor(near).log())

    def forward(self, content: Tensor, boxes: Tensor, tokens: Tokens) -> Tensor:
        """
        Args:
            content: [B, Q, d] of the slots after the last frame.
            boxes: [B, Q, 4] cx cy w h there, in units of the image.
            tokens: the encoded frame; its finest level is left out.

        Returns:
            points [B, Q, 2] (x, y) in units of the image without padding, in the type of ``boxes``.
        """
        dims, finest = content.shape[-1], tokens.shapes[0][0] * tokens.shapes[0][1]
        values = tokens.values[:, finest:]
        # In units of the image, not of the padded level.
        centres = pixel_centres(tokens.shapes, tokens.valid_ratios)[:, finest:, 0]
        centres = (centres / tokens.valid_ratios[:, :1]).to(boxes)
        query = self.query(content) + self.box_query(coordinate_to_encoding(boxes, dims // 2).to(content))
        key = self.key(values) + self.place_key(coordinate_to_encoding(centres, dims // 2).to(values))
        with torch.autocast(content.device.type, enabled=False):        # half precision is too coarse for coordinates
            alike = at_least_float32(query) @ at_least_float32(key).transpose(1, 2) / dims ** 0.5
            alike = alike - self.log_near.exp() * torch.cdist(boxes[..., :2], centres) ** 2
            if tokens.padding is not None:
                alike = alike.masked_fill(tokens.padding[:, None, finest:], -torch.inf)
            return alike.softmax(-1).to(centres) @ centres
