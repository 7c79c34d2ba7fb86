"""The clips of a step: shared out over any number of processes, accumulated, and on another number when resumed."""
import uuid

import pytest
import torch
from helpers.tiny_vis import make_tiny_dataset
from helpers.toy_training import toy_config
from mmengine.config import Config

from mmvis.engine import build_runner
from mmvis.engine.steps import Split, describe_step, nearest_totals, split_batch, use_global_batch
from mmvis.errors import InputError
from mmvis.models.layers.step_counter import StepCounter


@pytest.mark.parametrize('total, processes, batch_size, split', [
    (32, 8, 4, (4, 8, 1)), (32, 4, 8, (8, 4, 1)), (32, 1, 8, (8, 1, 4)), (32, 2, 8, (8, 2, 2)), (32, 8, 8, (4, 8, 1)),
    (32, 16, 8, (2, 16, 1)), (12, 1, 8, (6, 1, 2)), (7, 1, 4, (1, 1, 7)), (16, 3, 4, None), (4, 8, 4, None)])
def test_clips_of_a_step_are_shared_out(total, processes, batch_size, split):
    found = split_batch(total, processes, batch_size)
    assert found == split and (split is None or found.total == total and found.batch_size <= batch_size)


def test_nearest_totals():
    assert nearest_totals(16, 3) == [15, 18] and nearest_totals(4, 8) == [8]


def test_a_total_that_cannot_be_met_is_refused_with_the_nearest_ones():
    def config(base=16):
        return Config(dict(model=dict(), train_dataloader=dict(batch_size=4), optim_wrapper=dict(),
                           auto_scale_lr=base and dict(base_batch_size=base)))

    with pytest.raises(InputError, match='16 clips cannot be shared out over 3 processes .* --global-batch 15 or 18'):
        use_global_batch(config(), 3)
    with pytest.raises(InputError, match='10 clips .* over 4 .* --global-batch 8 or 12'):
        use_global_batch(config(), 4, 10)
    with pytest.raises(InputError, match='has no auto_scale_lr.base_batch_size.* --global-batch N'):
        use_global_batch(config(None), 2)
    with pytest.raises(InputError, match="base_batch_size is 'x': a whole number"):
        use_global_batch(config('x'), 2)
    cfg = config(None)
    use_global_batch(cfg, 2, 16)
    assert (cfg.train_dataloader.batch_size, cfg.optim_wrapper.accumulative_counts) == (4, 2)


def test_a_loss_that_is_a_sum_over_clips_stays_that_of_the_recipe():
    for processes, batch_size, loss_clips in ((4, 4, None), (1, 4, None), (8, 2, 4)):
        cfg = Config(dict(model=dict(loss_clips=None), train_dataloader=dict(batch_size=4), optim_wrapper=dict(),
                          auto_scale_lr=dict(base_batch_size=16)))
        use_global_batch(cfg, processes)
        assert (cfg.train_dataloader.batch_size, cfg.model.loss_clips) == (batch_size, loss_clips)


def test_the_line_at_the_start():
    assert describe_step(Split(4, 4), 16) == (
        'A step takes 16 clips (4 x 4 processes x 1 accumulated), as in the recipe of the config.')
    assert describe_step(Split(4, 1), 16) == (
        'A step takes 4 clips (4 x 1 processes x 1 accumulated), the recipe of the config 16, with the learning rate for that: '
        '--global-batch keeps 16 (4 x 1 processes x 4 accumulated); --auto-scale-lr alone scales the rate by 0.25.')
    assert '--global-batch 15 --auto-scale-lr or --global-batch 18 --auto-scale-lr; ' in describe_step(Split(4, 3), 16)


@pytest.fixture(scope='module')
def data_root(tmp_path_factory):
    root = tmp_path_factory.mktemp('data')
    make_tiny_dataset(root, num_videos=2, num_frames=4)
    return root


def train(data_root, work_dir, by_iterations=False, **options):
    work_dir.mkdir(exist_ok=True)
    cfg = toy_config(data_root, work_dir, by_iterations, noise=False, batch_norm=False)
    cfg.merge_from_dict(dict({'experiment_name': uuid.uuid4().hex}, **options))
    runner = build_runner(cfg)
    runner.train()
    return runner


def recorded(work_dir, column):
    rows = [line.split() for line in (work_dir / 'losses.txt').read_text().splitlines()]
    return {int(row[0]): float.fromhex(row[3]) if column == 'loss' else float(row[4]) for row in rows}


