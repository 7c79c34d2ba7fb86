"""InstanceFormer: an online VIS transformer whose slots are carried from frame to frame (Koner et al., AAAI 2023).

arXiv 2208.10547; numbers follow the official code (github.com/rajatkoner08/InstanceFormer).
"""
from dataclasses import dataclass, field
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np
import torch
import torch.nn.functional as F
from mmdet.models.layers import SinePositionalEncoding, coordinate_to_encoding
from mmengine.dist import all_reduce
from torch import Tensor, nn
from torchvision.ops import box_convert

from mmvis.errors import InputError
from mmvis.frame_sample import FrameSample
from mmvis.ops.transfer import constant_like, on_device, to_host
from mmvis.records import enlarge_and_encode
from mmvis.registry import MODELS
from mmvis.structures import FrameInstances, TrackScore, VideoInfo, encode_mask

from ..base import FrameReader, VISModel
from ..builder import build_part
from ..layers.deformable_encoder import Encoder, Tokens, mlp
from ..layers.precision import at_least_float32
from ..layers.stages import stage
from .decoder import Decoded, Decoder
from .losses import box_losses, class_loss, contrastive_loss, looks_loss, mask_losses
from .mask_head import NUM_PARAMS, MaskFeatures, mask_logits
from .matching import ClipTargets, Match, clip_targets, match_layers
from .memory import FrameTokens, TokenMemory
from .scoring import DECIDING_FRAMES, TrackScores, candidate_slots
from .search import PointSearch

#: Tracks that score less have no mask in the results.
_LEAST_SCORE = 0.001


@dataclass
class Carried:
    """What travels from frame to frame, for B clips.

    Attributes:
        content: [B, Q, d], what the decoder starts from: its last output.
        reference: [1, Q, 2], the points that its boxes start from, in units of the image.
        bank: tokens of the last frames, oldest first; empty without a memory.
        slots: int64 [B, M], the slots that the newest tokens come from.
        boxes: [B, Q, 4], the last ones, where the next points are searched for; else None.
    """
    content: Tensor
    reference: Tensor
    bank: List[FrameTokens] = field(default_factory=list)
    slots: Optional[Tensor] = None
    boxes: Optional[Tensor] = None


class InstanceFormerFeatures(NamedTuple):
    """T frames without padding: encoded tokens and mask features [T, 8, H / 8, W / 8]."""
    tokens: Tokens
    mask_features: Tensor


class FrameOutput(NamedTuple):
    """One frame as the network sees it: last decoder layer, Q slots."""
    scores: Tensor              # [Q, C]
    boxes: Tensor               # [Q, 4] cx cy w h in units of the image
    features: Tensor            # [Q, d]
    references: Tensor          # [Q, 2 or 4], that the last layer started from
    first_references: Tensor    # [Q, 2], that the first layer started from
    locations: Tensor           # [Q, heads, L, points, 2], sampled by the last layer
    mask_features: Tensor       # [1, 8, H / 8, W / 8]


class TrainedFrame(NamedTuple):
    """Frame t of every clip of a batch: the layers' outputs (lists of D) and the mask features [B, 8, ...]."""
    decoded: Decoded
    logits: List[Tensor]
    mask_features: Tensor


@dataclass
class InstanceFormerState:
    """One video on its way. Its size does not depend on the number of frames, but for the scores of the tracks.

    Attributes:
        waiting: the frames before it is known which slots become tracks: at most three.
        slots: these slots, int64 [N]; the tracks are numbered 0 .. N - 1 in this order.
        seen: bool [N], whether the track has a pixel in some frame.
    """
    video: VideoInfo
    carried: Carried
    scores: TrackScores
    num_frames: int = 0
    waiting: List[FrameOutput] = field(default_factory=list)
    slots: Optional[Tensor] = None
    seen: Optional[List[bool]] = None


