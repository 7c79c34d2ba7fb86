"""Compare a system with reference numbers of its official code, stage by stage.

    python tools/check_parity.py masktrackrcnn GOLDEN.json [--manifests DIR] [--dump FILE]
    python tools/check_parity.py --all DIR [--json FILE]

GOLDEN.json holds the numbers and the recipe; weights and inputs follow from its salt (tools/parity/fill.py). Prints a
line a stage and `compared N of N`; the exit status is 1 when a number is off or a key of the file was not read.
``--all`` prints what is off and one table of all systems.
"""
import argparse
import hashlib
import importlib
import json
import os
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import List, Optional

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

import torch  # noqa: E402
from mmengine.registry import DefaultScope  # noqa: E402
from parity.compare import Run  # noqa: E402

from mmvis.errors import InputError, InputMissingError  # noqa: E402
from mmvis.evaluation.output import write_json  # noqa: E402
from mmvis.structures.output_file import check_outputs, write_output  # noqa: E402

#: System -> module of tools/parity with a function ``stages(golden, manifest_dir, salt)``.
SYSTEMS = ('iai', 'ifc', 'instanceformer', 'lvmt', 'masktrackrcnn', 'memcnp', 'minvis', 'sipmask', 'videomt')


@dataclass
class Verdict:
    """What one file says: numbers of its stages that were compared, are beyond the tolerance, were not read.

    Attributes:
        file: below the folder of --all; sha256: of the file.
        worst: largest deviation in units of the tolerance.
    """
    system: str
    file: str
    sha256: str
    compared: int
    beyond: int
    unread: int
    worst: float

    @property
    def good(self) -> bool:
        return not self.beyond and not self.unread


def load_golden(path: Path) -> tuple:
    """(file with ``results_json`` joined to it where that file stands beside it, salt)."""
    if not path.is_file():
        raise InputMissingError(f'{path} does not exist.')
    try:
        golden = json.loads(path.read_text())
        salt = golden['salt'] if 'salt' in golden else golden['recipe']['salt']
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f'{path} is not a parity file: it needs a recipe with a salt ({error!r}).') from error
    if len(salt.split()) != 1:                       # a sentence: the name of the file is the salt
        salt = path.stem
    for name in dict.fromkeys((path.stem, salt)):
        companion = path.with_name(f'results_json_{name}.json')
        if companion.is_file():
            golden['results_json'] = json.loads(companion.read_text())
            break
    return golden, salt


def check(system: str, path: Path, manifest_dir: Optional[Path], dump: Optional[Path], brief: bool) -> Verdict:
    """Compare one file; ``brief`` prints only what is off."""
    if dump:
        check_outputs([dump, results_of(dump)], path.parent.glob('*.json'))
    golden, salt = load_golden(path)
    manifest_dir = manifest_dir or path.parent
    if not any(manifest_dir.glob('manifest*.json')):
        raise InputMissingError(f'{manifest_dir} holds no manifest*.json; name its folder with --manifests.')
    run = Run(golden)
    for key in {'recipe', 'salt'} & golden.keys():
        run.give((key,))
    print(f'{system}: {path} (salt {salt})', flush=True)
    for stage in importlib.import_module(f'parity.{system}').stages(golden, manifest_dir, salt):
        line = run.take(stage)
        if line and not (brief and line.startswith('ok')):
            print(line, flush=True)
    unread = run.unread()
    for missed in unread:
        print(f'FAIL  {".".join(map(str, missed))}: not read')
    print(f'compared {len(run.worst)} of {len(run.worst) + len(unread)}, {len(run.failed)} beyond tolerance')
    if dump:
        write_dump(run.ours, dump, salt)
    return Verdict(system, f'{path.parent.name}/{path.name}', hashlib.sha256(path.read_bytes()).hexdigest(),
                   len(run.worst), len(run.failed), len(unread), max(run.worst.values(), default=0.))


def check_all(folder: Path, json_file: Optional[Path]) -> int:
    """Compare every file of every system, print one table; 0 when all is well and no system lacks a file."""
    if json_file:
        check_outputs([json_file], folder.glob('*/*.json'))
    verdicts, missing = [], []
    for system in SYSTEMS:
        paths = [path for path in sorted((folder / system).glob('*.json'))
                 if not path.name.startswith(('manifest', 'results_json', 'timing'))]
        verdicts += [check(system, path, None, None, brief=True) for path in paths]
        missing += [] if paths else [system]
    print(f'\n{"system":16}{"file":44}{"compared":>10}{"beyond":>8}{"not read":>10}{"worst":>8}')
    for row in verdicts:
        print(f'{row.system:16}{row.file:44}{row.compared:10}{row.beyond:8}{row.unread:10}{row.worst:8.2g}'
              f'{"" if row.good else "  FAIL"}')
    for system in missing:
        print(f'{system:16}no file in {folder / system}  FAIL')
    for other in sorted({x.parent.name for x in folder.glob('*/*.json')} - set(SYSTEMS)):
        print(f'{other:16}no system of this name: not checked')
    print('worst: the largest deviation of a stage in units of its tolerance')
    if json_file:
        write_json(json_file, dict(files=[asdict(row) for row in verdicts]))
    return 0 if not missing and all(row.good for row in verdicts) else 1


def write_dump(ours: dict, path: Path, salt: str) -> None:
    """Our numbers in the form of the file; the results of videos beside it, as the reference has them."""
    results = ours.pop('results_json', None)
    if 'salt' not in ours:
        ours['recipe'] = {**ours['recipe'], 'salt': salt}
    for target, content in ((path, ours), (results_of(path), results)):
        if content is not None:
            write_output(target, json.dumps(content))
            print(f'wrote {target}')


def results_of(dump: Path) -> Path:
    return dump.with_name(f'results_json_{dump.stem}.json')


def main(argv: Optional[List[str]] = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('system', nargs='?', choices=SYSTEMS)
    parser.add_argument('golden', nargs='?', type=Path, help='reference numbers')
    parser.add_argument('--manifests', type=Path, help='folder of the manifest files (default: beside GOLDEN)')
    parser.add_argument('--dump', type=Path, help='write our numbers in the same form')
    parser.add_argument('--all', type=Path, metavar='DIR', help='check every file DIR/<system>/*.json, print one table')
    parser.add_argument('--json', type=Path, metavar='FILE', help='write the table of --all to this file')
    args = parser.parse_args(argv)
    if bool(args.all) == bool(args.golden) or (args.all and (args.manifests or args.dump)) or (args.json and not args.all):
        parser.error('give SYSTEM and GOLDEN.json, with --manifests and --dump if you like, or --all DIR, with --json')
    torch.set_num_threads(1)
    try:
        with DefaultScope.overwrite_default_scope('mmvis'):
            if args.all:
                return check_all(args.all, args.json)
            return 0 if check(args.system, args.golden, args.manifests, args.dump, brief=False).good else 1
    except (ValueError, OSError) as error:
        print(f'check_parity: {error}', file=sys.stderr)
        return 1


if __name__ == '__main__':
    sys.exit(main())
