"""Two processes average the gradients of their halves of a batch."""
import subprocess
import sys
from pathlib import Path

import torch


def check_two_processes(system: str, folder: Path, *size: str) -> None:
    """Run nccl_step.py: on two GPUs, or without any on the CPU."""
    script, file = Path(__file__).with_name('nccl_step.py'), folder / 'grads.pth'
    subprocess.run([sys.executable, '-m', 'torch.distributed.run', '--nproc-per-node=2', '--rdzv-backend=c10d',
                    '--rdzv-endpoint=127.0.0.1:0', str(script), system, str(file), *size], check=True, timeout=900)
    together, halves = torch.load(file, weights_only=True)
    assert together
    for name, grad in together.items():
        # DDP gives a parameter that no process has used a gradient of 0
        expected = halves.get(name, torch.zeros_like(grad))
        # sums of a GPU come in any order, and small numbers out of large ones differ by what these are rounded to
        atol = 1e-5 + (1e-4 * expected.abs().max().item() if torch.cuda.is_available() else 0)
        torch.testing.assert_close(grad, expected, rtol=1e-4, atol=atol, msg=name)
