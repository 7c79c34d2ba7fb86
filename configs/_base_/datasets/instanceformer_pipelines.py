"""What InstanceFormer does to its clips: those of video sets, pseudo-clips of COCO images, and test frames."""
scales = [(768, short) for short in (288, 320, 352, 392, 416, 448, 480, 512)]
resize = dict(type='ClipRandomChoice', branches=[
    [dict(type='ClipResize', scale=scales, rule='detr')],
    [dict(type='ClipResize', scale=[(None, 400), (None, 500), (None, 600)], rule='detr'),
     dict(type='ClipCrop', size=(384, 600), mode='absolute_range'),
     dict(type='ClipResize', scale=scales, rule='detr')]])

video_pipeline = [dict(type='ClipFlip', prob=0.5), dict(type='ClipPhotometric', per_frame=True), resize]

# An image and coloured, moved and sometimes blurred copies of it in random order.
copies = dict(per_frame=True, keep_first=True)
image_pipeline = [
    dict(type='ClipColorShift', add=40, hue_saturation=5, **copies),
    dict(type='ClipWarp', rotate=(-20, 20), translate=0.1, same_shift=True, perspective=0.08, overlaps=False, **copies),
    dict(type='ClipBlur', prob=0.25, kernels=(9, 11), kind='motion', **copies),
    dict(type='ClipShuffle'),
    dict(type='ClipFlip', prob=0.5),
    resize,
]
pseudo_clips_of_3 = [dict(type='ClipRepeat', num_frames=3), *image_pipeline]
pseudo_clips_of_4 = [dict(type='ClipRepeat', num_frames=4), *image_pipeline]

test_pipeline = [dict(type='ClipResize', scale=(None, 360), rule='detr')]
