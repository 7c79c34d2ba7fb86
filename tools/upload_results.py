#!/usr/bin/env python3
"""Send a zip of results to a CodaLab or Codabench competition, wait for the score and print it.

    python tools/upload_results.py submission.zip --server https://www.codabench.org --competition 1234
    python tools/upload_results.py --server ... --competition 1234 --submission 567      wait for one that was sent before

The CodaLab server of YouTube-VIS 2019, 2021, 2022 and OVIS is closed since January 2026: --benchmark names what it was.

User name and password come from the environment (MMVIS_UPLOAD_USER, MMVIS_UPLOAD_PASSWORD) or are asked for; they are
never taken from the command line and never printed. tools/make_submission.py makes the zip.
"""
import argparse
import getpass
import os
import sys
from pathlib import Path
from typing import Optional, Tuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # runs in a checkout, installed or not

from mmvis.apis import (  # noqa: E402
    BENCHMARKS,
    CLOSED,
    PLATFORMS,
    Account,
    UploadError,
    account_from_environment,
    check_open,
    connect,
    tell_scores,
    upload,
    wait_for_score,
)
from mmvis.apis.submit import PASSWORD_VARIABLE, USER_VARIABLE, say  # noqa: E402
from mmvis.cli import ToolParser, number_in, run_tool  # noqa: E402
from mmvis.errors import InputError  # noqa: E402
from mmvis.evaluation.output import write_json  # noqa: E402
from mmvis.evaluation.submission import check_submission  # noqa: E402
from mmvis.structures.output_file import check_output  # noqa: E402


def parse_args() -> argparse.Namespace:
    table = '; '.join(f'{name}: {benchmark.server}/competitions/{benchmark.competition}'
                      + (f' (closed since {CLOSED[benchmark.server]})' if benchmark.server in CLOSED else '')
                      for name, benchmark in BENCHMARKS.items())
    parser = ToolParser(description='Send results to a competition and wait for the score.', epilog=f'Known: {table}. '
                        'Give --server and --competition of the place that took a competition over.')
    parser.add_argument('zip', nargs='?', help='zip with results.json at its top level')
    parser.add_argument('--benchmark', choices=tuple(BENCHMARKS), help='competition by the name of its set')
    parser.add_argument('--competition', type=int, metavar='ID', help='number of the competition')
    parser.add_argument('--server', metavar='URL', help='address of the server')
    parser.add_argument('--platform', choices=tuple(PLATFORMS),
                        help='kind of the server, if its address does not say it')
    parser.add_argument('--phase', type=int, metavar='ID', help='phase of the competition; by default the open one')
    parser.add_argument('--description', default='', help='note beside the submission')
    parser.add_argument('--submission', type=int, metavar='ID', help='wait for this submission, send nothing')
    parser.add_argument('--minutes', type=number_in(0, kind=float), default=60.,
                        help='how long to wait for the score (%(default)g)')
    parser.add_argument('--no-wait', action='store_true', help='send and leave')
    parser.add_argument('--storage-host', action='append', default=[], metavar='HOST',
                        help='a host that the server may have the zip sent to, beside its own and the known storages')
    parser.add_argument('--json', metavar='FILE', help='also write the scores there')
    return parser.parse_args()


def choose_competition(args: argparse.Namespace) -> Tuple[str, int, Optional[str]]:
    """Server, number, and platform if it is known."""
    known = BENCHMARKS.get(args.benchmark)
    server = args.server or (known and known.server)
    if known and not args.server:  # one that is given is tried all the same: it may be open again
        check_open(server)
    # The number in the table is one of the table's server; another server has its own.
    known = known if known and server == known.server else None
    competition = known and known.competition if args.competition is None else args.competition
    if server is None or competition is None:
        raise InputError('Where to? Give --benchmark, or --server and --competition.')
    return server, competition, args.platform or (known and known.platform)


def read_account(server: str) -> Account:
    """From the environment, or asked for."""
    account = account_from_environment()
    if account is None and not sys.stdin.isatty():
        raise InputError(f'No user name and password for {server}: set {USER_VARIABLE} and {PASSWORD_VARIABLE} in the '
                         'environment.')
    if account is None:
        user = os.environ.get(USER_VARIABLE) or input(f'User name on {server}: ')
        account = Account(user, getpass.getpass(f'Password of {user} on {server}: '))
    return account


def main() -> None:
    args = parse_args()
    server, number, platform = choose_competition(args)
    if args.json:
        check_output(args.json, [args.zip])
    if args.submission is None:
        if args.zip is None:
            raise InputError('Which zip is to be sent? (tools/make_submission.py makes one.)')
        check_submission(args.zip)
    competition = connect(server, number, read_account(server), platform, args.phase, storage_hosts=args.storage_host)
    if args.submission is None:
        submission = upload(competition, args.zip, args.description)
        say(f'{args.zip} is submission {submission} of {competition.page}')
        if args.no_wait:
            return
    else:
        submission = args.submission
        competition.login()
    try:
        scores = wait_for_score(competition, submission, args.minutes, say)
    except KeyboardInterrupt:
        raise UploadError(f'Stopped waiting. Submission {submission} goes on: --submission {submission} waits on.'
                          ) from None
    tell_scores(scores)
    if args.json:
        write_json(args.json, dict(competition=competition.page, submission=submission, scores=scores))


if __name__ == '__main__':
    run_tool(main)
