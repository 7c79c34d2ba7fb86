"""The READMEs of the configs say what the configs make of 1, 2, 4 and 8 GPUs."""
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / 'tools'))

import recipe_tables  # noqa: E402

READMES = sorted(recipe_tables.CONFIGS.glob('*/README.md'))


@pytest.mark.parametrize('readme', READMES, ids=lambda path: path.parent.name)
def test_readmes_have_the_table_of_now(readme):
    table = recipe_tables.markdown(readme.parent)
    now = recipe_tables.replaced(readme, recipe_tables.MARK, table)
    assert now == readme.read_text(encoding='utf-8'), 'run: python tools/recipe_tables.py --write'
    assert table.count('**') == 2 * (table.count('\n') - 2)  # each recipe stands on one of these numbers of GPUs as it is
    for path in recipe_tables.published(readme.parent):
        assert f'`{path.stem}`' in table


def test_every_system_has_its_table():
    assert {path.parent.name for path in READMES} == {path.parent.name for path in recipe_tables.CONFIGS.glob('*/*.py')
                                                   if path.parent.name != '_base_'}


@pytest.mark.parametrize('recipe, batch_size, cells', [
    (32, 8, ['8 x 4', '8 x 2', '**8**', '4']), (4, 2, ['2 x 2', '**2**', '1', 'not 4: 8']), (8, 8, ['**8**', '4', '2', '1']),
    (12, 4, ['4 x 3', '3 x 2', '3', 'not 12: 8 or 16'])])
def test_cells(recipe, batch_size, cells):
    assert [recipe_tables.cell(recipe, batch_size, gpus) for gpus in (1, 2, 4, 8)] == cells
