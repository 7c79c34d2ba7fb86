"""CondInst + IAI: a dense detector that names the identity of every instance (Zhu et al., "Instance As Identity",
ECCV 2022).

Numbers follow the official code (github.com/zfonemore/IAI).
"""
from dataclasses import dataclass
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np
import torch
from torch import Tensor, nn

from mmvis.errors import InputError
from mmvis.frame_sample import FrameSample
from mmvis.ops.transfer import to_host
from mmvis.registry import MODELS
from mmvis.structures import RLE, FrameInstances, TrackScore, VideoInfo, encode_crop

from ..base import FrameReader, VISModel
from ..builder import build_part
from ..layers.stages import stage
from .clip_identities import clip_identities
from .detect import detect
from .head import HeadOutputs, level_points
from .identity import IdentityBook, OverlapScores
from .losses import clip_loss_mean, frame_losses
from .masks import CroppedMask, MaskUpsampler, claim, make_disjoint, paint
from .memory import LSTTMemory
from .targets import frame_targets

#: Frames after which, in a stream without end, the slot of an absent identity may be given away.
STREAM_AGE = 100


@dataclass
class IAIState:
    """One video on its way. The memory grows as its policy says, the book with the identities (M at most)."""
    video: VideoInfo
    memory: LSTTMemory
    book: IdentityBook
    overlaps: Optional[OverlapScores] = None
    upsampler: Optional[MaskUpsampler] = None


class IAIFeatures(NamedTuple):
    """Maps [T, C, h, w] of the backbone, finest first, and (H, W) of its input."""
    maps: Sequence[Tensor]
    pad_shape: Tuple[int, int]


