"""Changes of colour and sharpness. Frames are BGR; boxes and masks stay."""
from dataclasses import replace
from typing import Any, Callable, List, NamedTuple, Optional, Sequence, Tuple

import cv2
import numpy as np

from mmvis.datasets.clip import ClipFrame
from mmvis.errors import InputError
from mmvis.registry import TRANSFORMS

from .base import ClipTransform

Range = Tuple[float, float]


def _to_uint8(image: np.ndarray) -> np.ndarray:
    return np.clip(np.rint(image), 0, 255).astype(np.uint8)


class _Distortion(NamedTuple):
    """One draw of ClipPhotometric; None: step left out."""
    brightness: Optional[float]
    contrast: Optional[float]
    contrast_first: bool
    saturation: Optional[float]
    hue: Optional[float]
    channels: Optional[np.ndarray]


@TRANSFORMS.register_module()
class ClipPhotometric(ClipTransform):
    """The photometric distortion of SSD (Liu et al. 2016), each step with probability 1/2.

    Order: brightness (added), contrast (factor) here or after the colours with equal chance, saturation (factor) and
    hue (degrees, added) in HSV, permutation of the channels. Computed in float32, then rounded and clipped to 0..255.

    Args:
        brightness: largest change in grey levels.
        contrast, saturation: range of the factor.
        hue: largest change in degrees.
        swap_channels: whether channels may be permuted.
        per_frame: a draw for every frame (InstanceFormer trains so).
    """

    def __init__(self, brightness: float = 32, contrast: Range = (0.5, 1.5), saturation: Range = (0.5, 1.5),
                 hue: float = 18, swap_channels: bool = True, per_frame: bool = False,
                 keep_first: bool = False) -> None:
        super().__init__(per_frame, keep_first)
        self.brightness, self.contrast, self.saturation = brightness, tuple(contrast), tuple(saturation)
        self.hue, self.swap_channels = hue, swap_channels

    def draw(self, height: int, width: int, rng: np.random.Generator) -> _Distortion:
        def half(value: Any) -> Any:
            return value if rng.random() < 0.5 else None
        return _Distortion(
            brightness=half(rng.uniform(-self.brightness, self.brightness)), contrast=half(rng.uniform(*self.contrast)),
            contrast_first=rng.random() < 0.5, saturation=half(rng.uniform(*self.saturation)),
            hue=half(rng.uniform(-self.hue, self.hue)),
            channels=half(rng.permutation(3)) if self.swap_channels else None)

    def apply(self, frame: ClipFrame, drawn: _Distortion, inclusive: bool) -> ClipFrame:
        image = frame.image.astype(np.float32)
        if drawn.brightness is not None:
            image += drawn.brightness
        if drawn.contrast is not None and drawn.contrast_first:
            image *= drawn.contrast
        # always through HSV: values below 0 or above 255 do not come back from there as they went in
        image = _change_hsv(image, drawn.saturation, drawn.hue)
        if drawn.contrast is not None and not drawn.contrast_first:
            image *= drawn.contrast
        if drawn.channels is not None:
            image = image[..., drawn.channels]
        return replace(frame, image=_to_uint8(image))


def _change_hsv(image: np.ndarray, saturation: Optional[float], hue: Optional[float]) -> np.ndarray:
    """float32 BGR image with the saturation multiplied and the hue turned by degrees."""
    hsv = cv2.cvtColor(image, cv2.COLOR_BGR2HSV)
    if saturation is not None:
        hsv[..., 1] *= saturation
        if saturation > 1:
            hsv[..., 1] = hsv[..., 1].clip(0, 1)
    if hue is not None:
        hsv[..., 0] = (hsv[..., 0] + hue) % 360
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR)


@TRANSFORMS.register_module()
class ClipColorJitter(ClipTransform):
    """Brightness, contrast, saturation, hue, in this order, always applied; a range of (1, 1) leaves a step out.

    As detectron2's RandomBrightness, RandomContrast and RandomSaturation: blend with black, with the mean of the image,
    with its grey picture; after each step clipped to 0..255 and cut to whole grey levels.

    Args:
        brightness, contrast, saturation: range of the weight of the image in the blend.
        hue: largest turn in degrees.
    """

    def __init__(self, brightness: Range = (1, 1), contrast: Range = (1, 1), saturation: Range = (1, 1), hue: float = 0,
                 per_frame: bool = False, keep_first: bool = False) -> None:
        super().__init__(per_frame, keep_first)
        self.ranges = tuple(brightness), tuple(contrast), tuple(saturation)
        self.hue = hue

    def draw(self, height: int, width: int, rng: np.random.Generator) -> List[float]:
        return [rng.uniform(*one) for one in self.ranges] + [rng.uniform(-self.hue, self.hue)]

    def apply(self, frame: ClipFrame, drawn: List[float], inclusive: bool) -> ClipFrame:
        brightness, contrast, saturation, hue = drawn
        image = _blend(frame.image, brightness, lambda img: 0)
        image = _blend(image, contrast, lambda img: img.mean())
        image = _blend(image, saturation, lambda img: (img @ np.array([0.114, 0.587, 0.299]))[..., None])
        if hue:
            image = _to_uint8(_change_hsv(image.astype(np.float32), None, hue))
        return replace(frame, image=image)


