"""PMT and LVMT: on a frozen vision transformer a light decoder, whose queries go from frame to frame; a query's number is
the identity.

PMT: Plain Mask Transformer for Image and Video Segmentation with Frozen Vision Encoders, CVPR 2026 workshops, arXiv
2603.25398 (github.com/tue-mps/pmt). LVMT: Video Mask Transformer for Long-term Video Segmentation, 2026
(github.com/tue-mps/lvmt). Both were written from a description of what they compute; numbers follow the official code.
"""
from typing import Any, Dict, Iterator, List, Optional, Sequence, Tuple

import torch
from mmengine.dist import all_reduce_params
from torch import Tensor, nn

from mmvis.errors import InputError
from mmvis.frame_sample import FrameSample
from mmvis.records import EndRanking
from mmvis.registry import MODELS
from mmvis.structures import FrameInstances, TrackScore, VideoInfo

from ..backbones.vit import Block, Tokens, random_stretch, rotation_table
from ..base import FrameReader, VISModel
from ..builder import build_part
from ..layers.clip_targets import ClipTargets, clip_targets
from ..layers.end_results import CarriedState
from ..layers.precision import at_least_float32
from ..layers.query_matching import Pairs
from ..layers.query_predictor import QueryPredictor
from ..losses import QueryCriterion
from ..losses.clip_losses import apply_label_rule, check_label_rule, clip_losses, match_clips
from .chunks import ChunkState
from .levels import Level

#: Of all norms but the transformer's own and those of the scale blocks.
_EPS = 1e-5


