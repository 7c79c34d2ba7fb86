"""Every system of the toolbox as a tiny model. A system that joins adds its line."""
from types import ModuleType
from typing import Dict, NamedTuple, Tuple

from helpers import tiny_iai, tiny_ifc, tiny_instanceformer, tiny_masktrack, tiny_memcnp, tiny_sipmask, tiny_videomt


class TinySystem(NamedTuple):
    """``module`` has tiny_config() and tiny_model(); ``clip`` is the number of frames of a training clip. Then the most
    waits for a GPU and blocking copies to it: of a frame in inference, and of a training step of two clips."""
    module: ModuleType
    clip: int
    frame: Tuple[int, int] = (8, 4)
    step: Tuple[int, int] = (16, 24)


SYSTEMS: Dict[str, TinySystem] = {
    'condinst_iai': TinySystem(tiny_iai, 3, (3, 0), (4, 3)),
    'ifc': TinySystem(tiny_ifc, 3, (6, 0), (3, 0)),
    'instanceformer': TinySystem(tiny_instanceformer, 3, (1, 0), (3, 0)),
    'masktrack_rcnn': TinySystem(tiny_masktrack, 2, (7, 0), (9, 0)),
    'memcnp': TinySystem(tiny_memcnp, 2, (5, 0), (5, 0)),
    'sipmask': TinySystem(tiny_sipmask, 2, (6, 0), (2, 0)),
    'videomt': TinySystem(tiny_videomt, 2, (1, 0), (4, 0)),
}
