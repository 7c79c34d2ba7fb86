"""The files that a document holds: its blocks of Python whose first line is the name of a file."""
import re
from pathlib import Path
from typing import Dict

ROOT = Path(__file__).resolve().parents[2]


def files_of(document: str) -> Dict[str, str]:
    """Name -> text, in the order of the document, a path below the root of the project."""
    text = (ROOT / document).read_text(encoding='utf-8')
    return {block.split('\n', 1)[0][2:]: block for block in re.findall(r'```python\n(# \w+\.py\n.*?)```', text, re.S)}
