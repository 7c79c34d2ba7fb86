"""CondInst+IAI with ResNet-101 on YouTube-VIS 2019: two clips a GPU, more candidates a frame."""
_base_ = './ytvis2019_iai_condinst_r50_ms.py'

model = dict(backbone=dict(depth=101), test_cfg=dict(nms_pre=1000, cls_score_thr=0.05))
train_dataloader = dict(batch_size=2)
load_from = 'models/condinst_r101.pth'
auto_scale_lr = dict(base_batch_size=4)
