"""The published YouTube-VIS job: clips of YouTube-VIS 2019 and pseudo-clips of COCO images together."""
_base_ = './instanceformer_r50_ytvis2019.py'

video_clips = dict(
    type='YTVIS2019Dataset', split='train', data_root='data', clip=dict(type='NeighbourClips', num_frames=4),
    pipeline={{_base_.video_pipeline}}, redraw_empty=True)
image_clips = dict(
    # category_map='official' has the published tables with their slips
    type='COCOClipsDataset', split='train', data_root='data', target='ytvis2019', category_map='fixed', max_objects=25,
    pipeline={{_base_.pseudo_clips_of_4}}, redraw_empty=True)
train_dataloader = dict(dataset=dict(_delete_=True, type='JointDataset', datasets=[image_clips, video_clips]))
