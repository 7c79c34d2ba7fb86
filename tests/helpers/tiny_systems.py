"""Every system of the toolbox, in one table for all tests that go through them. A system that joins adds its line."""
from types import ModuleType
from typing import Any, Dict, NamedTuple, Tuple

from helpers import (
    tiny_iai,
    tiny_ifc,
    tiny_instanceformer,
    tiny_lvmt,
    tiny_masktrack,
    tiny_memcnp,
    tiny_segmenter,
    tiny_sipmask,
    tiny_videomt,
)
from torch import nn


class System(NamedTuple):
    """A system as a tiny model, and by its published config.

    Attributes:
        module: has tiny_config() and tiny_model().
        config: that the GPU checks build, with random weights.
        clip: frames of a training clip.
        frame: the most waits for a GPU, and blocking copies to it, of a frame with ten objects.
        step: the same of a training step of two clips, and the most copies to the GPU that nobody waits for.
        ten: changes of the tiny model that let it see ten objects.
        kind: which model of the module, where it has several.
    """
    module: ModuleType
    config: str
    clip: int
    frame: Tuple[int, int]
    step: Tuple[int, int, int]
    ten: dict
    kind: str = ''

    def tiny_config(self, **changes: Any) -> dict:
        return self.module.tiny_config(*filter(None, [self.kind]), **changes)

    def tiny_model(self, **changes: Any) -> nn.Module:
        return self.module.tiny_model(*filter(None, [self.kind]), **changes)


SLOTS = dict(num_queries=16)
SYSTEMS: Dict[str, System] = {
    'condinst_iai': System(tiny_iai, 'ytvis2019_iai_condinst_r50.py', 3, (3, 0), (4, 3, 21), dict(max_obj_num=12)),
    'eomt': System(tiny_videomt, 'eomt_vit_small_coco.py', 1, (2, 0), (5, 0, 9), SLOTS, 'EoMT'),
    'ifc': System(tiny_ifc, 'ifc_r50_ytvis2019.py', 3, (6, 0), (3, 0, 15), SLOTS),
    'instanceformer': System(tiny_instanceformer, 'instanceformer_r50_ovis.py', 3, (1, 0), (3, 0, 9),
                             dict(num_candidates=50)),
    'lvmt': System(tiny_lvmt, 'lvmt_vit_small_dinov3_ovis.py', 2, (1, 0), (4, 0, 14), SLOTS),
    'mask2former': System(tiny_segmenter, 'mask2former_r50_coco.py', 1, (2, 0), (6, 0, 10), SLOTS, 'Mask2Former'),
    'masktrack_rcnn': System(tiny_masktrack, 'masktrack_rcnn_r50_fpn_1x_youtubevos.py', 2, (7, 0), (9, 0, 14), {}),
    'memcnp': System(tiny_memcnp, 'vitmae_cnp_contrast_ms_1x.py', 2, (6, 0), (5, 0, 20), {}),
    'minvis': System(tiny_segmenter, 'minvis_r50_ytvis2019.py', 2, (2, 0), (6, 0, 10), SLOTS, 'MinVIS'),
    'sipmask': System(tiny_sipmask, 'sipmask_r50_caffe_fpn_gn_1x.py', 2, (7, 0), (2, 0, 8), {}),
    'videomt': System(tiny_videomt, 'videomt_vit_small_ytvis2019.py', 2, (1, 0), (4, 0, 14), SLOTS),
}