@MODELS.register_module()
class CondInstIAI(VISModel):
    """Detector and transformer memory, online: every frame is final at once.

    Every part is a module or the config of one.

    Args:
        backbone: image [B, 3, H, W] to maps; the coarsest is replaced by its fusion with the memory.
        neck: maps, finest first, to a pyramid.
        bbox_head: an IAIHead; lstt: an LSTT.
        in_channels: of the backbone's coarsest map; fused_channels: of what takes its place, as ``neck`` expects it.
        memory: dict(policy, interval, max_frames, max_age), see LSTTMemory. Training follows the official policy.
        shuffle_identities: in training, draw the slots of the objects at random (see ``clip_identities``).
        test_cfg: dict(nms_pre, cls_score_thr, id_score_thr, nms_iou_thr, max_per_img) of ``detect``; max_per_img and
            video_score_thr also of the results of a video; associate_by: 'identity', the scores of the identity branch,
            or 'overlap' of the masks instead, to see what the branch is worth; forget_after: see IdentityBook.
    """

    def __init__(self, backbone: Any, neck: Any, bbox_head: Any = dict(type='IAIHead'), lstt: Any = dict(type='LSTT'),
                 in_channels: int = 2048, fused_channels: int = 2048, memory: Optional[dict] = None,
                 shuffle_identities: bool = False, test_cfg: Optional[dict] = None,
                 data_preprocessor: Any = dict(type='ClipPreprocessor'), init_cfg: Optional[dict] = None) -> None:
        super().__init__(data_preprocessor=build_part(data_preprocessor), init_cfg=init_cfg)
        self.backbone = build_part(backbone)
        self.neck = build_part(neck)
        self.bbox_head = build_part(bbox_head)
        self.num_classes = self.bbox_head.num_classes
        self.lstt = build_part(lstt)
        width = self.lstt.channels
        self.encoder_projector = nn.Conv2d(in_channels, width, 1)
        self.backbone_projector = nn.Conv2d(in_channels, fused_channels - 2 * width, 1)
        self.memory = dict(memory or {})
        self.shuffle_identities = shuffle_identities
        self.test_cfg = dict(dict(nms_pre=200, cls_score_thr=0.1, id_score_thr=0.1, nms_iou_thr=0.5, max_per_img=10,
                                  video_score_thr=0.05, associate_by='identity', forget_after=None), **test_cfg or {})
        if self.test_cfg['associate_by'] not in ('identity', 'overlap'):
            raise InputError("test_cfg: associate_by must be 'identity' or 'overlap', not "
                             f"{self.test_cfg['associate_by']!r}.")
        LSTTMemory(**self.memory)                          # says now what is wrong with it

    def pyramid(self, features: Sequence[Tensor], memory: LSTTMemory) -> Tuple[Tensor, ...]:
        """The pyramid of one frame of B videos, seen with their memory.

        Args:
            features: maps [B, C, H / stride, W / stride] of the backbone, finest first.
            memory: takes note of the frame.
        """
        *finer, last = features
        projected = self.encoder_projector(last)
        fused = torch.cat([projected, self.lstt(projected, memory), self.backbone_projector(last)], dim=1)
        return self.neck((*finer, fused))

    # Training

    def loss(self, clips: Tensor, samples: List[List[FrameSample]]) -> Dict[str, Tensor]:
        """Losses of clips, frame by frame, each frame seen with the true identities of those before it in memory.

        Args:
            clips: float32 [B, T, 3, H, W]. samples: B lists of T.

        Returns:
            loss_cls, loss_id, loss_bbox, loss_centerness, loss_mask: means over the T frames.
        """
        num_clips, num_frames = clips.shape[:2]
        head = self.bbox_head
        identities = clip_identities(samples, head.max_obj_num, self.shuffle_identities)
        features = self.backbone(clips.transpose(0, 1).flatten(0, 1))                     # frame by frame
        features = [x.unflatten(0, (num_frames, num_clips)) for x in features]
        memory = LSTTMemory(interval=self.memory.get('interval', LSTTMemory.interval))
        losses = []
        for t in range(num_frames):
            pyramid = self.pyramid([x[t] for x in features], memory)
            outputs = head(pyramid)
            frame = [clip[t] for clip in samples]
            points = level_points([x.shape[2:] for x in pyramid], head.strides, clips.device)
            targets = frame_targets(points, frame, identities.targets[t], head.num_classes, head.max_obj_num,
                                    head.strides, head.regress_ranges, head.center_radius)
            losses.append(frame_losses(head, outputs, targets, [x.gt_instances.masks for x in frame]))
            if t + 1 < num_frames:
                self.lstt.remember(memory, self.lstt.id_bank.dense(identities.maps(t)))
        return clip_loss_mean(losses)

    # Inference

    def encode(self, frames: Tensor, video: VideoInfo) -> IAIFeatures:
        """Backbone maps of float32 [T, 3, H, W]; all else needs the memory."""
        with stage('network'):
            return IAIFeatures(self.backbone(frames), tuple(frames.shape[2:]))

    def start(self, video: VideoInfo, live: bool = False, frames: Optional[FrameReader] = None) -> IAIState:
        """State of a new video. ``live``: a bounded number of frames is remembered, and slots of identities absent for
        long are given away."""
        overlaps = OverlapScores() if self.test_cfg['associate_by'] == 'overlap' else None
        memory, forget_after = LSTTMemory(**self.memory), self.test_cfg['forget_after']
        if live:
            memory.policy = 'bounded' if memory.policy == 'official' else memory.policy
            forget_after = forget_after or STREAM_AGE
        return IAIState(video, memory, IdentityBook(self.bbox_head.max_obj_num, forget_after), overlaps)

    def advance(self, state: IAIState, features: IAIFeatures) -> List[FrameInstances]:
        """Detect, name and segment T frames: T results, each final at once."""
        return [self.step_features(state, [x[t:t + 1] for x in features.maps], features.pad_shape)
                for t in range(len(features.maps[0]))]

    def step_features(self, state: IAIState, features: Sequence[Tensor], pad_shape: Tuple[int, int]) -> FrameInstances:
        """The next frame, from the maps [1, C, h, w] of the backbone; pad_shape: (H, W) of its input."""
        with stage('network'):
            outputs = self.bbox_head(self.pyramid(features, state.memory))
        return self.track(state, outputs, pad_shape)

    def track(self, state: IAIState, outputs: HeadOutputs, pad_shape: Tuple[int, int]) -> FrameInstances:
        """From what the head says of the next frame to its instances; the frame goes into the memory.

        Args:
            pad_shape: (H, W) of the network input.
        """
        max_obj_num = self.bbox_head.max_obj_num
        with torch.autocast(outputs.mask_features.device.type, enabled=False):
            with stage('network'):
                found = detect(outputs, self.bbox_head.strides, state.video.img_shape, state.video.ori_shape,
                               state.book.num_frames == 0, self.test_cfg)
            with stage('masks'):
                logits = self.bbox_head.dynamic_masks(outputs.mask_features, found.kernels, found.points, found.strides,
                                                      torch.zeros_like(found.strides, dtype=torch.long))
                # From here on all is done on the host, where the run lengths are made.
                probabilities, *found = to_host(logits.sigmoid(), found.cls_scores, found.id_scores, found.boxes)
                rows, masks = self._visible(state, probabilities, pad_shape)
            with stage('association'):
                cls_scores, id_scores, boxes = (x[rows].numpy() for x in found)
                if state.overlaps is not None:
                    id_scores = state.overlaps.scores(masks, max_obj_num)
                slots, has_new = state.book.assign(id_scores)
                state.book.count(slots, cls_scores)
                if state.overlaps is not None:
                    state.overlaps.update(slots, masks)
                embedding = self.lstt.id_bank.owners(paint(masks, slots, max_obj_num, pad_shape))
                self.lstt.remember(state.memory, embedding, has_new)
            rles = self._encode(state, probabilities[rows], slots)
        return self._emit(state, slots, cls_scores, boxes, rles)

    def _visible(self, state: IAIState, probabilities: Tensor,
                 pad_shape: Tuple[int, int]) -> Tuple[List[int], List[CroppedMask]]:
        """Of masks of probabilities [n, H / 4, W / 4] the rows that stay visible and their disjoint masks [H, W]."""
        if state.upsampler is None:
            state.upsampler = MaskUpsampler(pad_shape, state.video.img_shape, state.video.ori_shape,
                                            self.bbox_head.strides[0] // 2)
        return make_disjoint([state.upsampler.to_input(x) for x in probabilities])

    def _encode(self, state: IAIState, probabilities: Tensor, slots: List[int]) -> List[Optional[RLE]]:
        """Disjoint masks of the visible instances in the original frame; none for the slot that several share."""
        rles, free = [], np.ones(state.video.ori_shape, bool)
        for mask, slot in zip(probabilities, slots):
            with stage('masks'):
                mask = claim(state.upsampler.to_frame(mask), free)
            with stage('encode'):
                rles.append(None if slot == state.book.shared_slot
                            else encode_crop(mask.crop, mask.x, mask.y, mask.size))
        return rles

    @staticmethod
    def _emit(state: IAIState, slots: List[int], cls_scores: np.ndarray, boxes: np.ndarray,
              masks: List[Optional[RLE]]) -> FrameInstances:
        last = sorted({slot: row for row, slot in enumerate(slots)}.values())       # of equal slots the last one counts
        frame_idx = state.book.num_frames - 1
        if not last:
            return FrameInstances(frame_idx)
        tracks = state.book.tracks([slots[i] for i in last])
        return FrameInstances(frame_idx, np.array(tracks), cls_scores[last].argmax(1),
                              cls_scores[last].max(1), boxes[last], [masks[i] for i in last])

    def finish(self, state: IAIState) -> Tuple[Iterator[FrameInstances], List[TrackScore]]:
        """Nothing is outstanding; the best pairs of identity and class by their mean scores over all frames."""
        return iter(()), state.book.verdicts(self.test_cfg['max_per_img'], self.test_cfg['video_score_thr'])
