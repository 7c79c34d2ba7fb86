"""Figures of matplotlib, which is imported when one is made."""
from contextlib import contextmanager
from pathlib import Path
from typing import Iterator, Tuple

import numpy as np

from mmvis.errors import InputError
from mmvis.structures.output_file import replacing


@contextmanager
def new_figure(path: Path, rows: int, columns: int, size: Tuple[float, float]) -> Iterator[np.ndarray]:
    """Axes [rows, columns] to be drawn on; the figure is written when the block ends well.

    Args:
        path: of the picture, a PNG if it has no suffix.
        size: of the figure, width and height in inches.

    Raises:
        InputError: matplotlib makes no such kind of file, or it cannot be written.
    """
    import matplotlib
    matplotlib.use('Agg')
    from matplotlib import pyplot
    suffix = path.suffix or '.png'
    figure, axes = pyplot.subplots(rows, columns, figsize=size, squeeze=False)
    try:
        kinds = sorted(figure.canvas.get_supported_filetypes())
        if suffix[1:].lower() not in kinds:
            raise InputError(f'{path} cannot be written: no picture is made as {suffix}, but as {", ".join(kinds)}.')
        yield axes
        figure.tight_layout()
        with replacing(path, suffix=f'.tmp{suffix}') as temporary:
            figure.savefig(temporary, dpi=120)
    finally:
        pyplot.close(figure)
