# YouTube-VIS 2022: classes and training set of 2021, longer validation videos. Trees: data/README.md.
dataset_type = 'YTVIS2022Dataset'
data_root = 'data'
num_classes = 40

train_dataloader = dict(
    batch_size=2,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='ClipSampler', shuffle=True),
    batch_sampler=dict(type='ClipBatchSampler', group_by_aspect=True),
    collate_fn=dict(type='clip_collate'),
    # A leaf config adds the clip strategy, the pipeline and the box_mode of its system.
    dataset=dict(type=dataset_type, split='train', data_root=data_root))
val_dataloader = dict(
    batch_size=1,
    num_workers=2,
    persistent_workers=True,
    sampler=dict(type='VideoSampler'),
    collate_fn=dict(type='clip_collate'),
    dataset=dict(type=dataset_type, split='valid', data_root=data_root, test_mode=True))
test_dataloader = val_dataloader

# Short and long videos apart: long_ids='FILE' names the long ones, or long_frames=N says that they have more frames.
val_evaluator = dict(type='VISMetric', long_ids=None, long_frames=None)
test_evaluator = val_evaluator
