"""What VidEoMT, PMT and LVMT do to their clips of 5 frames: those of video sets, and pseudo-clips of COCO images that turn."""
scales = [(768, short) for short in (320, 352, 392, 416, 448, 480, 512, 544, 576, 608, 640)]
augment = [
    dict(type='ClipRandomChoice', branches=[
        [],
        [dict(type='ClipResize', scale=[(1333, 400), (1333, 500), (1333, 600)], rule='detectron2'),
         dict(type='ClipCrop', size=(384, 600), mode='absolute_range')]]),
    dict(type='ClipResize', scale=scales, rule='detectron2'),
    dict(type='ClipFlip', prob=0.5),
]
video_pipeline = [*augment, dict(type='ClipBoxesFromMasks')]
turn = [
    *augment,
    # angles that rise or fall from frame to frame about one point
    dict(type='ClipRotate', angle=15., centre=(0.4, 0.6)),
    dict(type='ClipBoxesFromMasks'),
]
image_pipeline = [dict(type='ClipRepeat', num_frames=5), *turn]
# LVMT on DINOv3
image_pipeline_of_15 = [dict(type='ClipRepeat', num_frames=15), *turn]
clip_of_5 = dict(type='ConsecutiveClips', num_frames=5)
