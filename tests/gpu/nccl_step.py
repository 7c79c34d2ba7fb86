"""One training step on two GPUs, and the same two half batches one after the other on one: their gradients, in a file."""
import copy
import sys
from pathlib import Path

import torch
import torch.distributed as dist

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from gpu.systems import build, training_batch  # noqa: E402
from mmvis.engine.launch import init_dist  # noqa: E402


def gradients(model, wrapped, system, rank):
    torch.manual_seed(rank)
    model.zero_grad()
    data = model.data_preprocessor(training_batch(system), True)
    loss, _ = model.parse_losses(wrapped(data['inputs'], data['data_samples']))
    loss.backward()
    return {name: p.grad.cpu() for name, p in model.named_parameters() if p.grad is not None}


def main(system: str, path: str) -> None:
    init_dist('pytorch')
    rank = dist.get_rank()
    torch.backends.cudnn.allow_tf32 = False
    model = build(system).train().cuda()
    plain = copy.deepcopy(model)
    together = gradients(model, torch.nn.parallel.DistributedDataParallel(model, [rank]), system, rank)
    if rank == 0:
        halves = (copy.deepcopy(plain) for _ in range(2))      # a forward pass may change the model
        first, second = (gradients(model, model, system, half) for half, model in enumerate(halves))
        torch.save((together, {name: (first[name] + second[name]) / 2 for name in first}), path)
    dist.barrier()
    dist.destroy_process_group()


if __name__ == '__main__':
    main(*sys.argv[1:])
