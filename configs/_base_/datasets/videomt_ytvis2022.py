"""YouTube-VIS 2022 (the training set of 2021) for VidEoMT: clips of videos and turning images of COCO, one to one.

One clip a process.
"""
_base_ = ['./ytvis2022.py', './videomt_pipelines.py']

video_clips = dict(type='YTVIS2022Dataset', split='train', data_root='data', clip={{_base_.clip_of_5}},
                   pipeline={{_base_.video_pipeline}})
image_clips = dict(type='COCOClipsDataset', split='train', data_root='data', target='ytvis2021', category_map='videomt',
                   pipeline={{_base_.image_pipeline}})
train_dataloader = dict(
    batch_size=1, sampler=dict(_delete_=True, type='MixtureSampler', ratio=[1, 1]),
    batch_sampler=dict(group_by_aspect=False),
    dataset=dict(_delete_=True, type='JointDataset', datasets=[video_clips, image_clips]))
val_dataloader = dict(dataset=dict(pipeline=[dict(type='ClipResize', scale=(1333, 448), rule='detectron2')]))
test_dataloader = val_dataloader
