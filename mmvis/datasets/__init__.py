"""Data: annotation files, clips, transforms and samplers."""
from typing import Any

from mmvis.lazy import lazy_name

_MODULES = {
    'clip': 'Clip ClipFrame clip_collate pack_clip',
    'clip_sampling': 'ConsecutiveClips GapClips KeyReferencePairs NeighbourClips RandomClips SingleFrames '
                     'SparseFrames',
    'coco_clips': 'COCOClipsDataset',
    'joint': 'JointDataset',
    'samplers': 'ClipBatchSampler ClipSampler InfiniteClipSampler MixtureSampler SampleKey VideoSampler',
    'trees': 'Tree find_tree',
    'vis_dataset': 'OVISDataset SampleDataset VISDataset YTVIS2019Dataset YTVIS2021Dataset YTVIS2022Dataset',
}

__all__ = ['COCOClipsDataset', 'Clip', 'ClipBatchSampler', 'ClipFrame', 'ClipSampler', 'ConsecutiveClips', 'GapClips',
           'InfiniteClipSampler', 'JointDataset', 'KeyReferencePairs', 'MixtureSampler', 'NeighbourClips',
           'OVISDataset', 'RandomClips', 'SampleDataset', 'SampleKey', 'SingleFrames', 'SparseFrames', 'Tree',
           'VISDataset', 'VideoSampler', 'YTVIS2019Dataset', 'YTVIS2021Dataset', 'YTVIS2022Dataset', 'clip_collate',
           'find_tree', 'pack_clip']


def __getattr__(name: str) -> Any:
    return lazy_name(__name__, _MODULES, name)
