"""VidEoMT: a plain vision transformer whose queries are carried from frame to frame; a query's number is the identity.

VidEoMT: Your ViT is Secretly Also a Video Segmentation Model, CVPR 2026, arXiv 2602.17807. Numbers follow the official
code (github.com/tue-mps/videomt), which is MIT.
"""
from typing import Any, Dict, Iterator, List, Optional, Tuple

import torch
from torch import Tensor, nn

from mmvis.errors import InputError
from mmvis.frame_sample import FrameSample
from mmvis.records import EndRanking
from mmvis.registry import MODELS
from mmvis.structures import FrameInstances, TrackScore, VideoInfo

from ..backbones.vit import Tokens
from ..base import FrameReader, VISModel
from ..builder import build_part
from ..layers.clip_targets import ClipTargets, clip_targets
from ..layers.end_results import CarriedState
from ..layers.query_matching import Pairs
from ..layers.query_predictor import QueryPredictor
from ..losses import QueryCriterion
from ..losses.clip_losses import apply_label_rule, check_label_rule, clip_losses, match_clips


@MODELS.register_module()
class VidEoMT(VISModel):
    """Video encoder-only mask transformer.

    Frames go through the first blocks of the transformer by themselves. In the last ``num_query_blocks`` blocks the
    queries stand in front of a frame's tokens, in ordinary self-attention. Query outputs, before the last norm, through
    a linear layer, plus the learned queries, are the queries of the next frame. There is no matching, memory or tracker
    in inference.

    Args:
        backbone: a ``ViT`` or its config.
        num_classes: K.
        num_queries: Q.
        num_query_blocks: S and B have 3, L has 4.
        num_records: entries of a video in the results (OVIS: 20).
        norm_queries: the last norm is applied to the query outputs that are carried and to the auxiliary predictions
            (published VIS models: no).
        zero_updater: the layer that makes the next frame's queries starts at zero, so that training on clips begins with
            the model of single frames that it starts from (published: an ordinary random layer).
        label_rule: see ``apply_label_rule``.
        live_score: least probability of what a live source shows.
        criterion: weights of the losses, see ``QueryCriterion``.
    """

    #: What ``--compile`` compiles.
    COMPILED = ('encode', 'frame_outputs')

    def __init__(self, backbone: Any, num_classes: int = 40, num_queries: int = 200, num_query_blocks: int = 3,
                 num_records: int = 10, norm_queries: bool = False, zero_updater: bool = False, label_rule: str = 'annotated',
                 live_score: float = 0.3, criterion: Optional[dict] = None,
                 data_preprocessor: Any = dict(type='ClipPreprocessor'), init_cfg: Optional[dict] = None) -> None:
        super().__init__(data_preprocessor=build_part(data_preprocessor), init_cfg=init_cfg)
        check_label_rule('VidEoMT', label_rule)
        self.backbone = build_part(backbone)
        if not 0 < num_query_blocks <= len(self.backbone.blocks):
            raise InputError(f'VidEoMT: num_query_blocks is {num_query_blocks}, the backbone has '
                             f'{len(self.backbone.blocks)} blocks.')
        dim = self.backbone.embed_dims
        self.num_classes, self.num_records, self.live_score = num_classes, num_records, live_score
        self.norm_queries, self.label_rule = norm_queries, label_rule
        self.first_query_block = len(self.backbone.blocks) - num_query_blocks
        self.q = nn.Embedding(num_queries, dim)
        self.query_updater = nn.Linear(dim, dim)
        if zero_updater:
            nn.init.zeros_(self.query_updater.weight)
            nn.init.zeros_(self.query_updater.bias)
        self.predictor = QueryPredictor(dim, num_classes, self.backbone.patch_size)
        self.criterion = QueryCriterion(num_classes, **criterion or {})

    # The network

    def encode(self, frames: Tensor, video: Optional[VideoInfo] = None) -> Tokens:
        """Frames float32 [T, 3, H, W] through the blocks without queries."""
        tokens = self.backbone.embed(frames)
        return tokens._replace(x=self.backbone.run(0, self.first_query_block, tokens.x, tokens.rotation))

    def query_blocks(self, queries: Tensor, tokens: Tensor, rotation: Any) -> List[Tensor]:
        """Tokens [B, Q + S, C] that enter each block with queries, and those that leave the last one.

        Args:
            queries: [B, Q, C]; tokens: [B, S, C] of a frame each.
        """
        layers = [torch.cat([queries, tokens], dim=1)]
        for index in range(self.first_query_block, len(self.backbone.blocks)):
            layers.append(self.backbone.run(index, index + 1, layers[-1], rotation))
        return layers

    def carry(self, tokens: Tensor) -> Tensor:
        """Queries [B, Q, C] of the next frame, from the tokens that left the last block."""
        queries = tokens[:, :self.q.num_embeddings]
        carried = self.backbone.norm(queries) if self.norm_queries else queries
        return self.query_updater(carried) + self.q.weight

    def predict(self, tokens: Tensor, size: Tuple[int, int], norm: bool = True) -> Tuple[Tensor, Tensor]:
        """Class logits [N, Q, K + 1] ("no object" last) and mask logits [N, Q, h4, w4] of tokens [N, Q + S, C].

        Args:
            norm: apply the last norm (auxiliary predictions go without).
        """
        tokens = self.backbone.norm(tokens) if norm else tokens
        queries = tokens[:, :self.q.num_embeddings]
        return self.predictor(queries, tokens[:, queries.shape[1] + self.backbone.num_prefix:], size)

    def frame_outputs(self, queries: Tensor, tokens: Tensor, rotation: Any, size: Tuple[int, int]
                      ) -> Tuple[Tensor, Tensor, Tensor]:
        """One frame of a stream: queries [1, Q, C] of the next frame, class logits [1, Q, K + 1], mask logits
        [1, Q, h4, w4], of the queries [1, Q, C] and tokens [1, S, C] of this one."""
        tokens = self.query_blocks(queries, tokens, rotation)[-1]
        return self.carry(tokens), *self.predict(tokens, size)

    def clip_layers(self, clips: Tensor) -> Tuple[List[Tensor], Tuple[int, int]]:
        """Of clips [B, T, 3, H, W]: tokens [B * T, Q + S, C] before each block with queries and after the last one, and
        the size of the grid of patches. The gradient flows through the carried queries."""
        features = self.encode(clips.flatten(0, 1))
        queries, frames = self.q.weight.expand(len(clips), -1, -1), []
        for tokens in features.x.unflatten(0, clips.shape[:2]).unbind(1):
            frames.append(self.query_blocks(queries, tokens, features.rotation))
            queries = self.carry(frames[-1][-1])
        return [torch.stack(layer, dim=1).flatten(0, 1) for layer in zip(*frames)], features.size

    # Training

    def loss(self, clips: Tensor, samples: List[List[FrameSample]]) -> Dict[str, Tensor]:
        """Losses of clips of T consecutive frames (see ``QueryCriterion``): of the output, and of the tokens that enter
        all blocks with queries but the last.

        Args:
            clips: float32 [B, T, 3, H, W]; samples: B lists of T.
        """
        targets = [clip_targets(clip) for clip in samples]
        apply_label_rule(self.label_rule, targets)
        layers, size = self.clip_layers(clips)
        outputs = [self.predict(tokens, size, self.norm_queries) for tokens in layers[:-2]]
        return self.clip_losses([*outputs, self.predict(layers[-1], size)], targets)

    def clip_losses(self, outputs: List[Tuple[Tensor, Tensor]], targets: List[ClipTargets]) -> Dict[str, Tensor]:
        """See ``clip_losses`` of the losses."""
        return clip_losses(self.criterion, outputs, targets, lambda *layer: self.match(*layer, targets))

    def match(self, logits: Tensor, masks: Tensor, targets: List[ClipTargets]) -> List[Pairs]:
        """See ``match_clips``."""
        return match_clips(self.criterion.cost, logits, masks, targets)

    # Inference

    def start(self, video: VideoInfo, live: bool = False, frames: Optional[FrameReader] = None) -> CarriedState:
        """State of a new video."""
        return CarriedState(video, EndRanking(self.num_records), live, self.live_score, queries=self.q.weight[None])

    def lag(self, state: CarriedState) -> Optional[int]:
        """None: which queries are tracks is known when the video ends; of a live source 0."""
        return 0 if state.live else None

    def advance(self, state: CarriedState, features: Tokens) -> List[FrameInstances]:
        """See ``CarriedState.advance``."""
        return state.advance(features, self.backbone.patch_size, self.frame_outputs)

    def finish(self, state: CarriedState) -> Tuple[Iterator[FrameInstances], List[TrackScore]]:
        """See ``RowsState.finish``."""
        return state.finish()
