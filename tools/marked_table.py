"""A table in a document that is made by a tool: it stands below a line that names the command, and ends with the first empty
line."""
from pathlib import Path

from mmvis.errors import InputError


def replaced(path: Path, mark: str, table: str) -> str:
    """The text of a document with the table of now.

    Raises:
        InputError: there is no table.
    """
    before, found, after = path.read_text(encoding='utf-8').partition(mark + '\n')
    if not found or '\n\n' not in after:
        raise InputError(f'{path} has no line {mark!r} with a table and an empty line below it.')
    return before + found + table + after[after.index('\n\n') + 1:]
