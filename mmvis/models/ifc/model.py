"""IFC: one set of queries segments a whole clip; windows of a longer video are joined by mask overlap.

Hwang, Heo, Oh, Kim: Video Instance Segmentation using Inter-Frame Communication Transformers, NeurIPS 2021,
arXiv 2106.03299. Numbers follow the official code (github.com/sukjunhwang/IFC).
"""
from collections import deque
from dataclasses import dataclass, field
from typing import Any, Deque, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np
import torch
from mmdet.models.layers import MLP, DetrTransformerDecoder, SinePositionalEncoding
from torch import Tensor, nn

from mmvis.errors import InputError
from mmvis.frame_sample import FrameSample
from mmvis.records import enlarge_and_encode
from mmvis.registry import MODELS
from mmvis.structures import FrameInstances, TrackScore, VideoInfo

from ..base import FrameReader, VISModel
from ..builder import build_part
from ..layers.stages import stage
from .criterion import ClipCriterion, reduced_targets
from .encoder import ClipEncoder, attention_config, ffn_config
from .mask_head import ClipMaskHead
from .tubes import TubeJoiner


class FrameFeatures(NamedTuple):
    """All that a clip needs of N frames; it depends on no other frame.

    Attributes:
        received: [N, P + M, C], tokens of the stride-32 map and memory tokens after the encoder's first *receive*.
        pos: [N or 1, P, C], positions of the tokens.
        padding: bool [N, P], True in the padding; None without padding.
        lateral8, lateral16: [N, C, h8, w8] and [N, C, h16, w16], for the mask head.
        size: (h32, w32), P = h32 w32.
    """
    received: Tensor
    pos: Tensor
    padding: Optional[Tensor]
    lateral8: Tensor
    lateral16: Tensor
    size: Tuple[int, int]


@dataclass
class IFCState:
    """One video on its way: the features that a window may still need, the masks that a window may still change.

    Attributes:
        features: of the frames ``first_frame``, ``first_frame + 1``, ..., one entry a frame; results of all frames
            before are out.
        next_window: first frame of the next window.
        windows_end: one past the last frame that a window has covered.
    """
    video: VideoInfo
    joiner: TubeJoiner
    features: Deque[FrameFeatures] = field(default_factory=deque)
    first_frame: int = 0
    next_window: int = 0
    windows_end: int = 0


