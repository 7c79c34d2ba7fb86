"""Constructors take built parts or the config of a part."""
from typing import Any

from mmvis.registry import MODELS


def build_part(part: Any, **defaults: Any) -> Any:
    """A dict is built from the registry (``defaults`` fill keys that it lacks); anything else is returned as it is."""
    return MODELS.build({**defaults, **part}) if isinstance(part, dict) else part
