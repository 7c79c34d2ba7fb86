# COCO 2017 as clips: every image is a video of one frame. 80 classes, or those of a video set by target='ytvis2019',
# 'ytvis2021' or 'ovis' (category_map='official' or 'fixed'). The trees that are looked for stand in data/README.md.
dataset_type = 'COCOClipsDataset'
data_root = 'data'
num_classes = 80

train_dataloader = dict(
    batch_size=2,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='ClipSampler', shuffle=True),
    batch_sampler=dict(type='ClipBatchSampler', group_by_aspect=True),
    collate_fn=dict(type='clip_collate'),
    # A leaf config adds the pipeline and the box_mode of its system; ClipRepeat in front makes pseudo-clips.
    dataset=dict(type=dataset_type, split='train', data_root=data_root))
val_dataloader = dict(
    batch_size=1,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='VideoSampler'),
    collate_fn=dict(type='clip_collate'),
    dataset=dict(type=dataset_type, split='valid', data_root=data_root, test_mode=True))
test_dataloader = val_dataloader

# COCO's AP and AR, of its own 80 classes; with target=... there is nothing to compare with: val_evaluator = [].
val_evaluator = dict(type='COCOMetric')
test_evaluator = val_evaluator