@MODELS.register_module()
class IFC(VISModel):
    """Inter-frame communication transformer.

    A video of L frames is cut into windows of ``num_frames`` frames that start at 0, ``stride``, 2 ``stride``, ...; the
    last one is moved back so that it ends with the video. A frame's features are made once. A frame is final when no
    later window can cover it: results lag by ``num_frames`` frames, and by one less if ``stride`` is 1.

    Args:
        backbone: image [N, 3, H, W] to three maps, each half the size of the one before: strides 8, 16 and 32.
        in_channels: of these maps.
        encoder_stride: of the last map. (Names and shapes here say 8, 16 and 32 whatever it is.)
        num_classes: K.
        num_frames: T, the window of inference: 5 is near-online, 36 the published offline setting. No weight depends on
            it; training takes clips of any length.
        stride: from window to window; with one larger than ``num_frames`` there are frames that nothing is found in.
        num_queries, num_memory, embed_dims, num_heads, ffn_dims, num_encoder_layers, num_decoder_layers, dropout,
            num_groups: of the transformer and the mask head.
        criterion: weights of the losses, see ``ClipCriterion``.
        match_threshold: see ``TubeJoiner``.
        min_score: classes of a tube with at most this probability give no entry of the results.
    """

    def __init__(self, backbone: Any, in_channels: Sequence[int] = (512, 1024, 2048), encoder_stride: int = 32,
                 num_classes: int = 40, num_frames: int = 5, stride: int = 1, num_queries: int = 100,
                 num_memory: int = 8, embed_dims: int = 256, num_heads: int = 8, ffn_dims: int = 2048,
                 num_encoder_layers: int = 3, num_decoder_layers: int = 3, dropout: float = 0.1, num_groups: int = 32,
                 criterion: Optional[dict] = None, match_threshold: float = 0.05, min_score: float = 0.01,
                 data_preprocessor: Any = dict(type='ClipPreprocessor', pad_size_divisor=1),
                 init_cfg: Optional[dict] = None) -> None:
        super().__init__(data_preprocessor=build_part(data_preprocessor), init_cfg=init_cfg)
        if not all(isinstance(number, int) and number > 0 for number in (num_frames, stride)):
            raise InputError(f'IFC: num_frames is {num_frames!r} and stride {stride!r}; both must be whole numbers, at '
                             'least 1.')
        self.num_classes, self.num_frames, self.stride = num_classes, num_frames, stride
        self.match_threshold, self.min_score = match_threshold, min_score
        self.encoder_stride = encoder_stride
        self.backbone = build_part(backbone)
        self.input_proj = nn.Conv2d(in_channels[2], embed_dims, 1)
        self.position = SinePositionalEncoding(embed_dims // 2, normalize=True)
        self.encoder = ClipEncoder(num_encoder_layers, num_memory, embed_dims, num_heads, ffn_dims, dropout)
        self.decoder = DetrTransformerDecoder(num_decoder_layers, dict(
            self_attn_cfg=attention_config(embed_dims, num_heads, dropout),
            cross_attn_cfg=attention_config(embed_dims, num_heads, dropout),
            ffn_cfg=ffn_config(embed_dims, ffn_dims, dropout)))
        for parameter in self.decoder.parameters():
            if parameter.dim() > 1:
                nn.init.xavier_uniform_(parameter)
        self.query_embed = nn.Embedding(num_queries, embed_dims)
        self.class_embed = MLP(embed_dims, embed_dims, num_classes + 1, 2)
        self.mask_head = ClipMaskHead(embed_dims, in_channels[:2], num_groups)
        self.criterion = ClipCriterion(num_classes, **criterion or {})

    def lag(self, state: 'IFCState') -> int:
        """The video may end with any frame; then the last window begins ``num_frames`` before its end."""
        return self.num_frames - (self.stride == 1)

    # The network

    def frame_features(self, images: Tensor, shapes: Optional[Sequence[Tuple[int, int]]] = None) -> FrameFeatures:
        """What a clip needs of images float32 [N, 3, H, W], each by itself.

        Args:
            shapes: (height, width) of each image without its padding; None: there is no padding.
        """
        c3, c4, c5 = self.backbone(images)
        x = self.input_proj(c5)
        padding = None if shapes is None else self._padding(shapes, images.shape[-2:], x)
        # without padding the positions of all frames are the same
        pos = self.position(padding, x[:1]).to(x.dtype).flatten(2).transpose(1, 2)
        padding = None if padding is None else padding.flatten(1)
        received = self.encoder.first_receive(x.flatten(2).transpose(1, 2), pos, padding)
        return FrameFeatures(received, pos, padding, *self.mask_head.laterals(c3, c4), tuple(x.shape[-2:]))

    def _padding(self, shapes: Sequence[Tuple[int, int]], size: Tuple[int, int], x: Tensor) -> Optional[Tensor]:
        """Bool [N, h32, w32], False in the first ceil(height / 32) rows and ceil(width / 32) columns of each image."""
        if all(tuple(shape) == tuple(size) for shape in shapes):
            return None
        padding = torch.ones(len(x), *x.shape[-2:], dtype=torch.bool, device=x.device)
        for row, (height, width) in zip(padding, shapes):
            row[:-(-height // self.encoder_stride), :-(-width // self.encoder_stride)] = False
        return padding

    def decode(self, features: FrameFeatures, num_frames: int) -> Tuple[Tensor, Tensor]:
        """Queries and encoded frames of B clips of T frames.

        Args:
            features: of B * T frames, clip after clip; num_frames: T.

        Returns:
            Queries [L, B, Q, C] after each decoder layer and the encoded maps [B * T, C, h32, w32].
        """
        tokens, memory = self.encoder(features.received, features.pos, features.padding, num_frames)
        num = len(tokens)

        def by_clip(x: Tensor) -> Tensor:
            return x.reshape(num // num_frames, -1, *x.shape[2:])

        keys = torch.cat([by_clip(tokens), by_clip(memory)], dim=1)
        key_pos = torch.cat([by_clip(features.pos.expand(num, -1, -1)),
                             by_clip(self.encoder.memory_pos.expand(num, -1, -1))], dim=1)
        padding = None
        if features.padding is not None:
            padding = torch.cat([by_clip(features.padding), keys.new_zeros(memory[..., 0].shape).bool().view(
                num // num_frames, -1)], dim=1)
        query_pos = self.query_embed.weight.expand(len(keys), -1, -1)
        queries = self.decoder(torch.zeros_like(query_pos), keys, keys, query_pos, key_pos, padding)
        return queries, tokens.transpose(1, 2).reshape(num, -1, *features.size)

    def clip_outputs(self, clips: Tensor, shapes: Optional[Sequence[Tuple[int, int]]] = None
                     ) -> Tuple[Tensor, Tensor]:
        """All queries in all frames, after each of the L decoder layers.

        Args:
            clips: float32 [B, T, 3, H, W]; shapes: of the B * T images, as in ``frame_features``.

        Returns:
            Class logits [L, B, Q, K + 1] ("no object" last) and mask logits [L, B, Q, T, h8, w8].
        """
        features = self.frame_features(clips.flatten(0, 1), shapes)
        queries, encoded = self.decode(features, clips.shape[1])
        maps = self.mask_head(encoded, features.lateral8, features.lateral16).unflatten(0, clips.shape[:2])
        return self.class_embed(queries), torch.einsum('lbqc,btchw->lbqthw', self.mask_head.kernels(queries), maps)

    # Training

    def loss(self, clips: Tensor, samples: List[List[FrameSample]]) -> Dict[str, Tensor]:
        """Losses of clips of any length (see ``ClipCriterion``).

        Args:
            clips: float32 [B, T, 3, H, W]; samples: B lists of T.
        """
        shapes = [sample.img_shape[:2] for clip in samples for sample in clip]
        logits, masks = self.clip_outputs(clips, shapes)
        return self.criterion(logits, masks, [reduced_targets(clip) for clip in samples])

    # Inference

    def encode(self, frames: Tensor, video: VideoInfo) -> FrameFeatures:
        """What the windows need of float32 [T, 3, H, W]."""
        if tuple(frames.shape[-2:]) != tuple(video.img_shape):
            raise InputError(f'IFC takes frames without padding: the data preprocessor gave {tuple(frames.shape[-2:])} '
                             f'for frames of {tuple(video.img_shape)}; set its pad_size_divisor to 1.')
        with stage('network'):
            return self.frame_features(frames)

    def start(self, video: VideoInfo, live: bool = False, frames: Optional[FrameReader] = None) -> IFCState:
        """State of a new video."""
        return IFCState(video, TubeJoiner(self.match_threshold))

    def advance(self, state: IFCState, features: FrameFeatures) -> List[FrameInstances]:
        """Take T frames; run the windows that these complete, return the frames that become final."""
        results = []
        for index in range(len(features.received)):
            state.features.append(_one_frame(features, index))
            length = state.first_frame + len(state.features)
            if length == state.next_window + self.num_frames:
                self._run_window(state, state.next_window)
                state.next_window += self.stride
            results += self._release(state, length - self.lag(state))
        return results

    @torch.no_grad()
    def finish(self, state: IFCState) -> Tuple[Iterator[FrameInstances], List[TrackScore]]:
        """The last window, if frames are left over, all frames outstanding, and the classes of every tube."""
        length = state.first_frame + len(state.features)
        if length > state.windows_end:
            self._run_window(state, max(0, length - self.num_frames))
        results = self._release(state, length)
        return iter(results), [TrackScore(*verdict) for verdict in state.joiner.verdicts(self.min_score)]

    def _run_window(self, state: IFCState, first: int) -> None:
        """Run the window from frame ``first`` to the newest one."""
        with stage('network'):
            window = list(state.features)[first - state.first_frame:]
            class_probs, mask_logits = self.detect(window)
        with stage('association'):
            state.joiner.add(first, class_probs, mask_logits.float())
        state.windows_end = first + len(window)

    def detect(self, window: Sequence[FrameFeatures]) -> Tuple[Tensor, Tensor]:
        """Class probabilities [n, K + 1] and mask logits [n, T, h8, w8] of the queries whose best class is an object.

        Args:
            window: features of T frames, one entry a frame.
        """
        received = torch.cat([frame.received for frame in window])
        queries, encoded = self.decode(window[0]._replace(received=received), len(window))
        probs = self.class_embed(queries[-1, 0]).float().softmax(-1)
        keep = probs.argmax(-1) < self.num_classes
        kernels = self.mask_head.kernels(queries[-1, 0][keep])
        # frame by frame: the maps of one frame stay in the cache
        masks = [torch.einsum('qc,chw->qhw', kernels, self.mask_head(x[None], frame.lateral8, frame.lateral16)[0])
                 for x, frame in zip(encoded, window)]
        return probs[keep], torch.stack(masks, dim=1)

    def _release(self, state: IFCState, before: int) -> List[FrameInstances]:
        """Results of the frames below ``before``, which no later window covers, with masks at the original size, in one
        step from the mean logits."""
        with stage('masks'):
            covered = {frame_idx: (tubes, None if mean is None else mean.cpu().numpy())
                       for frame_idx, tubes, mean in state.joiner.take(before)}
        results = []
        with stage('encode'):
            while state.first_frame < before:
                results.append(self._frame(state, state.first_frame, *covered.get(state.first_frame, ((), None))))
                state.features.popleft()
                state.first_frame += 1
        return results

    @staticmethod
    def _frame(state: IFCState, frame_idx: int, tubes: Sequence[int], logits: Optional[np.ndarray]) -> FrameInstances:
        """The tubes that have a pixel in a frame, each with its best class so far; ``logits`` [N, h8, w8]."""
        found = [(tube, enlarge_and_encode(mask, state.video.ori_shape)) for tube, mask in zip(tubes, logits)] \
            if len(tubes) else []
        found = [(tube, *encoded) for tube, encoded in found if encoded is not None]
        if not found:
            return FrameInstances(frame_idx)
        ids, masks, boxes = zip(*found)
        scores, labels = torch.stack([state.joiner.class_probs(tube)[:-1] for tube in ids]).max(1)
        return FrameInstances(frame_idx, np.array(ids, np.int64), labels.numpy(), scores.numpy(), np.stack(boxes),
                              list(masks))


def _one_frame(batch: FrameFeatures, index: int) -> FrameFeatures:
    """Features of one frame of a batch; copies, so that they can be dropped one by one."""
    part = slice(index, index + 1)
    if len(batch.received) == 1:
        return batch
    return batch._replace(received=batch.received[part].clone(), lateral8=batch.lateral8[part].clone(),
                          lateral16=batch.lateral16[part].clone())