def _blend(image: np.ndarray, weight: float, other: Callable[[np.ndarray], Any]) -> np.ndarray:
    """uint8 weight * image + (1 - weight) * other(image)."""
    if weight == 1:
        return image
    mixed = weight * image.astype(np.float32) + (1 - weight) * other(image)
    return np.clip(mixed, 0, 255).astype(np.uint8)


@TRANSFORMS.register_module()
class ClipColorShift(ClipTransform):
    """One or both (the choice is drawn too) of: a value added to all channels; a value added to hue and saturation.

    InstanceFormer colours the copies in its pseudo-clips so.

    Args:
        add: largest grey level added.
        hue_saturation: largest value added to hue and saturation, both on a scale of 0..255; the hue goes round.
    """

    def __init__(self, add: int = 40, hue_saturation: int = 5, per_frame: bool = False,
                 keep_first: bool = False) -> None:
        super().__init__(per_frame, keep_first)
        self.add, self.hue_saturation = add, hue_saturation

    def draw(self, height: int, width: int, rng: np.random.Generator) -> Tuple[int, int]:
        chosen = set(rng.choice(2, size=int(rng.integers(1, 3)), replace=False).tolist())
        add = int(rng.integers(-self.add, self.add + 1))
        turn = int(rng.integers(-self.hue_saturation, self.hue_saturation + 1))
        return (add if 0 in chosen else 0), (turn if 1 in chosen else 0)

    def apply(self, frame: ClipFrame, drawn: Tuple[int, int], inclusive: bool) -> ClipFrame:
        add, turn = drawn
        image = np.clip(frame.image.astype(np.int16) + add, 0, 255).astype(np.uint8)
        if turn:
            hsv = cv2.cvtColor(image, cv2.COLOR_BGR2HSV_FULL).astype(np.int16)
            hsv[..., 0] = (hsv[..., 0] + turn) % 256
            hsv[..., 1] = np.clip(hsv[..., 1] + turn, 0, 255)
            image = cv2.cvtColor(hsv.astype(np.uint8), cv2.COLOR_HSV2BGR_FULL)
        return replace(frame, image=image)


@TRANSFORMS.register_module()
class ClipBlur(ClipTransform):
    """Blur with probability ``prob``.

    Args:
        kernels: sizes in pixels; 'motion' draws one of them, 'gaussian' reads them as (width, height).
        kind: 'motion': along a line of drawn direction; 'gaussian': standard deviation drawn from ``sigma``.
        sigma: range of the standard deviation in pixels.
    """

    def __init__(self, prob: float = 0.25, kernels: Sequence[int] = (9, 11), kind: str = 'motion',
                 sigma: Range = (0.1, 2.0), per_frame: bool = False, keep_first: bool = False) -> None:
        super().__init__(per_frame, keep_first)
        if kind not in ('motion', 'gaussian'):
            raise InputError(f"ClipBlur: kind must be 'motion' or 'gaussian', got {kind!r}.")
        self.prob, self.kernels, self.kind, self.sigma = prob, tuple(kernels), kind, tuple(sigma)

    def draw(self, height: int, width: int, rng: np.random.Generator) -> Tuple[bool, int, float, float]:
        return (bool(rng.random() < self.prob), int(rng.choice(self.kernels)), float(rng.uniform(0, 180)),
                float(rng.uniform(*self.sigma)))

    def apply(self, frame: ClipFrame, drawn: Tuple[bool, int, float, float], inclusive: bool) -> ClipFrame:
        blurred, size, angle, sigma = drawn
        if not blurred:
            return frame
        if self.kind == 'gaussian':
            return replace(frame, image=cv2.GaussianBlur(frame.image, self.kernels, sigma))
        line = np.zeros((size, size), np.float32)
        line[:, size // 2] = 1
        centre = ((size - 1) / 2, (size - 1) / 2)
        line = cv2.warpAffine(line, cv2.getRotationMatrix2D(centre, angle, 1), (size, size))
        return replace(frame, image=cv2.filter2D(frame.image, -1, line / line.sum()))
