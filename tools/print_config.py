#!/usr/bin/env python3
"""Print a config with all its bases and options joined.

    python tools/print_config.py CONFIG [--cfg-options KEY=VALUE ...]
"""
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # runs in a checkout, installed or not

from mmvis import engine  # noqa: E402  (what is asked of it loads PyTorch, --help does not)
from mmvis.cli import ToolParser, run_tool  # noqa: E402
from mmvis.engine import CfgOptions  # noqa: E402


def main() -> None:
    parser = ToolParser(description='Print a config with all its bases and options joined.')
    parser.add_argument('config', help='config file, or its name under configs/')
    parser.add_argument('--cfg-options', nargs='+', action=CfgOptions, metavar='KEY=VALUE',
                        help='change keys of the config')
    args = parser.parse_args()
    print(engine.load_config(args.config, args.cfg_options).pretty_text)


if __name__ == '__main__':
    run_tool(main)
