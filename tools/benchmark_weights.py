"""Random weights that see ten objects a frame, so that a benchmark without a checkpoint does the work of a real video."""
from typing import Callable, Dict, Tuple, Union

import torch
from torch import nn

from mmvis.models import (
    IFC,
    LVMT,
    CondInstIAI,
    EoMT,
    InstanceFormer,
    Mask2Former,
    MaskTrackRCNN,
    MemCNP,
    MinVIS,
    SipMaskVIS,
    VidEoMT,
    VISModel,
)


def masktrack_rcnn(model: MaskTrackRCNN) -> None:
    """Every proposal has one class over the score threshold, so the 10 best of those that survive suppression are kept;
    embeddings say nothing, so boxes and classes decide on identities."""
    model.bbox_head.fc_cls.bias[1] = 3.
    for parameter in model.track_head.fcs[-1].parameters():
        parameter.zero_()


def condinst_iai(model: CondInstIAI) -> None:
    """One class and ten identities are probable everywhere on the finest level, boxes are sixteen strides wide and
    masks fill them, so the 10 best boxes that survive suppression are kept and named as the objects of the first frame.
    """
    for conv in model.neck.fpn_convs[1:]:      # coarser levels see nothing: their objects would hide the others
        for parameter in conv.parameters():
            parameter.zero_()
    head = model.bbox_head
    head.conv_cls.bias[0] = -6.
    head.conv_cls.weight[0].fill_(0.01)
    head.conv_id.bias[:10] = 2.
    head.conv_reg.bias.fill_(8.)
    kernel = head.controller.bias
    weights, last = kernel[:80].reshape(8, 10), kernel[144:152]
    for axis in (0, 1):                        # logit = 2 - 2 (|dx| + |dy|), in units of eight strides
        for sign in (0, 1):
            row = 2 * axis + sign
            weights[row, axis] = 2. - 4. * sign
            kernel[80:144].reshape(8, 8)[row, row] = 1.
            last[row] = -1.
    kernel[168] = 2.
    for conv in (head.conv_reg, head.controller):
        conv.weight.mul_(0.1)


def sipmask(model: SipMaskVIS) -> None:
    """Every place has one class over the score threshold and a box of ten strides, so the 10 best of those that survive
    suppression are kept; embeddings say nothing, so boxes and classes decide on identities; masks fill their boxes."""
    head = model.bbox_head
    head.fcos_cls.bias[0] = 3.
    head.fcos_reg.bias.fill_(5.)
    head.sip_cof.bias.fill_(1.)
    for parameter in head.sipmask_track.parameters():
        parameter.zero_()


def memcnp(model: MemCNP) -> None:
    """One class is probable everywhere, boxes are a seventh of the image wide and high, so the 10 best boxes that survive
    suppression are kept; embeddings are equal, so boxes decide on identities, and masks fill their boxes."""
    head = model.bbox_head
    head.fcos_cls.bias[0] = 3.
    head.fcos_reg.bias[:4] = -2.5
    head.track_fuse.bias.fill_(0.1)


class TenObjects(nn.Module):
    """Class logits of which the first ten queries' become those of an object."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, queries: torch.Tensor) -> torch.Tensor:
        logits = self.layer(queries)
        logits[..., :10, 0] += 20.
        logits[..., 10:, -1] += 20.
        return logits


def ifc(model: IFC) -> None:
    """The first ten queries are objects; their masks fill about a tenth of a noisy image."""
    was_training = model.training
    features = model.eval().frame_features(torch.randn(1, 3, 180, 320))
    queries, encoded = model.decode(features, 1)
    maps = model.mask_head(encoded, features.lateral8, features.lateral16)[0].flatten(1)
    share = model.mask_head.kernels(queries[-1, 0, :10]) @ maps / maps.sum(0).clamp(min=1e-6)
    model.mask_head.kernels.layers[-1].bias -= share.quantile(0.9)      # maps are not negative
    model.class_embed = TenObjects(model.class_embed)
    model.train(was_training)


class TenSlots(nn.Module):
    """Class logits in which two classes of the first ten slots stand out: 60 entries in the three frames that decide,
    of which the 50 best name the tracks."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, slots: torch.Tensor) -> torch.Tensor:
        logits = self.layer(slots)
        logits[..., :10, :2] += 8.
        return logits


def instanceformer(model: InstanceFormer) -> None:
    """The first ten slots become tracks; their masks are what random kernels make of the frame."""
    model.class_branches[-1] = TenSlots(model.class_branches[-1])


class Blobs(nn.Module):
    """A predictor whose masks are smooth, as trained ones are: the first ten queries, and every second one after them,
    have a blob of about a twentieth of the frame, with an uneven edge; the others have no pixel. What the predictor
    computes is computed."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer
        self.blobs = torch.zeros(0)

    def forward(self, queries: torch.Tensor, patches: torch.Tensor, size: Tuple[int, int]) -> Tuple[torch.Tensor, ...]:
        logits, masks = self.layer(queries, patches, size)
        return logits, self.smooth(masks)

    def smooth(self, masks: torch.Tensor) -> torch.Tensor:
        """Mask logits [N, Q, h4, w4], in place."""
        if self.blobs.shape != masks.shape[1:]:
            self.blobs = self._draw(*masks.shape[1:]).to(masks)
        return masks.mul_(0.2).add_(self.blobs)

    @staticmethod
    def _draw(num: int, height: int, width: int) -> torch.Tensor:
        draw = torch.Generator().manual_seed(0)
        y, x = torch.linspace(0, 1, height)[:, None], torch.linspace(0, 1, width)
        cy, cx = torch.rand(2, num, 1, 1, generator=draw) * 0.7 + 0.15
        distance = ((y - cy) ** 2 + (x - cx) ** 2).sqrt()
        blobs = 40 * (0.126 - distance).clamp(min=-0.2)
        blobs[11::2] = -20.
        return blobs


def encoder_only(model: Union[EoMT, LVMT, VidEoMT]) -> None:
    """The first ten queries are objects; masks are blobs."""
    model.predictor.class_head = TenObjects(model.predictor.class_head)
    model.predictor = Blobs(model.predictor)


def segmenter(model: Union[Mask2Former, MinVIS]) -> None:
    """The same of the decoder of Mask2Former, whose attention follows the blobs."""
    decoder = model.segmenter.decoder
    decoder.class_head = TenObjects(decoder.class_head)
    predict, blobs = decoder.predict, Blobs(nn.Identity())

    def smoothed(*args):
        prediction = predict(*args)
        return prediction._replace(masks=blobs.smooth(prediction.masks))
    decoder.predict = smoothed


SEE_TEN_OBJECTS: Dict[type, Callable] = {
    MaskTrackRCNN: masktrack_rcnn, CondInstIAI: condinst_iai, SipMaskVIS: sipmask, MemCNP: memcnp, IFC: ifc,
    InstanceFormer: instanceformer, VidEoMT: encoder_only, EoMT: encoder_only, LVMT: encoder_only, Mask2Former: segmenter,
    MinVIS: segmenter}


@torch.no_grad()
def see_ten_objects(model: VISModel) -> None:
    """Change the weights of a model of one of ``SEE_TEN_OBJECTS``."""
    SEE_TEN_OBJECTS[type(model)](model)
