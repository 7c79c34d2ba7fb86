#!/usr/bin/env python3
"""The table of systems in README.md, made from files.

    python tools/systems_table.py [--write]

docs/systems/ has what it is made of: systems.json (papers, published figures, names) and what these commands write:

    python tools/check_parity.py --all tests/golden --json docs/systems/parity.json
    python tools/eval_results.py results.json data/sample/valid.json --json docs/systems/FOLDER_sample_ap.json
    python tools/benchmark.py inference CONFIG --threads 1 --json docs/systems/FOLDER_speed.json

FOLDER is the system's folder under configs/. A figure without a file is "not measured".
"""
import json
import sys
from pathlib import Path
from typing import Any, Dict, List, Optional

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # runs in a checkout, installed or not

from marked_table import replaced  # noqa: E402

from mmvis.cli import ToolParser, run_tool  # noqa: E402
from mmvis.model_zoo import find_entry, name_of  # noqa: E402
from mmvis.structures.output_file import write_output  # noqa: E402

MEASURED = ROOT / 'docs' / 'systems'
README = ROOT / 'README.md'
#: The line above the table in README.md; the table ends with the first empty line.
MARK = '<!-- made by: python tools/systems_table.py --write -->'
UNKNOWN = 'not measured'


def read(name: str) -> Optional[Any]:
    path = MEASURED / name
    return json.loads(path.read_text(encoding='utf-8')) if path.is_file() else None


def parity(system: Dict[str, Any]) -> str:
    """Stages that agree, of those compared in all files of the system."""
    files = [row for row in (read('parity.json') or dict(files=[]))['files'] if row['system'] == system['parity']]
    if not files:
        return UNKNOWN
    total = sum(row['compared'] + row['unread'] for row in files)
    return f'{total - sum(row["beyond"] + row["unread"] for row in files)} of {total} stages'


def sample_ap(system: Dict[str, Any]) -> str:
    numbers = read(f'{system["folder"]}_sample_ap.json')
    return UNKNOWN if numbers is None else f'{dict(zip(numbers["names"], numbers["stats"]))["AP"]:.3f}'


def speed(system: Dict[str, Any]) -> str:
    """Frames a CPU second on one thread, and yardsticks a frame."""
    record = read(f'{system["folder"]}_speed.json')
    run = next((run for run in record['runs'] if run['threads'] == 1), None) if record else None
    return UNKNOWN if run is None else f'{1 / run["seconds"]:.2f} ({run["seconds"] / run["yardstick"]:.2f})'


def checkpoint(system: Dict[str, Any]) -> str:
    entry = find_entry(system['checkpoint'])
    return f'[{name_of(entry)}]({entry["url"] or entry["page"]})'


def published(system: Dict[str, Any]) -> str:
    return f'{system["published"]} ({system["published_for"]})' if system['published'] else 'none at hand'


def markdown() -> str:
    """The table, one row a system."""
    lines = ['| system, paper | AP published | its checkpoint | parity | AP on the sample | frames a second here | command |',
             '|---|---|---|---|---|---|---|']
    for system in read('systems.json'):
        config = next((ROOT / 'configs' / system['folder']).glob(system['config']))
        cells = [f'[{system["name"]}](configs/{system["folder"]}), [{system["paper"]}]({system["page"]})',
                 published(system), checkpoint(system), parity(system), sample_ap(system), speed(system),
                 f'`python tools/test_video.py {config.name} CHECKPOINT --out results.json`']
        lines.append(f'| {" | ".join(cells)} |')
    return '\n'.join(lines) + '\n'


def main(arguments: Optional[List[str]] = None) -> None:
    parser = ToolParser(description='The table of systems in README.md, made from the files in docs/systems.')
    parser.add_argument('--write', action='store_true', help='put it into README.md (it is printed)')
    if parser.parse_args(arguments).write:
        write_output(README, replaced(README, MARK, markdown()))
    else:
        print(markdown(), end='')


if __name__ == '__main__':
    run_tool(main)
