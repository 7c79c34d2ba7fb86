"""The memory: what a read and a write do, and writes of several processes."""
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
import torch.nn.functional as F

from mmvis.models.memcnp.memory import SlotMemory


def tiny_memory(seed: int = 0) -> SlotMemory:
    torch.manual_seed(seed)
    return SlotMemory(num_slots=5, channels=6, momentum=0.9)


def inputs(num: int = 2, seed: int = 1):
    draw = torch.Generator().manual_seed(seed)
    return torch.randn(num, 6, 3, 4, generator=draw), torch.rand(num, 4, 3, 4, generator=draw)


def written(memory, features, boxes):
    """The slots after a write, pixel by pixel."""
    slots = memory.feat_units.weight.detach().clone()
    pixels = [[] for _ in slots]
    for b in range(len(features)):
        for y in range(3):
            for x in range(4):
                if boxes[b, :, y, x].isnan().any():
                    continue
                likeness = [F.cosine_similarity(features[b, :, y, x], slot[:6], dim=0) for slot in slots]
                entry = torch.cat([features[b, :, y, x], boxes[b, :, y, x]])
                pixels[int(torch.stack(likeness).argmax())].append(entry)
    means = [sum(x) / (len(x) + 1e-6) if x else torch.zeros(10) for x in pixels]
    assert any(not x for x in pixels) or len(pixels) == 5
    return 0.9 * slots + 0.1 * torch.stack(means)


def test_write_moves_slots_to_the_mean_of_their_pixels():
    memory, (features, boxes) = tiny_memory(), inputs()
    boxes[1, :, 2] = float('nan')
    expected = written(memory, features, boxes)
    memory(features, boxes)
    torch.testing.assert_close(memory.feat_units.weight.detach(), expected)


def test_read_uses_the_new_slots_and_the_old_likeness():
    memory, (features, boxes) = tiny_memory(), inputs()
    old = memory.feat_units.weight.detach().clone()
    out = memory(features, boxes)
    new = memory.feat_units.weight
    pixel = features[1, :, 2, 3]
    share = torch.stack([F.cosine_similarity(pixel, slot[:6], dim=0) for slot in old]).softmax(0)
    read = sum(s * slot / slot.norm() for s, slot in zip(share, new))
    torch.testing.assert_close(out[1, :, 2, 3], memory.mlp(read))
    assert not torch.equal(out, tiny_memory()(features))


def test_without_boxes_nothing_is_written():
    memory, (features, _) = tiny_memory(), inputs()
    before = memory.feat_units.weight.detach().clone()
    memory(features)
    assert torch.equal(memory.feat_units.weight, before)


def test_gradients_go_to_the_slots_and_not_to_the_features():
    memory, (features, boxes) = tiny_memory(), inputs()
    features.requires_grad_()
    # Two levels: the second write comes before the first read is differentiated.
    (memory(features, boxes).sum() + memory(features[:1], boxes[:1]).sum()).backward()
    assert features.grad is None and memory.feat_units.weight.grad.abs().sum() > 0


def _write_as_rank(rank: int, folder, sizes) -> None:
    torch.set_num_threads(1)
    dist.init_process_group('gloo', init_method=f'file://{folder}/store', rank=rank, world_size=2)
    memory, (features, boxes) = tiny_memory(), inputs(3)
    mine = slice(0, sizes[0]) if rank == 0 else slice(sizes[0], 3)
    for _ in range(2):
        memory(features[mine], boxes[mine])
    torch.save(memory.feat_units.weight.detach(), f'{folder}/{rank}.pth')
    dist.destroy_process_group()


def test_processes_write_the_same_memory_as_one(tmp_path):
    """Images are spread unevenly: sums and counts must be joined, not means."""
    mp.start_processes(_write_as_rank, (str(tmp_path), (1, 2)), nprocs=2, start_method='fork')
    memory, (features, boxes) = tiny_memory(), inputs(3)
    for _ in range(2):
        memory(features, boxes)
    first, second = (torch.load(tmp_path / f'{rank}.pth') for rank in (0, 1))
    assert torch.equal(first, second)
    torch.testing.assert_close(first, memory.feat_units.weight.detach())