@pytest.mark.parametrize('by_iterations', [False, True], ids=['epochs', 'iterations'])
def test_accumulated_gradients_are_those_of_one_batch(data_root, tmp_path, by_iterations):
    options = {'train_dataloader.batch_sampler.group_by_aspect': False,
               'train_dataloader.collate_fn': dict(type='clip_collate')}
    if not by_iterations:
        options['param_scheduler'] = [dict(type='CosineAnnealingLR', T_max=3, convert_to_iter_based=True)]
    one = train(data_root, tmp_path / 'one', by_iterations, **options, **{'train_dataloader.batch_size': 4})
    parts = train(data_root, tmp_path / 'parts', by_iterations, **options,
                  **{'train_dataloader.batch_size': 1, 'optim_wrapper.accumulative_counts': 4})
    assert one.iter == parts.iter == (12 if by_iterations else 6)  # steps, however many batches they are made of
    assert recorded(tmp_path / 'one', 'lr') == recorded(tmp_path / 'parts', 'lr')
    assert recorded(tmp_path / 'parts', 'loss') == pytest.approx(recorded(tmp_path / 'one', 'loss'), rel=1e-5)
    for name, value in one.model.state_dict().items():
        torch.testing.assert_close(parts.model.state_dict()[name], value, rtol=1e-4, atol=1e-5)


def test_a_step_is_counted_once_however_many_batches_it_has():
    counter = StepCounter()
    for ends_step in (False, False, True, True):
        counter.ends_step = ends_step
        counter.advance()
    assert counter.value == counter.steps == 2


def warnings_of(capfd):
    return [line for line in ''.join(capfd.readouterr()).splitlines() if 'WARNING' in line]


@pytest.mark.parametrize('by_iterations', [False, True], ids=['epochs', 'iterations'])
def test_a_scaled_rate_follows_the_clips_of_a_resumed_step(data_root, tmp_path, by_iterations, capfd):
    scaled = {'default_hooks.checkpoint.interval': 4 if by_iterations else 1,
              'default_hooks.checkpoint.by_epoch': not by_iterations, 'auto_scale_lr.enable': True, 'param_scheduler': [
        dict(type='LinearLR', start_factor=0.1, by_epoch=False, end=6),
        dict(type='MultiStepLR', by_epoch=False, milestones=[8], end=12),
        dict(type='CosineAnnealingLR', by_epoch=False, begin=3, end=12, T_max=20)]}
    half = {**scaled, 'train_cfg.max_iters': 4} if by_iterations else {**scaled, 'train_cfg.max_epochs': 1}
    train(data_root, tmp_path / 'a', by_iterations, **half)
    capfd.readouterr()
    file = str(tmp_path / 'a' / ('iter_4.pth' if by_iterations else 'epoch_1.pth'))
    rest = train(data_root, tmp_path / 'a', by_iterations, resume=file, **scaled, **{'train_dataloader.batch_size': 1})
    said = warnings_of(capfd)
    assert any('was multiplied by 0.5, to fit the clips a step of now' in line for line in said)
    train(data_root, tmp_path / 'whole', by_iterations, **scaled, **{'train_dataloader.batch_size': 1})
    rates, expected = recorded(tmp_path / 'a', 'lr'), recorded(tmp_path / 'whole', 'lr')
    if by_iterations:
        later = {number: rate for number, rate in rates.items() if number >= 4}
        assert later == pytest.approx({number: expected[number] for number in later}) and len(later) == 8
        assert any('took 2 clips in the checkpoint and takes 1 now: the training goes on with iteration 5 of 12' in line
                   and 'behind the 8 that it has seen' in line for line in said)
        assert rest.train_loop.steps_of_data == 8 + 8
        state = torch.load(next((tmp_path / 'a').glob('iter_12.pth')), weights_only=True)
        assert (state['meta']['clips_seen'], state['meta']['clips_a_step']) == (16, 1)
    else:
        assert rates[8] == pytest.approx(expected[4])  # the warm-up goes on in its fifth iteration


def test_a_schedule_of_epochs_that_counts_iterations_ends_with_the_training(data_root, tmp_path):
    cosine = {'param_scheduler': [dict(type='CosineAnnealingLR', by_epoch=True, T_max=3, end=3, convert_to_iter_based=True)]}
    train(data_root, tmp_path / 'a', **{**cosine, 'train_cfg.max_epochs': 1})  # 4 iterations
    rest = train(data_root, tmp_path / 'a', resume=True, **cosine, **{'train_dataloader.batch_size': 1})
    train(data_root, tmp_path / 'whole', **cosine, **{'train_dataloader.batch_size': 1})
    expected = recorded(tmp_path / 'whole', 'lr')
    later = {number: rate for number, rate in recorded(tmp_path / 'a', 'lr').items() if number >= 8}
    assert rest.iter == 24 and later == pytest.approx({number: expected[number] for number in range(8, 24)})


def test_the_rate_of_a_checkpoint_that_goes_on_is_said(data_root, tmp_path, capfd):
    one = {'train_cfg.max_epochs': 1, 'auto_scale_lr.base_batch_size': 1}
    train(data_root, tmp_path, **one, **{'auto_scale_lr.enable': True})
    train(data_root, tmp_path, **{**one, 'train_cfg.max_epochs': 2}, resume=True)
    assert any('The learning rate of the checkpoint goes on, which is 2 times that of this config' in line
               for line in warnings_of(capfd))
    assert recorded(tmp_path, 'lr')[7] == pytest.approx(0.2)
