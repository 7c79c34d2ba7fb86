"""One training step of two processes, and the same two half batches one after the other: their gradients, in a file.

    torchrun --nproc-per-node=2 tests/gpu/nccl_step.py SYSTEM FILE [tiny]

Every process goes through both halves: some losses ask the other processes, and one that asked alone would wait for ever.
``tiny`` takes the tiny model of the system; without GPUs all runs on the CPU.
"""
import copy
import sys
from pathlib import Path

import torch
import torch.distributed as dist

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from gpu.systems import build, training_batch  # noqa: E402
from helpers.tiny_systems import SYSTEMS  # noqa: E402

from mmvis.engine.launch import init_dist  # noqa: E402


def gradients(model, wrapped, batch, seed):
    torch.manual_seed(seed)
    model.zero_grad()
    data = model.data_preprocessor(batch, True)
    loss, _ = model.parse_losses(wrapped(data['inputs'], data['data_samples']))
    loss.backward()
    return {name: p.grad.cpu() for name, p in model.named_parameters() if p.grad is not None}


def main(system: str, path: str, size: str = '') -> None:
    init_dist('pytorch')
    rank = dist.get_rank()
    torch.backends.cudnn.allow_tf32 = False
    device = 'cuda' if torch.cuda.is_available() else 'cpu'
    tiny = SYSTEMS[system].tiny_model if size == 'tiny' else None
    model = (tiny() if tiny else build(system)).train().to(device)
    halves = [copy.deepcopy(model) for _ in range(2)]           # a forward pass may change the model
    wrapped = torch.nn.parallel.DistributedDataParallel(model, [rank] if device == 'cuda' else None,
                                                        find_unused_parameters=True)

    def batch():
        return training_batch(system, 1, 96, 160) if tiny else training_batch(system)

    together = gradients(model, wrapped, batch(), rank)
    first, second = (gradients(half, half, batch(), seed) for seed, half in enumerate(halves))
    if rank == 0:
        torch.save((together, {name: (first[name] + second[name]) / 2 for name in first}), path)
    dist.barrier()
    dist.destroy_process_group()


if __name__ == '__main__':
    main(*sys.argv[1:])