@MODELS.register_module()
class LVMT(VISModel):
    """Video mask transformer on a frozen encoder: LVMT, and with ``propagation='linear'`` PMT.

    The transformer runs on every frame by itself and is never trained. Four of its levels together are the tokens of the
    frame. The queries stand in front of them in the six blocks of the decoder, ordinary self-attention with rotary
    positions of the patches. What the queries are in the next frame follows from their outputs: in PMT by a linear
    layer, plus the learned queries; in LVMT by a GRU cell whose hidden state the queries are. There is no matching,
    memory or tracker in inference.

    Args:
        backbone: a ``ViT`` or its config.
        levels: after which blocks (from 0) of the transformer a level is taken.
        propagation: 'gru' (LVMT) or 'linear' (PMT).
        num_classes: K.
        num_queries: Q.
        num_blocks: of the decoder.
        num_records: entries of a video in the results (OVIS: 20).
        stretch: largest factor of the coordinates of rotary positions in training, drawn log-uniformly from
            [1 / stretch, stretch] once a forward, for the transformer (DINOv3) and the decoder together. 1: none.
        chunk_frames: a clip of training is cut into chunks of so many frames, which pass their queries on without a
            graph; each goes backward by itself, the step is one. 0: the clip is one chunk.
        hold_pairs: see ``ChunkState`` (published: every chunk is matched anew).
        label_rule: see ``apply_label_rule``.
        live_score: least probability of what a live source shows.
        criterion: weights of the losses, see ``QueryCriterion``.
    """

    #: What ``--compile`` compiles.
    COMPILED = ('encode', 'frame_outputs')

    def __init__(self, backbone: Any, levels: Sequence[int] = (2, 5, 8, 11), propagation: str = 'gru',
                 num_classes: int = 40, num_queries: int = 200, num_blocks: int = 6, num_records: int = 10,
                 stretch: float = 2., chunk_frames: int = 0, hold_pairs: bool = False,
                 label_rule: str = 'annotated', live_score: float = 0.3, criterion: Optional[dict] = None,
                 data_preprocessor: Any = dict(type='ClipPreprocessor'), init_cfg: Optional[dict] = None) -> None:
        super().__init__(data_preprocessor=build_part(data_preprocessor), init_cfg=init_cfg)
        check_label_rule('LVMT', label_rule)
        if propagation not in ('gru', 'linear'):
            raise InputError(f"LVMT: propagation is 'gru' or 'linear', not {propagation!r}.")
        if not stretch >= 1 or chunk_frames < 0:
            raise InputError(f'LVMT: stretch is {stretch} and chunk_frames {chunk_frames}; the first must be at least 1, the '
                             'second not negative.')
        self.backbone = build_part(backbone).requires_grad_(False)
        depth, dim = len(self.backbone.blocks), self.backbone.embed_dims
        if not levels or list(levels) != sorted(set(levels)) or levels[0] < 0 or levels[-1] >= depth:
            raise InputError(f'LVMT: levels are {tuple(levels)}; they must rise, from 0 to at most {depth - 1}, as the '
                             f'backbone has {depth} blocks.')
        self.num_classes, self.num_records, self.live_score = num_classes, num_records, live_score
        self.level_blocks, self.stretch, self.label_rule = tuple(levels), stretch, label_rule
        self.chunk_frames, self.hold_pairs = chunk_frames, hold_pairs
        self.levels = nn.ModuleList([Level(dim, _EPS) for _ in levels])
        self.q = nn.Embedding(num_queries, dim)
        self.blocks = nn.ModuleList([
            Block(dim, self.backbone.num_heads, mlp_ratio=1., eps=_EPS, layer_scale=1., key_bias=False)
            for _ in range(num_blocks)])
        self.norm = nn.LayerNorm(dim, eps=_EPS)
        self.query_gru = nn.GRUCell(dim, dim) if propagation == 'gru' else None
        self.query_updater = nn.Linear(dim, dim) if propagation == 'linear' else None
        self.predictor = QueryPredictor(dim, num_classes, self.backbone.patch_size)
        self.criterion = QueryCriterion(num_classes, **criterion or {})

    def train(self, mode: bool = True) -> 'LVMT':
        """The transformer stays as it is in inference; what its training mode draws is passed to it (``stretch``)."""
        super().train(mode)
        self.backbone.eval()
        return self

    # The network

    def encode(self, frames: Tensor, video: Optional[VideoInfo] = None, stretch: float = 1.) -> Tokens:
        """Tokens of the decoder, of frames float32 [T, 3, H, W]: the transformer's levels, normed, each through its MLP,
        added up.

        Args:
            stretch: factor of the coordinates of rotary positions.
        """
        with torch.no_grad():
            entering = self.backbone.embed(frames, stretch)
            x, first, found = entering.x, 0, []
            for block in self.level_blocks:
                x = self.backbone.run(first, block + 1, x, entering.rotation)
                first = block + 1
                found.append(self.backbone.norm(x))
        total = self.levels[0](found[0])
        for level, own in zip(self.levels[1:], found[1:]):
            total = total + level(own)
        rotation = entering.rotation
        if rotation is None:                             # DINOv2: its own positions are in the tokens
            rotation = rotation_table(*entering.size, self.backbone.embed_dims // self.backbone.num_heads, stretch,
                                      frames.device)
        return Tokens(total, entering.size, rotation)

    def query_blocks(self, queries: Tensor, tokens: Tensor, rotation: Any) -> List[Tensor]:
        """Tokens [B, Q + S, C] that enter each block of the decoder, and those that leave the last one.

        Args:
            queries: [B, Q, C]; tokens: [B, S, C] of a frame each.
        """
        layers = [torch.cat([queries, tokens], dim=1)]
        for block in self.blocks:
            layers.append(block(layers[-1], rotation))
        return layers

    def carry(self, tokens: Tensor, queries: Tensor) -> Tensor:
        """Queries [B, Q, C] of the next frame, from the tokens that left the last block and the queries that entered
        the first one. They are float32 under autocast, too: what is kept of a long video is not rounded again and again.
        """
        out = tokens[:, :queries.shape[1]]
        if self.query_updater is not None:
            return self.query_updater(out) + self.q.weight
        with torch.autocast(out.device.type, enabled=False):
            state = self.query_gru(*(at_least_float32(x.flatten(0, 1)) for x in (out, queries)))
        return state.view(queries.shape)

    def predict(self, tokens: Tensor, size: Tuple[int, int], norm: bool = True) -> Tuple[Tensor, Tensor]:
        """Class logits [N, Q, K + 1] ("no object" last) and mask logits [N, Q, h4, w4] of tokens [N, Q + S, C].

        Args:
            norm: apply the last norm (auxiliary predictions go without).
        """
        tokens = self.norm(tokens) if norm else tokens
        queries = tokens[:, :self.q.num_embeddings]
        return self.predictor(queries, tokens[:, queries.shape[1] + self.backbone.num_prefix:], size)

    def frame_outputs(self, queries: Tensor, tokens: Tensor, rotation: Any, size: Tuple[int, int]
                      ) -> Tuple[Tensor, Tensor, Tensor]:
        """One frame of a stream: queries [1, Q, C] of the next frame, class logits [1, Q, K + 1], mask logits
        [1, Q, h4, w4], of the queries [1, Q, C] and tokens [1, S, C] of this one."""
        tokens = self.query_blocks(queries, tokens, rotation)[-1]
        return self.carry(tokens, queries), *self.predict(tokens, size)

    def clip_layers(self, clips: Tensor, queries: Optional[Tensor] = None, stretch: float = 1.
                    ) -> Tuple[List[Tensor], Tensor, Tuple[int, int]]:
        """Of clips [B, T, 3, H, W]: tokens [B * T, Q + S, C] before each block of the decoder and after the last one,
        the queries of the frame behind the clip, and the size of the grid of patches. The gradient flows through the
        carried queries.

        Args:
            queries: [B, Q, C] that enter the first frame; None: the learned ones.
        """
        features = self.encode(clips.flatten(0, 1), stretch=stretch)
        if queries is None:
            queries = self.q.weight.expand(len(clips), -1, -1)
        frames = []
        for tokens in features.x.unflatten(0, clips.shape[:2]).unbind(1):
            frames.append(self.query_blocks(queries, tokens, features.rotation))
            queries = self.carry(frames[-1][-1], queries)
        layers = [torch.stack(layer, dim=1).flatten(0, 1) for layer in zip(*frames)]
        return layers, queries, features.size

    # Training

    def loss(self, clips: Tensor, samples: List[List[FrameSample]]) -> Dict[str, Tensor]:
        """Losses of clips of T frames (see ``QueryCriterion``): of the output, and of the tokens that enter all blocks
        of the decoder but the last.

        Args:
            clips: float32 [B, T, 3, H, W]; samples: B lists of T.
        """
        return self.chunk_losses(clips, samples, ChunkState())

    def chunk_losses(self, clips: Tensor, samples: List[List[FrameSample]], state: ChunkState) -> Dict[str, Tensor]:
        """``loss`` of the next frames of clips; ``state`` is what the frames before left, and then what these leave."""
        targets = [clip_targets(clip) for clip in samples]
        apply_label_rule(self.label_rule, targets)
        stretch = random_stretch(self.stretch) if self.training and self.stretch != 1 else 1.
        layers, queries, size = self.clip_layers(clips, state.queries, stretch)
        outputs = [self.predict(tokens, size, norm=False) for tokens in layers[:-2]]
        outputs.append(self.predict(layers[-1], size))
        state.queries = queries.detach()
        state.start_chunk()
        return clip_losses(self.criterion, outputs, targets,
                           lambda *layer: state.match(self.criterion.cost, *layer, targets))

    def train_step(self, data: Any, optim_wrapper: Any) -> Dict[str, Tensor]:
        """One step of B clips of T frames, backward chunk after chunk: the gradients add up to those of the mean of the
        chunks' losses, and the activations of one chunk are held at a time.

        Processes average their gradients once, before the step (the backward passes join none).

        Returns:
            What is logged: means over the chunks.
        """
        data = self.data_preprocessor(data, True)
        clips, samples = data['inputs'], data['data_samples']
        length = self.chunk_frames or clips.shape[1]
        if clips.shape[1] % length:
            raise InputError(f'LVMT: clips have {clips.shape[1]} frames, which is no multiple of chunk_frames ({length}).')
        state, logs = ChunkState(hold_pairs=self.hold_pairs), []
        batches = optim_wrapper._inner_count              # of mmengine: it counts backward passes as batches
        for first in range(0, clips.shape[1], length):
            frames = slice(first, first + length)
            with optim_wrapper.optim_context(self):
                losses = self.chunk_losses(clips[:, frames], [clip[frames] for clip in samples], state)
                total, log = self.parse_losses(losses)
            optim_wrapper.backward(optim_wrapper.scale_loss(total * length / clips.shape[1]))
            logs.append({name: value.detach() for name, value in log.items()})
        optim_wrapper._inner_count = batches + 1
        if optim_wrapper.should_update():
            all_reduce_params([x.grad for x in self.parameters() if x.grad is not None], op='mean')
            optim_wrapper.step()
            optim_wrapper.zero_grad()
        return {name: sum(log[name] for log in logs) / len(logs) for name in logs[0]}

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
