"""Data: annotation files, clips, transforms and samplers."""
from . import transforms
from .clip import Clip, ClipFrame, clip_collate, pack_clip
from .clip_sampling import (
                            ConsecutiveClips,
                            GapClips,
                            KeyReferencePairs,
                            NeighbourClips,
                            RandomClips,
                            SingleFrames,
                            SparseFrames,
)
from .coco_clips import COCOClipsDataset
from .joint import JointDataset
from .samplers import ClipBatchSampler, ClipSampler, InfiniteClipSampler, MixtureSampler, SampleKey, VideoSampler
from .trees import Tree, find_tree
from .vis_dataset import OVISDataset, SampleDataset, VISDataset, YTVIS2019Dataset, YTVIS2021Dataset, YTVIS2022Dataset

__all__ = ['COCOClipsDataset', 'Clip', 'ClipBatchSampler', 'ClipFrame', 'ClipSampler', 'ConsecutiveClips', 'GapClips',
           'InfiniteClipSampler', 'JointDataset', 'KeyReferencePairs', 'MixtureSampler', 'NeighbourClips', 'OVISDataset',
           'RandomClips', 'SparseFrames',
           'SampleDataset', 'SampleKey', 'SingleFrames', 'Tree', 'VISDataset', 'VideoSampler', 'YTVIS2019Dataset',
           'YTVIS2021Dataset', 'YTVIS2022Dataset', 'clip_collate', 'find_tree', 'pack_clip', 'transforms']
