#!/usr/bin/env python3
"""The tables "published recipe on 1, 2, 4 and 8 GPUs" in the READMEs of the configs, made from the configs.

    python tools/recipe_tables.py [--write]
"""
import sys
from pathlib import Path
from typing import Dict, List, Optional, Tuple

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # runs in a checkout, installed or not

from marked_table import replaced  # noqa: E402

from mmvis.cli import ToolParser, run_tool  # noqa: E402
from mmvis.engine import load_config  # noqa: E402
from mmvis.engine.steps import nearest_totals, split_batch  # noqa: E402
from mmvis.structures.output_file import write_output  # noqa: E402

CONFIGS = ROOT / 'configs'
#: The line above the table in a README; the table ends with the first empty line.
MARK = '<!-- made by: python tools/recipe_tables.py --write -->'
GPUS = 1, 2, 4, 8
#: What marks configs that are not published recipes.
_OWN = 'sample', 'custom'


def published(folder: Path) -> List[Path]:
    """The configs of a system that are published recipes."""
    return [path for path in sorted(folder.glob('*.py')) if not any(word in path.stem for word in _OWN)]


def cell(recipe: int, batch_size: int, gpus: int) -> str:
    """Clips a GPU, x batches whose gradients accumulate; bold: the config as it stands, without ``--global-batch``."""
    split = split_batch(recipe, gpus, batch_size)
    if split is None:
        near = ' or '.join(map(str, nearest_totals(recipe, gpus)))
        return f'not {recipe}: {near}'
    if split.total == batch_size * gpus:
        return f'**{batch_size}**'
    return f'{split.batch_size}' if split.accumulated == 1 else f'{split.batch_size} x {split.accumulated}'


def markdown(folder: Path) -> str:
    """The table of a system: configs with one recipe in one row."""
    rows: Dict[Tuple[int, int], List[str]] = {}
    for path in published(folder):
        cfg = load_config(str(path))
        rows.setdefault((cfg.auto_scale_lr.base_batch_size, cfg.train_dataloader.batch_size), []).append(path.stem)
    lines = [f'| config | clips a step | 1 GPU | {" | ".join(f"{gpus} GPUs" for gpus in GPUS[1:])} |',
             f'|---|---|{"---|" * len(GPUS)}']
    for (recipe, batch_size), names in sorted(rows.items(), key=lambda row: row[1]):
        cells = [', '.join(f'`{name}`' for name in names), str(recipe), *(cell(recipe, batch_size, gpus) for gpus in GPUS)]
        lines.append(f'| {" | ".join(cells)} |')
    return '\n'.join(lines) + '\n'


def main(arguments: Optional[List[str]] = None) -> None:
    parser = ToolParser(description='The tables of published recipes in the READMEs of the configs, made from the configs.')
    parser.add_argument('--write', action='store_true', help='put them into the READMEs (they are printed)')
    write = parser.parse_args(arguments).write
    for readme in sorted(CONFIGS.glob('*/README.md')):
        table = markdown(readme.parent)
        if write:
            write_output(readme, replaced(readme, MARK, table))
        else:
            print(f'{readme.parent.name}\n{table}')


if __name__ == '__main__':
    run_tool(main)
