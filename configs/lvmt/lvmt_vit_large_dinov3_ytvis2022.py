"""LVMT with ViT-L of DINOv3 on YouTube-VIS 2022, as published: 8 processes of 1 clip."""
_base_ = ['../_base_/models/lvmt.py', '../_base_/datasets/videomt_ytvis2022.py', '../_base_/schedules/lvmt.py']

model = dict(backbone={{_base_.vit_large}}, levels={{_base_.levels_of_large}}, chunk_frames=5)

# 15 frames, drawn with replacement from up to 5 before and after one; an image 15 times
train_dataloader = dict(dataset=dict(datasets=[
    dict(type={{_base_.video_clips.type}}, split='train', data_root='data', pipeline={{_base_.video_pipeline}},
         clip=dict(type='RandomClips', num_frames=15, range=5)),
    dict(type='COCOClipsDataset', split='train', data_root='data', target={{_base_.image_clips.target}},
         category_map='videomt', pipeline={{_base_.image_pipeline_of_15}})]))

max_iters = 40000
train_cfg = dict(max_iters=max_iters)
param_scheduler = [dict(type='TwoStagePoly', end=max_iters, warmup=(6000, 0), power=0.9)]

# The authors' segmenter of this set (PMT and LVMT alike), whose training they do not describe. Another start:
# --load-from FILE.
load_from = 'models/yt-2021_dinov3_segmenter.pth'
