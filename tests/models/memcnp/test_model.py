"""MemCNP on the model contract: training in every corner case, the optimizer of its recipe, inference."""
import copy
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from helpers.tiny_masktrack import tiny_batch
from helpers.tiny_memcnp import tiny_model
from mmengine.optim import build_optim_wrapper

from mmvis.engine import load_config
from mmvis.models import MemCNP, SipMaskVIS
from mmvis.models.layers.inference import optimize_for_inference
from mmvis.models.memcnp import MemCNPHead
from mmvis.registry import MODELS
from mmvis.structures import VideoInfo, decode_rle

CONFIGS = sorted((Path(__file__).resolve().parents[3] / 'configs' / 'memcnp').glob('*.py'))
LOSSES = {'loss_cls', 'loss_bbox', 'loss_cnp', 'loss_centerness', 'loss_seg', 'loss_match'}
#: Pyramids reach down to stride 64, so frames are larger than those of the other tiny models.
SIZE = (96, 128)
VIDEO = VideoInfo('v', (192, 256), SIZE, 0.5, 6)


def losses_of(model, batch):
    data = model.data_preprocessor(copy.deepcopy(batch), True)
    return model.loss(data['inputs'], data['data_samples'])


@pytest.mark.parametrize('path', CONFIGS, ids=lambda path: path.stem)
def test_every_config_builds_with_the_classes_of_its_data(path, monkeypatch):
    monkeypatch.setattr(torch, 'linspace', partial(torch.linspace, device='cpu'))  # mmdet's Swin reads its numbers
    config = load_config(str(path))
    with torch.device('meta'):
        model = MODELS.build(config.model)
    assert type(model) is (SipMaskVIS if 'sipmask' in path.stem else MemCNP)
    classes = {'OVISDataset': 25, 'SampleDataset': 8, 'VISDataset': 0}.get(config.train_dataloader.dataset.type, 40)
    assert model.bbox_head.num_classes == config.num_classes == classes
    for loader in (config.val_dataloader, config.test_dataloader):
        assert loader.dataset.type == config.train_dataloader.dataset.type
    assert config.train_dataloader.dataset.clip.reference == 5


@pytest.mark.parametrize('name', ['vitmae_cnp_contrast_ms_1x.py', 'R50_cnp_contrast_ms_1x.py'])
def test_optimizer_of_the_recipe(name):
    """SGD 0.001 with one rate and one decay for whatever is trained; position table, scales, frozen layers are not."""
    config = load_config(name)
    with torch.device('meta'):
        model = MODELS.build(config.model)
    optimizer = build_optim_wrapper(model, config.optim_wrapper).optimizer
    assert type(optimizer) is torch.optim.SGD and config.optim_wrapper.clip_grad == dict(max_norm=35, norm_type=2)
    for group in optimizer.param_groups:
        assert (group['lr'], group['momentum'], group['weight_decay']) == (0.001, 0.9, 0.0001)
    names = {id(p): key for key, p in model.named_parameters()}
    held = [names[id(p)] for group in optimizer.param_groups for p in group['params'] if p.requires_grad]
    fixed = [key for key, p in model.named_parameters() if not p.requires_grad]
    assert len(held) == len(set(held)) and sorted(held + fixed) == sorted(names.values())
    assert 'bbox_head.mem.feat_units.weight' in held
    expected = ('bbox_head.scales.',)
    if name.startswith('R50'):
        expected += ('backbone.conv1.', 'backbone.bn1.', 'backbone.layer1.')
    assert all(key.startswith(expected) or '.bn' in key or 'downsample.1' in key for key in fixed)
    assert any(key.startswith('bbox_head.scales.') for key in fixed)


@pytest.mark.parametrize('counts', [((3, 2), (2, 3)), ((0, 2), (2, 2)), ((3, 0), (2, 0)), ((0, 0),), ((1, 0),)])
def test_every_parameter_gets_a_gradient_whatever_the_frames_hold(counts):
    model = tiny_model().train()
    losses = losses_of(model, tiny_batch(counts, SIZE))
    assert losses.keys() == LOSSES | {'match_acc'}
    total, _ = model.parse_losses(losses)
    assert torch.isfinite(total)
    total.backward()
    trained = {name: p for name, p in model.named_parameters() if p.requires_grad}
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in trained.values())
    if counts == ((3, 2), (2, 3)):
        assert all(p.grad.abs().sum() > 0 for name, p in trained.items() if name.startswith('bbox_head'))


