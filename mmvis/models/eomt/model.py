"""EoMT: a plain vision transformer that segments images; queries join the tokens in its last blocks.

Kerssies et al., Your ViT is Secretly an Image Segmentation Model, CVPR 2025, arXiv 2503.19108. Numbers follow the
official code (github.com/tue-mps/eomt), which is MIT.
"""
from typing import Any, Dict, Iterator, List, Optional, Sequence, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mmvis.errors import InputError
from mmvis.frame_sample import FrameSample
from mmvis.registry import MODELS
from mmvis.structures import FrameInstances, TrackScore, VideoInfo

from ..backbones.vit import Tokens
from ..base import FrameReader, VISModel
from ..builder import build_part
from ..layers.clip_targets import ClipTargets, clip_targets
from ..layers.image_results import ImagesState
from ..layers.query_matching import Pairs, match_tubes
from ..layers.query_predictor import QueryPredictor
from ..layers.stages import stage
from ..layers.step_counter import StepCounter, poly_anneal
from ..losses import QueryCriterion, mean_over_processes


@MODELS.register_module()
class EoMT(VISModel):
    """Encoder-only mask transformer, for images: every frame is an image of its own, and no identity is found.

    Images go through the first blocks of the transformer; then the queries stand in front of the tokens. Before each of
    the last ``num_query_blocks`` blocks, and after the last one, classes and masks are predicted and trained. In
    training a query sees, of the patches, only those that its mask before the block covers (masked attention); this rule fades
    out, block after block, so that inference goes without it.

    Args:
        backbone: a ``ViT`` or its config; its position table is that of the training size.
        num_classes: K.
        num_queries: Q.
        num_query_blocks: S and B have 3, L has 4.
        num_instances: of an image in the results.
        fade: for each of these blocks the steps of training at which the share of queries that see through their mask
            begins to fall from 1, and at which it is 0 (power 0.9); None: it stays at 1.
        criterion: weights of the losses, see ``QueryCriterion``.
    """

    SEGMENTS_IMAGES = True
    #: What ``--compile`` compiles.
    COMPILED = ('encode', 'decode')

    def __init__(self, backbone: Any, num_classes: int = 80, num_queries: int = 200, num_query_blocks: int = 3,
                 num_instances: int = 100, fade: Optional[Sequence[Tuple[int, int]]] = None,
                 criterion: Optional[dict] = None, data_preprocessor: Any = dict(type='ClipPreprocessor'),
                 init_cfg: Optional[dict] = None) -> None:
        super().__init__(data_preprocessor=build_part(data_preprocessor), init_cfg=init_cfg)
        if fade is not None and (len(fade) != num_query_blocks or any(not 0 <= start < end for start, end in fade)):
            raise InputError(f'EoMT: fade is {fade!r}; it needs a pair (first step, last step), the first lower, for '
                             f'each of the {num_query_blocks} blocks with queries.')
        self.backbone = build_part(backbone)
        if not 0 < num_query_blocks <= len(self.backbone.blocks):
            raise InputError(f'EoMT: num_query_blocks is {num_query_blocks}, the backbone has '
                             f'{len(self.backbone.blocks)} blocks.')
        self.num_classes, self.num_instances, self.fade = num_classes, num_instances, fade
        self.first_query_block = len(self.backbone.blocks) - num_query_blocks
        self.q = nn.Embedding(num_queries, self.backbone.embed_dims)
        self.predictor = QueryPredictor(self.backbone.embed_dims, num_classes, self.backbone.patch_size)
        self.counter = StepCounter()
        self.criterion = QueryCriterion(num_classes, **criterion or {})

    # The network

    def encode(self, frames: Tensor, video: Optional[VideoInfo] = None) -> Tokens:
        """Images float32 [N, 3, H, W] through the blocks without queries."""
        tokens = self.backbone.embed(frames)
        return tokens._replace(x=self.backbone.run(0, self.first_query_block, tokens.x, tokens.rotation))

    def decode(self, features: Tokens, masked: Optional[Sequence[float]] = None) -> List[Tuple[Tensor, Tensor]]:
        """Class logits [N, Q, K + 1] ("no object" last) and mask logits [N, Q, h4, w4], after the last block.

        Args:
            masked: for each block with queries the share of queries that see only the patches of their mask. Then the
                predictions before each of these blocks come first. None: attention without masks, one prediction.
        """
        x = torch.cat([self.q.weight.expand(len(features.x), -1, -1), features.x], dim=1)
        outputs, allowed = [], None
        for index in range(self.first_query_block, len(self.backbone.blocks)):
            if masked is not None:
                outputs.append(self.predict(x, features.size))
                share = masked[index - self.first_query_block]
                allowed = None if share == 0 else self.visible(outputs[-1][1].detach(), features, share)
            x = self.backbone.run(index, index + 1, x, features.rotation, allowed)
        return [*outputs, self.predict(x, features.size)]

    def predict(self, tokens: Tensor, size: Tuple[int, int]) -> Tuple[Tensor, Tensor]:
        """Logits as of ``decode`` of tokens [N, Q + S, C]."""
        tokens = self.backbone.norm(tokens)
        num_queries = self.q.num_embeddings
        return self.predictor(tokens[:, :num_queries], tokens[:, num_queries + self.backbone.num_prefix:], size)

    def visible(self, masks: Tensor, features: Tokens, share: float) -> Tensor:
        """What each token may look at, bool [N, Q + S, Q + S]: everything, but of the patches a query sees only those
        where its mask, logits [N, Q, h4, w4], is positive; so it is for a random ``share`` of the queries."""
        seen = F.interpolate(masks, features.size, mode='bilinear', align_corners=False).flatten(2) > 0
        if share < 1:
            seen |= (torch.rand(masks.shape[:2], device=masks.device) > share)[..., None]
        num_queries, length = masks.shape[1], masks.shape[1] + features.x.shape[1]
        allowed = torch.ones(len(masks), length, length, dtype=torch.bool, device=masks.device)
        allowed[:, :num_queries, -seen.shape[2]:] = seen
        return allowed

    def masked_shares(self) -> List[float]:
        """``masked`` of ``decode`` at the present step of training."""
        if self.fade is None:
            return [1.] * (len(self.backbone.blocks) - self.first_query_block)
        return [poly_anneal(self.counter.value, start, end) for start, end in self.fade]

    # Training

    def loss(self, clips: Tensor, samples: List[List[FrameSample]]) -> Dict[str, Tensor]:
        """Losses (see ``QueryCriterion``) of the last prediction and of those before the blocks with queries.

        Args:
            clips: float32 [B, T, 3, H, W], B * T images; samples: B lists of T.
        """
        targets = [clip_targets([sample]) for clip in samples for sample in clip]
        outputs = self.decode(self.encode(clips.flatten(0, 1)), self.masked_shares())
        num_masks = mean_over_processes(sum(map(len, targets)), clips.device)
        losses = self.criterion(outputs, lambda *layer: self.match(*layer, targets), [x.labels for x in targets],
                                [x.masks[:, 0] for x in targets], num_masks)
        if self.training:
            self.counter.advance()
        return losses

    def match(self, logits: Tensor, masks: Tensor, targets: List[ClipTargets]) -> List[Pairs]:
        """Queries and objects of every image; logits as of ``decode``."""
        return match_tubes(self.criterion.cost, logits, masks[:, None], targets)

    # Inference

    def start(self, video: VideoInfo, live: bool = False, frames: Optional[FrameReader] = None) -> ImagesState:
        """State of a new video, or of one image."""
        return ImagesState(video, self.num_instances)

    def advance(self, state: ImagesState, features: Tokens) -> List[FrameInstances]:
        """The instances of N images; each has an id of its own."""
        with stage('network'):
            logits, masks = self.decode(features)[0]
        network = tuple(side * self.backbone.patch_size for side in features.size)
        return [state.add(*image, network) for image in zip(logits, masks)]

    def finish(self, state: ImagesState) -> Tuple[Iterator[FrameInstances], List[TrackScore]]:
        """No frame is owed; the verdicts on all instances."""
        return state.finish()
