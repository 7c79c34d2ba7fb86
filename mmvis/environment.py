"""Numbers that come in environment variables: of OpenMP, of launchers, of batch systems."""
import os
import re
from typing import Mapping, Optional

from mmvis.errors import InputError

#: What may have started a process of several.
LAUNCHERS = ('none', 'pytorch', 'slurm', 'mpi')


def environment_number(name: str, default: Optional[int] = None, minimum: int = 0,
                       environ: Optional[Mapping[str, str]] = None) -> Optional[int]:
    """The whole number in an environment variable; ``default`` where it is not set, or set to nothing.

    Args:
        name: of the variable.
        default: the answer where it is unset or empty.
        minimum: the smallest number that makes sense.
        environ: the variables; by default those of this process.

    Raises:
        InputError: what stands there is no whole number, or one below ``minimum``.
    """
    text = (os.environ if environ is None else environ).get(name, '').strip()
    if not text:
        return default
    if not re.fullmatch('[+-]?[0-9]+', text) or int(text) < minimum:
        raise InputError(f'The environment variable {name} is {text!r}, which is no whole number of at least {minimum}: '
                         'set it to one, or unset it.')
    return int(text)


def thread_number(default: int, environ: Optional[Mapping[str, str]] = None) -> int:
    """``OMP_NUM_THREADS``; of a list ('4,2': nested regions of OpenMP) the first number, for the outermost region."""
    environ = os.environ if environ is None else environ
    outermost = environ.get('OMP_NUM_THREADS', '').split(',')[0]
    return environment_number('OMP_NUM_THREADS', default, 1, {'OMP_NUM_THREADS': outermost})