def test_images_without_objects_write_nothing():
    model = tiny_model().train()
    slots = model.bbox_head.mem.feat_units.weight
    before = slots.detach().clone()
    losses_of(model, tiny_batch(((0, 2),), SIZE))
    torch.testing.assert_close(slots.detach(), before * 0.999 ** 4)            # four levels; every slot fades
    losses_of(model, tiny_batch(((2, 2),), SIZE))
    assert not torch.allclose(slots.detach(), before * 0.999 ** 8)


def test_the_matching_loss_may_be_that_of_one_pair_at_a_time():
    """By itself it compares all objects of a process; over those of a step it must not depend on the split."""
    model, batch = tiny_model(), tiny_batch(((2, 2), (3, 3)), SIZE)
    data = model.data_preprocessor(batch, True)
    head, samples = model.bbox_head, data['data_samples']
    truth, seen = ([pair[i].gt_instances for pair in samples] for i in (0, 1))
    with torch.no_grad():
        head.fcos_reg.bias[:4] = 0.
        pyramids = [model.neck(model.backbone(data['inputs'][:, i])) for i in (0, 1)]
        maps, reference = head(pyramids[0]), head.tracking(pyramids[1])

        def of_pairs(pairs):
            part = type(maps)(*([level[pairs] for level in x] if isinstance(x, list) else x[pairs] for x in maps))
            return head.loss_of_maps(part, reference[pairs], truth[pairs], seen[pairs])['loss_match']

        for loss_clips in (None, 1):
            head.loss_clips = loss_clips
            together, apart = of_pairs(slice(0, 2)), (of_pairs(slice(0, 1)) + of_pairs(slice(1, 2))) / 2
            assert together > 0 and (abs(together - apart) < 1e-5) == (loss_clips == 1), (together, apart)


def test_small_objects_and_foreign_references():
    """Boxes too small for a mask, and reference frames that share no object: each loss is defined and finite."""
    model, batch = tiny_model().train(), tiny_batch(((2, 2),), SIZE)
    key, reference = batch['data_samples'][0]
    reference.gt_instances.instance_ids += 50
    losses = losses_of(model, batch)
    assert all(torch.isfinite(x) for x in losses.values())
    with torch.no_grad():
        model.bbox_head.fcos_reg.bias[:4] = -12.                              # every predicted box is a point
    losses = losses_of(model, tiny_batch(((2, 2),), SIZE))
    assert losses['loss_seg'] == 0 and losses['loss_match'] == 0 and losses['loss_bbox'] > 0


def test_gradient_checkpointing_changes_no_number():
    values = []
    for with_cp in (False, True):
        model = tiny_model().train()
        model.backbone.with_cp = with_cp
        torch.manual_seed(5)
        total, _ = model.parse_losses(losses_of(model, tiny_batch(((3, 2), (2, 3)), SIZE)))
        total.backward()
        values.append((total.item(), [p.grad for p in model.parameters() if p.grad is not None],
                       model.bbox_head.mem.feat_units.weight.detach()))
    assert values[0][0] == values[1][0] and torch.equal(values[0][2], values[1][2])
    assert all(torch.equal(a, b) for a, b in zip(values[0][1], values[1][1], strict=True))


def test_options_that_cannot_be():
    with pytest.raises(ValueError, match="not 'best'"):
        MemCNPHead(assigner='best')
    with pytest.raises(ValueError, match='at least 3 strides, not 2'):
        MemCNPHead(strides=[8, 16])


def test_autocast_trains():
    model = tiny_model().train()
    with torch.autocast('cpu', torch.bfloat16):
        total, _ = model.parse_losses(losses_of(model, tiny_batch(size=SIZE)))
    total.backward()
    assert torch.isfinite(total) and total.dtype == torch.float32
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.requires_grad)


