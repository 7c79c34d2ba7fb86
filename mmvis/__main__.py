"""The command ``mmvis``, also ``python -m mmvis``: the tools as its subcommands. Imports no PyTorch.

A subcommand is a file of ``tools/``, run as if it had been called by its path: same options, same exit code.
"""
import ast
import difflib
import runpy
import sys
from pathlib import Path
from typing import Dict

from mmvis import cli
from mmvis.shipped import SHIPPED
from mmvis.version import __version__

TOOLS = SHIPPED / 'tools'
#: Subcommand -> its file.
COMMANDS: Dict[str, str] = {
    'train': 'train.py',
    'test': 'test_video.py',
    'demo': 'demo.py',
    'eval': 'eval_results.py',
    'convert': 'convert_annotations.py',
    'browse': 'browse_dataset.py',
    'statistics': 'dataset_statistics.py',
    'split': 'split_dataset.py',
    'sample': 'make_sample.py',
    'config': 'print_config.py',
    'models': 'list_models.py',
    'flops': 'get_flops.py',
    'curves': 'plot_log.py',
    'download': 'download_checkpoint.py',
    'publish': 'publish_model.py',
    'visualize': 'visualize_results.py',
    'view': 'view.py',
    'check': 'check_results.py',
    'zip': 'make_submission.py',
    'upload': 'upload_results.py',
    'to-transformers': 'to_transformers.py',
    'add-dinov3': 'add_dinov3.py',
}


def summary(tool: Path) -> str:
    """First line of a tool's docstring."""
    text = ast.get_docstring(ast.parse(tool.read_text(encoding='utf-8'))) or ''
    return text.split('\n')[0]


def usage() -> str:
    width = max(map(len, COMMANDS))
    lines = [f'  {name:<{width}}  {summary(TOOLS / file)}' for name, file in COMMANDS.items()]
    return '\n'.join(['usage: mmvis COMMAND [ARGUMENTS]', '', 'mmvis COMMAND --help lists the arguments of a command.', '',
                      *lines])


def main() -> None:
    """Run the subcommand of the command line."""
    cli.interrupt_in_one_line()
    command = sys.argv[1] if len(sys.argv) > 1 else '--help'
    if command in ('-h', '--help', '--version'):
        cli.run_tool(lambda: print(__version__ if command == '--version' else usage()))
        return
    if command not in COMMANDS:
        close = difflib.get_close_matches(command, COMMANDS, n=1)
        hint = f'did you mean {close[0]}?' if close else 'mmvis --help lists them.'
        sys.exit(f'mmvis: error: There is no command {cli.printable(command)!r}; {hint}')
    tool = TOOLS / COMMANDS[command]
    cli.program = f'mmvis {command}'
    sys.argv = [str(tool), *sys.argv[2:]]
    sys.path.insert(0, str(TOOLS))  # as for a script: tools import what stands beside them
    runpy.run_path(str(tool), run_name='__main__')


if __name__ == '__main__':
    main()
