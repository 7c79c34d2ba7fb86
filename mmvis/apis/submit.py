"""From a results file to a score: check, zip, send, wait."""
import os
from pathlib import Path
from typing import Callable, Dict, Optional, Union

from mmvis.cli import printable
from mmvis.errors import InputError, InputMissingError
from mmvis.evaluation.results_check import Target, check_results
from mmvis.evaluation.submission import write_submission

from .benchmarks import BENCHMARKS, check_open
from .competition import Account, connect, upload, wait_for_score

USER_VARIABLE, PASSWORD_VARIABLE = 'MMVIS_UPLOAD_USER', 'MMVIS_UPLOAD_PASSWORD'
Say = Callable[[str], None]


def say(text: str) -> None:
    """Print a line; what a server has written in it cannot move the cursor."""
    print(printable(text), flush=True)


def pack_results(results: Union[str, Path], target: Target, zip_path: Union[str, Path], tell: Say = say) -> None:
    """Check a results file and pack it for its server; what is found is told.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the server would not take it. No zip is made.
    """
    if not os.path.isfile(results):
        raise InputMissingError(f'{results}: there is no such file.')
    if target.videos is None:
        tell(f'note: no annotation file of {target.source} was found: video ids, sizes and lengths are not checked')
    report = check_results(results, target)
    for line in report.lines():
        tell(line)
    if report.num_faults:
        raise InputError(f'{results} has {report.num_faults} faults, so no zip is made.'
                         + (f' tools/check_results.py --fix mends {report.num_mendable} values.'
                            if report.num_mendable else ''))
    write_submission(results, zip_path)
    tell(f'{zip_path}: {report.num_entries} entries of {results}, {os.path.getsize(zip_path) / 1e6:.1f} MB')


def account_from_environment() -> Optional[Account]:
    """Who sends, if the environment says it."""
    user, password = os.environ.get(USER_VARIABLE), os.environ.get(PASSWORD_VARIABLE)
    return Account(user, password) if user and password else None


def send_results(zip_path: Union[str, Path], benchmark: str, account: Account, tell: Say = say) -> Dict[str, str]:
    """Send a zip to the competition of a benchmark and wait for the scores, which are told.

    Raises:
        InputError: its server is known to be closed.
    """
    known = BENCHMARKS[benchmark]
    check_open(known.server)
    competition = connect(known.server, known.competition, account, known.platform)
    submission = upload(competition, zip_path)
    tell(f'{zip_path} is submission {submission} of {competition.page}')
    scores = wait_for_score(competition, submission, report=tell)
    tell_scores(scores, tell)
    return scores


def tell_scores(scores: Dict[str, str], tell: Say = say) -> None:
    width = max(map(len, scores), default=0)
    for name, value in scores.items():
        tell(f'{name:<{width}}  {value}')
