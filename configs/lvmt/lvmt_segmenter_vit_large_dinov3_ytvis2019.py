"""The first stage of PMT and LVMT, frames alone: ours, as the authors' is not described (they publish its weights).

The recipe of clips, with clips of one frame. The propagation is not trained. Sets and encoders as in the other configs.
"""
_base_ = './lvmt_vit_large_dinov3_ytvis2019.py'

model = dict(chunk_frames=0)
train_dataloader = dict(dataset=dict(datasets=[
    dict(type='YTVIS2019Dataset', split='train', data_root='data', pipeline={{_base_.video_pipeline}},
         clip=dict(type='ConsecutiveClips', num_frames=1)),
    dict(type='COCOClipsDataset', split='train', data_root='data', target='ytvis2019', category_map='videomt',
         pipeline={{_base_.video_pipeline}})]))

load_from = 'models/dinov3-vitl16-pretrain-lvd1689m'
