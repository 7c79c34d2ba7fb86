"""How long the processes of a job wait for one another.

A process whose videos are done may have to wait for hours while another one works on: a limit on that would end healthy
runs, no limit would let a lost machine hold the others for ever. So each process tells of its progress, and one that waits
gives up when another has made none for so long.
"""
import re
import time
from contextlib import contextmanager
from typing import Iterator, Optional

from mmengine.config import Config
from mmengine.dist import get_rank, get_world_size, is_distributed
from torch.distributed.distributed_c10d import _get_default_store

from mmvis.errors import InputError, LostProcess

from .launch import TIMEOUT_SECONDS

_TELL_SECONDS, _LONGEST_PAUSE = 5., 1.
_TIMEOUTS = re.compile('Timed out waiting|Watchdog caught collective operation timeout|Timeout waiting for|timed out after|'
                       'wait timeout')
_LOST = re.compile('Connection (closed|reset) by peer|Broken pipe|remote process exited|recvValue failed|sendBytes failed|'
                   'failed to recv|Connection was likely closed|Socket Timeout|unhandled system error')


def patience(cfg: Config) -> float:
    """Seconds that the processes of a run wait for one another, ``env_cfg.dist_cfg.timeout``."""
    return ((cfg.get('env_cfg') or {}).get('dist_cfg') or {}).get('timeout', TIMEOUT_SECONDS)


class Meeting:
    """The progress of the processes of a job, in the store of its process group.

    Args:
        seconds: that a process waits for one that makes no progress.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.rank, self.size = get_rank(), get_world_size()
        self._store = _get_default_store() if is_distributed() and self.size > 1 else None
        self._told = -float('inf')

    def tell(self) -> None:
        """This process has done something."""
        if self._store is not None and time.monotonic() - self._told > min(_TELL_SECONDS, self.seconds / 10):
            self._told = time.monotonic()
            self._add(f'mmvis/progress/{self.rank}', 1)

    def wait(self) -> None:
        """Come back when all processes have called this as often.

        Raises:
            LostProcess: one has not come, and made no progress for so long.
        """
        if self._store is None:
            return
        number = self._add(f'mmvis/meetings/{self.rank}', 1)
        missing = {rank: (-1, time.monotonic()) for rank in range(self.size) if rank != self.rank}
        pause = 0.001
        while missing:
            for rank, (progress, since) in list(missing.items()):
                if self._add(f'mmvis/meetings/{rank}', 0) >= number:
                    del missing[rank]
                    continue
                now = self._add(f'mmvis/progress/{rank}', 0)
                if now != progress:
                    missing[rank] = now, time.monotonic()
                elif time.monotonic() - since > self.seconds:
                    raise LostProcess(f'Process {rank} of the job has made no progress for {self.seconds:g} s, while process '
                                      f'{self.rank} waited for it: {_ADVICE}')
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE, self.seconds / 10)

    def _add(self, key: str, number: int) -> int:
        try:
            return self._store.add(key, number)
        except RuntimeError as error:
            raise LostProcess('The process that all others meet at, process 0 of the job, is gone: what it, or its machine, '
                              'has said tells why.') from error


_ADVICE = ('it hangs, or its machine is gone. With patience for more: --cfg-options env_cfg.dist_cfg.timeout=SECONDS.')


@contextmanager
def lost_processes_told(seconds: float) -> Iterator[None]:
    """Tell in a sentence that a collective call was in vain: another process has ended, or hangs.

    Raises:
        LostProcess: so it is.
    """
    try:
        yield
    except RuntimeError as error:
        reason = _reason(str(error), seconds) if is_distributed() and not isinstance(error, InputError) else None
        if reason is None:
            raise
        raise LostProcess(reason) from error


def _reason(text: str, seconds: float) -> Optional[str]:
    if _TIMEOUTS.search(text):
        return f'Process {get_rank()} of the job has waited {seconds:g} s for another in vain: {_ADVICE}'
    if _LOST.search(text):
        return (f'Process {get_rank()} of the job has lost another one: what that, or the launcher on its machine, has said '
                'tells why.')
    return None