def _train_as_rank(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    dist.init_process_group('gloo', init_method=f'file://{folder}/store', rank=rank, world_size=2)
    model = tiny_model().train()
    model.bbox_head.aug_ref_bbox_param = None
    wrapped = torch.nn.parallel.DistributedDataParallel(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.001, momentum=0.9)
    for _ in range(3):
        batch = tiny_batch(((3, 2), (0, 2)) if rank == 0 else ((2, 3), (1, 1)), SIZE)
        data = model.data_preprocessor(batch, True)
        total, _ = model.parse_losses(wrapped(data['inputs'], data['data_samples']))
        optimizer.zero_grad()
        total.backward()
        optimizer.step()
    torch.save(model.state_dict(), f'{folder}/{rank}.pth')
    dist.destroy_process_group()


def test_two_processes_stay_one_model(tmp_path):
    """The memory is written in the forward pass of each process and must not drift apart."""
    mp.start_processes(_train_as_rank, (str(tmp_path),), nprocs=2, start_method='fork')
    first, second = (torch.load(tmp_path / f'{rank}.pth') for rank in (0, 1))
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert not torch.equal(first['bbox_head.mem.feat_units.weight'], tiny_model().bbox_head.mem.feat_units.weight)


def run(model, chunk_size, clip, video=VIDEO):
    state, frames = model.start(video), []
    for start in range(0, len(clip), chunk_size):
        frames += model.step(state, clip[start:start + chunk_size])
    rest, verdicts = model.finish(state)
    assert list(rest) == []
    return frames, verdicts


def make_clip(num=4):
    return torch.randn(num, 3, *SIZE, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize('vit', [True, False])
def test_results_are_in_the_original_frame_and_do_not_depend_on_the_chunks(vit):
    model = tiny_model(vit=vit)
    frames, verdicts = run(model, 1, make_clip())
    assert [frame.frame_idx for frame in frames] == list(range(4)) and max(map(len, frames)) > 2
    for frame in frames:
        assert len(set(frame.track_ids.tolist())) == len(frame) <= 10
        assert (frame.boxes >= 0).all() and (frame.boxes <= [256, 192, 256, 192]).all()
        for box, mask in zip(frame.boxes, frame.masks):
            assert mask['size'] == [192, 256]
            rows, columns = np.nonzero(decode_rle(mask))
            if len(rows):                       # one pixel of the mask map is four of the frame
                assert box[0] - 4 <= columns.min() and columns.max() <= box[2] + 4
                assert box[1] - 4 <= rows.min() and rows.max() <= box[3] + 4
    others, other_verdicts = run(model, 4, make_clip())
    for a, b in zip(frames, others):
        assert a.track_ids.tolist() == b.track_ids.tolist() and a.labels.tolist() == b.labels.tolist()
        np.testing.assert_allclose(a.boxes, b.boxes, rtol=1e-3, atol=1e-2)
    assert [(v.track_id, v.label) for v in verdicts] == [(v.track_id, v.label) for v in other_verdicts]


def test_frames_without_detections_and_a_new_video():
    model = tiny_model(test_cfg=dict(score_thr=1.1))
    frames, verdicts = run(model, 4, make_clip())
    assert [len(frame) for frame in frames] == [0] * 4 and verdicts == []
    model = tiny_model()
    first, second = (run(model, 2, make_clip())[0] for _ in range(2))
    assert [x.track_ids.tolist() for x in first] == [x.track_ids.tolist() for x in second]


def test_centres_at_the_border_stay_inside_the_map():
    head = tiny_model().bbox_head
    tracking = torch.randn(16, 12, 16)
    boxes = torch.tensor([[127., 95., 128., 96.], [0., 0., 1., 1.], [3., 4., 5., 4.]])
    assert torch.equal(head.embed(tracking, boxes, torch.round), tracking[:, [11, 0, 0], [15, 0, 0]].T)
    boxes = torch.tensor([[36., 36., 48., 48.]])                              # centre 42 / 8 = 5.25
    assert torch.equal(head.embed(tracking, boxes), tracking[:, 5, 5][None])
    boxes = boxes + 4.                                                        # 5.75
    assert torch.equal(head.embed(tracking, boxes), tracking[:, 5, 5][None])
    assert torch.equal(head.embed(tracking, boxes, torch.round), tracking[:, 6, 6][None])


@pytest.mark.parametrize('precision', ['fp32', 'bf16'])
def test_optimised_model_finds_the_same_objects(precision):
    plain, _ = run(tiny_model(), 2, make_clip(2))
    with torch.inference_mode():
        fast, verdicts = run(optimize_for_inference(tiny_model(), precision), 2, make_clip(2))
    assert len(plain[0]) and all(frame.boxes.dtype == np.float32 for frame in fast) and len(verdicts)
    if precision == 'fp32':
        for a, b in zip(plain, fast):
            assert a.labels.tolist() == b.labels.tolist() and a.track_ids.tolist() == b.track_ids.tolist()
            np.testing.assert_allclose(a.scores, b.scores, rtol=1e-3, atol=1e-4)
            for one, other in zip(a.masks, b.masks):
                assert (decode_rle(one) != decode_rle(other)).mean() < 0.002