@MODELS.register_module()
class InstanceFormer(VISModel):
    """Deformable DETR run frame after frame with one set of slots, and a mask head of dynamic convolutions.

    Slot q is the same object in every frame. Three things travel from frame to frame: the features of the slots, the
    initial reference points and, with ``memory``, the best tokens of the last frames. (The official code also
    propagates class scores, by a sum of weights that add up to 1: it changes nothing and is left out here.)

    Args:
        backbone: image to maps of strides 8, 16, 32; neck: these to L maps of ``embed_dims`` channels.
        num_classes: C, sigmoid units of the class branches.
        class_units: the unit of each label. The published models use the category id of the annotation file as unit, so
            that some units have no class. By default label k has unit k.
        num_queries, embed_dims, num_heads, num_levels, num_points, feedforward_dims, encoder_layers, decoder_layers,
            dropout: of the transformer.
        propagate_reference: how a frame's initial reference points follow from the last frame's r and the first
            frame's a: 'multiply' sigmoid(r a), 'add' sigmoid(r + a), None a; 'box': not at all, they are the centres of
            the last frame's boxes; 'search': where the new frame looks like what the slot holds (``PointSearch``).
            The last two are ours.
        test_propagate_reference: the same in inference, where it is another one (the published OVIS jobs); 'same': not.
        carry_places: add what a slot's last box was to the features that it brings to the next frame (ours).
        separate_frames: train on the frames of a clip as images of their own, and pull together what the slots hold of
            one object in different frames (``looks_loss``, ours). It changes nothing in inference.
        memory: dict(num_tokens, num_frames) of a TokenMemory (published OVIS models), or None.
        with_cp: compute the deformable attention of all layers once more in the backward pass instead of keeping what it
            needs. Changes no number.
        num_candidates: entries of the score list of the first three frames whose slots become tracks.
        loss_clips: loss_contrastive is a sum over the clips of a process, as published, so its weight depends on how the
            clips of a step are shared out. A number: it is what it is with so many clips a process, however many it has.
        loss_weights: of ce, bbox, giou, mask, dice, contrastive (which is there with a memory only) and looks (with
            ``separate_frames``).
        match_costs: class_cost, box_cost, giou_cost of the matching.
        official_mask_pairs: train the auxiliary mask losses of later frames as the official code does, which takes the
            slots of the last layer's matching and the objects of layer l's own, so that they do not belong together.
    """

    def __init__(self, backbone: Any, neck: Any, num_classes: int, class_units: Optional[Sequence[int]] = None,
                 num_queries: int = 300, embed_dims: int = 256, num_heads: int = 8, num_levels: int = 4,
                 num_points: int = 4, feedforward_dims: int = 1024, encoder_layers: int = 6, decoder_layers: int = 6,
                 dropout: float = 0.1, propagate_reference: Optional[str] = 'multiply',
                 test_propagate_reference: Optional[str] = 'same', carry_places: bool = False,
                 separate_frames: bool = False, memory: Optional[dict] = None, with_cp: bool = False,
                 num_candidates: int = 50, loss_clips: Optional[int] = None,
                 loss_weights: Optional[Dict[str, float]] = None,
                 match_costs: Optional[Dict[str, float]] = None, official_mask_pairs: bool = False,
                 data_preprocessor: Any = dict(type='ClipPreprocessor'), init_cfg: Optional[dict] = None) -> None:
        super().__init__(data_preprocessor=build_part(data_preprocessor), init_cfg=init_cfg)
        rules = (propagate_reference, propagate_reference if test_propagate_reference == 'same'
                 else test_propagate_reference)
        for rule in rules:
            if rule not in ('multiply', 'add', 'box', 'search', None):
                raise InputError("InstanceFormer: propagate_reference and test_propagate_reference are 'multiply', "
                                 f"'add', 'box', 'search' or None, not {rule!r}.")
        units = list(range(num_classes)) if class_units is None else list(class_units)
        if len(set(units)) < len(units) or not all(0 <= unit < num_classes for unit in units):
            raise InputError(f'class_units must be different numbers below num_classes {num_classes}, not {units}.')
        self.num_classes = len(units)
        self.register_buffer('class_units', torch.tensor(units), persistent=False)
        self.label_of_unit = {unit: label for label, unit in enumerate(units)}
        self.propagate_reference, self.test_propagate_reference = rules
        self.num_candidates, self.loss_clips = num_candidates, loss_clips
        self.loss_weights = {**dict(ce=2., bbox=5., giou=2., mask=2., dice=5., contrastive=2., looks=2.),
                             **(loss_weights or {})}
        self.match_costs = match_costs or {}
        self.official_mask_pairs, self.separate_frames = official_mask_pairs, separate_frames
        #: Takes the slots of every frame (tools/test_video.py --analysis); see mmvis/visualization/analysis.py.
        self.recorder: Optional[Any] = None

        self.backbone = build_part(backbone)
        self.neck = build_part(neck)
        self.encoding = SinePositionalEncoding(embed_dims // 2, normalize=True, offset=-0.5)
        self.level_embed = nn.Parameter(torch.randn(num_levels, embed_dims))
        layer = dict(embed_dims=embed_dims, num_heads=num_heads, num_levels=num_levels, num_points=num_points,
                     feedforward_dims=feedforward_dims, dropout=dropout, with_cp=with_cp)
        self.encoder = Encoder(encoder_layers, **layer)
        self.decoder = Decoder(decoder_layers, **layer, with_memory=memory is not None)
        if memory is not None and memory.get('num_tokens', 0) > num_queries:
            raise InputError(f'InstanceFormer: memory.num_tokens is {memory["num_tokens"]}, but there are only '
                             f'{num_queries} slots (num_queries) to choose them from.')
        self.memory = TokenMemory(num_classes, embed_dims, **memory) if memory is not None else None
        self.places = nn.Linear(2 * embed_dims, embed_dims, bias=False) if carry_places else None
        self.search = PointSearch(embed_dims) if 'search' in rules else None
        self.query_embedding = nn.Embedding(num_queries, 2 * embed_dims)            # positions, then first contents
        self.reference_points = nn.Linear(embed_dims, 2)
        self.class_branches = nn.ModuleList([nn.Linear(embed_dims, num_classes) for _ in range(decoder_layers)])
        self.controller = mlp(embed_dims, embed_dims, NUM_PARAMS)
        self.mask_features = MaskFeatures(embed_dims)
        self._init_heads()

    def _init_heads(self) -> None:
        for module in (self.reference_points, *self.controller):
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
                nn.init.zeros_(module.bias)
        if self.places is not None:
            nn.init.zeros_(self.places.weight)                                      # at first it changes nothing
        for branch in self.class_branches:
            nn.init.constant_(branch.bias, -torch.tensor(99.).log())                # every class has probability 0.01

    # The network

    def tokens(self, images: Tensor, padding: Optional[Tensor] = None) -> Tokens:
        """Backbone, neck and encoder.

        Args:
            images: [B, 3, H, W]; padding: bool [B, H, W], True on padding, or None.
        """
        maps = self.neck(self.backbone(images))
        shapes = [tuple(x.shape[-2:]) for x in maps]
        if padding is None:
            masks = [images.new_zeros((1, *shape)) for shape in shapes]
        else:
            masks = [F.interpolate(padding[:, None].float(), size=shape)[:, 0] for shape in shapes]
        positions = [self.encoding(mask).flatten(2).transpose(1, 2) + level
                     for mask, level in zip(masks, self.level_embed)]
        ratios = torch.stack([torch.stack([1 - mask[:, 0].mean(1), 1 - mask[:, :, 0].mean(1)], 1) for mask in masks], 1)
        values = torch.cat([x.flatten(2).transpose(1, 2) for x in maps], dim=1)
        flat = None if padding is None else torch.cat([mask.flatten(1) for mask in masks], dim=1).bool()
        tokens = Tokens(values, shapes, at_least_float32(ratios).expand(len(images), -1, -1), flat)
        return self.encoder(tokens, torch.cat(positions, dim=1).to(values))

    def begin(self, num: int) -> Carried:
        """What the first frame of ``num`` clips starts from."""
        positions, contents = self.query_embedding.weight.chunk(2, dim=1)
        return Carried(contents.expand(num, -1, -1), self._first_points(positions))

    def _first_points(self, positions: Tensor) -> Tensor:
        """Points [1, Q, 2] of slots of ``positions`` [Q, d]; coordinates stay in float32 also in mixed precision."""
        return at_least_float32(self.reference_points(positions)).sigmoid()[None]

    def decode(self, tokens: Tokens, carried: Carried) -> Decoded:
        """One frame of B clips."""
        memory = self.memory(carried.bank) if self.memory is not None else None
        positions = self.query_embedding.weight.chunk(2, dim=1)[0]
        reference = carried.reference.expand(len(tokens.values), -1, -1)
        if carried.boxes is not None:
            reference = self.search(carried.content, carried.boxes, tokens)
        return self.decoder(carried.content, positions[None], reference, tokens, memory)

    def carry(self, decoded: Decoded, logits: Tensor, carried: Carried,
              matched: Optional[Sequence[Tensor]] = None) -> Carried:
        """What the next frame starts from; ``logits`` [B, Q, C] are those of the last layer.

        ``matched``, the slots of each clip that have an object, become tokens first (in training).
        """
        positions = self.query_embedding.weight.chunk(2, dim=1)[0]
        start = self._first_points(positions)
        rule = self.propagate_reference if self.training else self.test_propagate_reference
        if rule in ('box', 'search'):
            reference = decoded.boxes[-1][..., :2].detach()
        else:
            reference = next_reference(carried.reference, start, rule)
        content = decoded.features[-1]
        if self.places is not None:
            encoded = coordinate_to_encoding(decoded.boxes[-1].detach(), content.shape[-1] // 2)
            content = content + self.places(encoded.to(content))
        boxes = decoded.boxes[-1].detach() if rule == 'search' else None
        after = Carried(content, reference, carried.bank, boxes=boxes)
        if self.memory is not None:
            scores = logits.sigmoid()
            after.slots = self.memory.choose(scores.amax(-1), matched)
            newest = self.memory.gather(after.slots, decoded.features[-1], scores, decoded.boxes[-1], positions)
            after.bank = [*carried.bank, newest][-self.memory.num_frames:]
        return after

    # Training

    def loss(self, clips: Tensor, samples: List[List[FrameSample]]) -> Dict[str, Tensor]:
        """Losses of a batch of clips, frame after frame as in inference; see the README for the terms.

        Args:
            clips: float32 [B, T, 3, H, W], padded with zeros right and bottom to multiples of 32.
            samples: B lists of T samples in order of time.

        Returns:
            loss_ce, loss_bbox, loss_giou, loss_mask, loss_dice of the last layer; with ``_0``, ``_1``, ... of the
            others; with a memory loss_contrastive; with ``separate_frames`` loss_looks. Weighted.
        """
        terms = self.loss_terms(clips, samples)
        return {f'loss_{name}': self.loss_weights[name.split('_')[0]] * value for name, value in terms.items()}

    def loss_terms(self, clips: Tensor, samples: List[List[FrameSample]]) -> Dict[str, Tensor]:
        """The terms of ``loss`` before weighting, without ``loss_`` in their names."""
        num, length = clips.shape[:2]
        if self.separate_frames:
            clips, samples = clips.flatten(0, 1)[:, None], [[sample] for clip in samples for sample in clip]
        targets = [clip_targets(clip, self.class_units, clips.shape[-2:]) for clip in samples]
        frames, matches, slots = self.run_clips(clips, samples, targets)
        number = on_device(float(sum(len(target.classes) for target in targets)), clips.device)
        all_reduce(number, 'mean')
        scale = 1 / (number.clamp(min=1) * len(frames))
        sizes = on_device([clip[0].img_shape[:2][::-1] for clip in samples], clips.device, clips.dtype)
        terms: Dict[str, Tensor] = {}
        for layer in reversed(range(len(matches))):
            suffix = '' if layer == len(matches) - 1 else f'_{layer}'
            terms.update({name + suffix: value * scale
                          for name, value in self._layer_terms(layer, frames, matches, targets, sizes).items()})
        if self.memory is not None:
            terms['contrastive'] = self._contrastive_term(frames, slots, matches[-1])
        if self.separate_frames:
            clip_of = [image // length for image in range(num * length)]
            terms['looks'] = looks_loss(frames[0].decoded.features[-1], matches[-1], targets, clip_of)
        return terms

    def run_clips(self, clips: Tensor, samples: List[List[FrameSample]], targets: List[ClipTargets]
                  ) -> Tuple[List[TrainedFrame], List[List[Match]], List[Optional[Tensor]]]:
        """The frames of a batch of clips in order of time.

        Returns:
            T frames; the matches of every layer and clip, D lists of B, made on the first frame and kept; the slots
            [B, M] of the T frames that became memory.
        """
        num, length = clips.shape[:2]
        tokens = self.tokens(clips.flatten(0, 1), _padding(clips, samples))
        mask_features = self.mask_features(tokens.maps(3))
        carried, matches = self.begin(num), None
        frames, slots = [], []
        for t in range(length):
            every = slice(t, None, length)                                          # frame t of each clip
            decoded = self.decode(tokens.select(every), carried)
            logits = [at_least_float32(branch(x)) for branch, x in zip(self.class_branches, decoded.features)]
            if matches is None:
                matches = match_layers(logits, decoded.boxes, targets, **self.match_costs)
            carried = self.carry(decoded, logits[-1], carried, [match[0] for match in matches[-1]])
            frames.append(TrainedFrame(decoded, logits, mask_features[every]))
            slots.append(carried.slots)
        return frames, matches, slots

    def _layer_terms(self, layer: int, frames: List[TrainedFrame], matches: List[List[Match]],
                     targets: List[ClipTargets], sizes: Tensor) -> Dict[str, Tensor]:
        """Sums over frames, clips and objects of one layer; ``sizes`` [B, 2] (width, height) of the images."""
        own = matches[layer]
        ce = sum(class_loss(frame.logits[layer], own, targets) for frame in frames)
        clip, slot = _rows(own)
        boxes = torch.cat([frame.decoded.boxes[layer][clip, slot] for frame in frames])
        bbox, giou = box_losses(boxes, _wanted([x.boxes for x in targets], own).to(boxes))
        masks = []
        for t, frame in enumerate(frames):
            clip, slot = _rows(matches[-1] if t and self.official_mask_pairs else own)
            masks.append(self.masks_of(frame, layer, clip, slot, sizes))
        mask, dice = mask_losses(torch.cat(masks), _wanted([x.masks for x in targets], own))
        return dict(ce=ce, bbox=bbox, giou=giou, mask=mask, dice=dice)

    def masks_of(self, frame: TrainedFrame, layer: int, clip: Tensor, slot: Tensor, sizes: Tensor) -> Tensor:
        """Mask logits [N, H / 4, W / 4] of N pairs of clip and slot."""
        centres = frame.decoded.references[layer][clip, slot][:, :2] * sizes[clip]
        params = self.controller(frame.decoded.features[layer][clip, slot])
        return mask_logits(frame.mask_features[clip], centres, params)

    def _contrastive_term(self, frames: List[TrainedFrame], slots: List[Tensor], matches: List[Match]) -> Tensor:
        """Tokens of one object attract each other over the frames; all tokens without an object share one label."""
        chosen = torch.stack(slots, dim=1)                                          # [B, T, M]
        features = torch.stack([x.decoded.features[-1] for x in frames], dim=1)     # [B, T, Q, d]
        tokens = features.gather(2, chosen[..., None].expand(-1, -1, -1, features.shape[-1]))
        total = features.new_zeros(())
        for vectors, own, (matched, _) in zip(tokens, chosen, matches):
            labels = torch.where(torch.isin(own, matched), own, features.shape[2])
            total = total + contrastive_loss(vectors.flatten(0, 1), labels.flatten())
        share = 1. if self.loss_clips is None else self.loss_clips / len(chosen)
        return total * share / chosen[0].numel()

    # Inference

    def encode(self, frames: Tensor, video: VideoInfo) -> InstanceFormerFeatures:
        """Tokens and mask features of float32 [T, 3, H, W]."""
        height, width = video.img_shape
        with stage('network'):
            tokens = self.tokens(frames[..., :height, :width])                      # without padding, as published
        with stage('masks'):
            return InstanceFormerFeatures(tokens, self.mask_features(tokens.maps(3)))

    def start(self, video: VideoInfo, live: bool = False, frames: Optional[FrameReader] = None) -> InstanceFormerState:
        """State of a new video."""
        with torch.no_grad():
            return InstanceFormerState(video, self.begin(1), TrackScores.of_video(video.num_frames))

    def lag(self, state: InstanceFormerState) -> int:
        """The first frames wait until the tracks are chosen."""
        return DECIDING_FRAMES - 1

    def advance(self, state: InstanceFormerState, features: InstanceFormerFeatures) -> List[FrameInstances]:
        """Take T frames. The first two of a video come out with the third, the others at once."""
        ready = []
        for t in range(len(features.mask_features)):
            with stage('network'):
                state.waiting.append(self._next_frame(state, features.tokens.select(t),
                                                      features.mask_features[t:t + 1]))
            ready += self.follow(state)
        return ready

    def _next_frame(self, state: InstanceFormerState, tokens: Tokens, mask_features: Tensor) -> FrameOutput:
        decoded = self.decode(tokens, state.carried)
        logits = at_least_float32(self.class_branches[-1](decoded.features[-1]))
        state.carried = self.carry(decoded, logits, state.carried)
        return FrameOutput(logits[0].sigmoid(), decoded.boxes[-1][0], decoded.features[-1][0],
                           decoded.references[-1][0], decoded.references[0][0], decoded.locations[0], mask_features)

    def follow(self, state: InstanceFormerState, at_end: bool = False) -> List[FrameInstances]:
        """Choose the tracks when three frames wait (or the video ends); from then on release the waiting frames."""
        if state.slots is None and (at_end or len(state.waiting) == DECIDING_FRAMES):
            self._choose_tracks(state)
        if state.slots is None:
            return []
        released = [self._emit(state, frame) for frame in state.waiting]
        state.waiting.clear()
        return released

    def _choose_tracks(self, state: InstanceFormerState) -> None:
        with stage('association'):
            scores = torch.stack([frame.scores for frame in state.waiting])
            state.slots = candidate_slots(scores, self.num_candidates)
            state.seen = [False] * len(state.slots)

    def _emit(self, state: InstanceFormerState, frame: FrameOutput) -> FrameInstances:
        """Only what can be a result gets a mask: the slots of the tracks."""
        slots = state.slots
        with stage('masks'):
            size = state.video.ori_shape
            scores, labels = frame.scores[slots][:, self.class_units].max(dim=1)
            boxes = box_convert(frame.boxes[slots], 'cxcywh', 'xyxy') * constant_like(frame.boxes, tuple(size[::-1]) * 2)
            logits, scores, boxes, labels = (x.numpy() for x in to_host(
                self.frame_masks(state, frame).float(), scores.float(), boxes.float(), labels))
        with stage('encode'):
            found = [enlarge_and_encode(mask, size) for mask in logits]
            state.seen = [seen or mask is not None for seen, mask in zip(state.seen, found)]
            # As in the official results an absent object has an empty mask, not none.
            masks = [encode_mask(np.zeros(size, bool)) if mask is None else mask[0] for mask in found]
        with stage('association'):
            state.scores.add(frame.scores[slots])
            if self.recorder is not None:
                self.recorder.add(state.video, slots, frame)
            state.num_frames += 1
            return FrameInstances(state.num_frames - 1, np.arange(len(slots)), labels, scores, boxes, masks)

    def frame_masks(self, state: InstanceFormerState, frame: FrameOutput) -> Tensor:
        """Mask logits [N, H / 4, W / 4] of the tracks."""
        height, width = state.video.img_shape
        centres = frame.references[state.slots, :2] * constant_like(frame.references, (width, height))
        return mask_logits(frame.mask_features, centres, self.controller(frame.features[state.slots]))

    @torch.no_grad()
    def finish(self, state: InstanceFormerState) -> Tuple[Iterator[FrameInstances], List[TrackScore]]:
        """The frames of a video shorter than three; class and score of every track that has a mask."""
        frames = self.follow(state, at_end=True) if state.waiting else []
        if self.recorder is not None:
            self.recorder.end(state.video)
        verdicts = []
        for track_id, (unit, score) in enumerate(state.scores.verdicts(state.num_frames) if state.num_frames else ()):
            if not state.seen[track_id] or unit not in self.label_of_unit:
                continue
            # A track that scores next to nothing stays in the results without masks: no frame knows this id.
            track_id = track_id if score >= _LEAST_SCORE else len(state.seen) + track_id
            verdicts.append(TrackScore(track_id, self.label_of_unit[unit], score))
        return iter(frames), verdicts


def next_reference(reference: Tensor, start: Tensor, rule: Optional[str]) -> Tensor:
    """Points that the next frame starts from, out of those of this frame and of the first one; all within [0, 1].

    The official rule squashes a number between 0 and 1 once more, so that the points of later frames lie in
    (0.5, 0.74) by 'multiply' and in (0.5, 0.89) by 'add'; published weights expect it.
    """
    if rule is None:
        return start
    return (reference * start if rule == 'multiply' else reference + start).sigmoid()


def _padding(clips: Tensor, samples: List[List[FrameSample]]) -> Optional[Tensor]:
    """bool [B * T, H, W], True on padding; None if there is none."""
    num, length, _, height, width = clips.shape
    shapes = [clip[0].img_shape[:2] for clip in samples]
    if all(shape == (height, width) for shape in shapes):
        return None
    padding = torch.ones(num, length, height, width, dtype=torch.bool, device=clips.device)
    for mask, (valid_height, valid_width) in zip(padding, shapes):
        mask[:, :valid_height, :valid_width] = False
    return padding.flatten(0, 1)


def _rows(matches: Sequence[Match]) -> Tuple[Tensor, Tensor]:
    """Index of the clip and slot of all matched slots of a batch, [N] each."""
    clips = torch.cat([torch.full_like(slots, number) for number, (slots, _) in enumerate(matches)])
    return clips, torch.cat([slots for slots, _ in matches])


def _wanted(values: Sequence[Tensor], matches: Sequence[Match]) -> Tensor:
    """Targets [T, objects, ...] of the clips in the order of ``_rows``, frame after frame: [T * N, ...]."""
    return torch.cat([value[:, objects] for value, (_, objects) in zip(values, matches)], dim=1).flatten(0, 1)
