"""What every config shares: hooks, logging, environment."""
default_scope = 'mmvis'

default_hooks = dict(
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=50),
    param_scheduler=dict(type='ParamSchedulerHook'),
    checkpoint=dict(type='SafeCheckpointHook', interval=1),
    # where the next checkpoint is far away, one for the meantime; also the one of a training that is told to stop
    passing_checkpoint=dict(type='PassingCheckpointHook', minutes=30),
    sampler_seed=dict(type='DistSamplerSeedHook'),
    finite_loss=dict(type='FiniteLossHook'))

# Where the curves go: 'local' (a JSON lines file in the work directory), 'tensorboard', 'wandb'.
# python tools/train.py CONFIG --cfg-options loggers=local,tensorboard
loggers = ['local']
log_level = 'INFO'
log_processor = dict(type='LogProcessor', window_size=50, by_epoch=True)

env_cfg = dict(
    cudnn_benchmark=False,
    mp_cfg=dict(mp_start_method='fork', opencv_num_threads=0),
    dist_cfg=dict())  # NCCL where there are GPUs, else Gloo

# load_from: weights to start from. resume: False, True (the latest checkpoint of the work directory) or a file.
load_from = None
resume = False
