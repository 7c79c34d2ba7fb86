"""The published OVIS job: clips of OVIS and pseudo-clips of COCO images together."""
_base_ = './instanceformer_r50_ovis.py'

video_clips = dict(
    type='OVISDataset', split='train', data_root='data', clip=dict(type='NeighbourClips', num_frames=3),
    pipeline={{_base_.video_pipeline}}, redraw_empty=True)
image_clips = dict(
    # category_map='official' has the published tables with their slips
    type='COCOClipsDataset', split='train', data_root='data', target='ovis', category_map='fixed', max_objects=25,
    pipeline={{_base_.pseudo_clips_of_3}}, redraw_empty=True)
train_dataloader = dict(dataset=dict(_delete_=True, type='JointDataset', datasets=[image_clips, video_clips]))
