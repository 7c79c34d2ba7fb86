"""What MinVIS is trained and tested on: single frames of videos, short side 360 or 480; whole frames of 360."""
train_frames = dict(
    clip=dict(type='RandomClips', num_frames=1),
    pipeline=[dict(type='ClipResize', scale=[(1333, 360), (1333, 480)], rule='detectron2'),
              dict(type='ClipFlip', prob=0.5),
              dict(type='ClipBoxesFromMasks')])
test_pipeline_360 = [dict(type='ClipResize', scale=(1333, 360), rule='detectron2')]
test_pipeline_480 = [dict(type='ClipResize', scale=(1333, 480), rule='detectron2')]
