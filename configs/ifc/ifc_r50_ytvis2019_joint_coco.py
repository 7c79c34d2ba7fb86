"""IFC on YouTube-VIS 2019 and pseudo-clips of COCO images together; the recipe of 2019 otherwise. Not published."""
_base_ = './ifc_r50_ytvis2019.py'

video_clips = dict(
    type='YTVIS2019Dataset', split='train', data_root='data',
    clip=dict(type='RandomClips', num_frames=5, range=20, replace=True, repeats=10),
    pipeline=[dict(type='ClipResize', scale=[(1333, 360), (1333, 480)], rule='detectron2'),
              dict(type='ClipFlip', prob=0.5),
              dict(type='ClipBoxesFromMasks')])
image_clips = dict(
    type='COCOClipsDataset', split='train', data_root='data', target='ytvis2019', category_map='fixed',
    max_objects=25,
    pipeline=[
        dict(type='ClipRepeat', num_frames=5),
        # a camera that turns and moves; the first frame is the image itself
        dict(type='ClipWarp', rotate=(-20, 20), translate=0.1, perspective=0.08, per_frame=True, keep_first=True),
        dict(type='ClipShuffle'),
        dict(type='ClipResize', scale=[(1333, 360), (1333, 480)], rule='detectron2'),
        dict(type='ClipFlip', prob=0.5),
        dict(type='ClipBoxesFromMasks'),
    ])
train_dataloader = dict(dataset=dict(_delete_=True, type='JointDataset', datasets=[video_clips, image_clips]))
