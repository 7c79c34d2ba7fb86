"""Draw the instances of a frame over the frame."""
import colorsys
from typing import Optional, Sequence, Tuple

import cv2
import numpy as np

from mmvis.structures import FrameInstances, decode_rle

_GOLDEN_RATIO = 0.618033988749895


def track_color(track_id: int) -> Tuple[int, int, int]:
    """BGR colour of a track, 0 to 255: the same in every frame, far from those of the ids beside it."""
    hue = (0.02 + track_id * _GOLDEN_RATIO) % 1.0
    # Hues come close again after some tens of ids; a change of brightness keeps those apart.
    saturation, value = ((0.9, 1.0), (0.55, 1.0), (0.9, 0.7))[track_id // 21 % 3]
    red, green, blue = colorsys.hsv_to_rgb(hue, saturation, value)
    return round(blue * 255), round(green * 255), round(red * 255)


def draw_frame(image: np.ndarray, frame: FrameInstances, classes: Optional[Sequence[str]] = None,
               thresh: float = 0.3, alpha: float = 0.45, numbers: Optional[Sequence[int]] = None) -> np.ndarray:
    """A copy of a frame with its instances on it.

    Args:
        image: uint8 [h, w, 3], BGR, of the original size.
        frame: the instances of the frame.
        classes: name of each label; without them the label's number is written.
        thresh: instances with a lower score in this frame are not drawn.
        alpha: weight of the colour over the masks, 0 to 1.
        numbers: of the colour of each instance (``AppearanceOrder``); by default the track's id.

    Returns:
        uint8 [h, w, 3], BGR.
    """
    canvas = image.copy()
    colors = [track_color(int(number)) for number in (frame.track_ids if numbers is None else numbers)]
    chosen = [i for i in range(len(frame)) if frame.scores[i] >= thresh]
    for i in chosen:
        if frame.masks[i] is not None:
            _draw_mask(canvas, decode_rle(frame.masks[i]), colors[i], alpha)
    for i in chosen:
        label = int(frame.labels[i])
        name = classes[label] if classes is not None and label < len(classes) else str(label)
        _draw_box(canvas, frame.boxes[i], f'{int(frame.track_ids[i])} {name} {frame.scores[i]:.2f}', colors[i])
    return canvas


def _draw_mask(canvas: np.ndarray, mask: np.ndarray, color: Tuple[int, int, int], alpha: float) -> None:
    if mask.shape != canvas.shape[:2]:
        raise ValueError(f'A mask of size {mask.shape} does not fit the picture of size {canvas.shape[:2]} (h, w).')
    x, y, w, h = cv2.boundingRect(mask)
    if w == 0:
        return
    mask, region = mask[y:y + h, x:x + w], canvas[y:y + h, x:x + w]
    inside = mask.astype(bool)
    region[inside] = (region[inside] * (1 - alpha) + np.array(color) * alpha).round().astype(np.uint8)
    outline, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE, offset=(x, y))
    cv2.drawContours(canvas, outline, -1, color, _line_width(canvas))


def _draw_box(canvas: np.ndarray, box: np.ndarray, text: str, color: Tuple[int, int, int]) -> None:
    height, width = canvas.shape[:2]
    limits = np.array([width - 1, height - 1, width - 1, height - 1])
    x1, y1, x2, y2 = np.clip(np.nan_to_num(box), 0, limits).round().astype(int).tolist()
    line = _line_width(canvas)
    cv2.rectangle(canvas, (x1, y1), (x2, y2), color, line)
    scale = max(0.35, min(height, width) / 900)
    (text_width, text_height), below = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, line)
    # Above the box where there is room, else inside its upper edge; never out of the picture on the right.
    bottom = y1 if y1 >= text_height + below else min(y1 + text_height + below, height - 1)
    left = max(0, min(x1, width - text_width - 1))
    cv2.rectangle(canvas, (left, bottom - text_height - below), (left + text_width, bottom), color, -1)
    dark = sum(color) > 360
    cv2.putText(canvas, text, (left, bottom - below // 2 - 1), cv2.FONT_HERSHEY_SIMPLEX, scale,
                (0, 0, 0) if dark else (255, 255, 255), line, cv2.LINE_AA)


def _line_width(canvas: np.ndarray) -> int:
    return max(1, round(min(canvas.shape[:2]) / 400))
