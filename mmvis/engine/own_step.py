"""Models that go backward several times a step, in several processes."""
from typing import Any, Dict

from mmengine.model import BaseModel, MMDistributedDataParallel
from torch import Tensor, nn

from mmvis.registry import MODEL_WRAPPERS


def steps_by_itself(model: nn.Module) -> bool:
    """Whether a model has a ``train_step`` of its own (LVMT)."""
    return isinstance(model, BaseModel) and type(model).train_step is not BaseModel.train_step


@MODEL_WRAPPERS.register_module()
class OwnStepDataParallel(MMDistributedDataParallel):
    """Weights that start equal in all processes, and the model's own ``train_step``, which joins the gradients itself:
    mmengine's wrapper goes by ``forward`` alone, and joins them in every backward pass."""

    def train_step(self, data: Any, optim_wrapper: Any) -> Dict[str, Tensor]:
        return self.module.train_step(data, optim_wrapper)
