"""What a program calls: a model over frames as they come; packing and sending results."""
from typing import TYPE_CHECKING, Any

from mmvis.lazy import lazy_name

from .benchmarks import BENCHMARKS, CLOSED, Benchmark, benchmark_of, check_open, find_target
from .competition import PLATFORMS, connect, upload, wait_for_score
from .exports import to_supervision, to_table, write_tracks
from .http_session import UploadError
from .sources import FrameSource, Pictures, expand_sources, open_source
from .submit import account_from_environment, pack_results, send_results, tell_scores
from .upload_servers import Account

if TYPE_CHECKING:
    from .predictor import VISPredictor
    from .published import find_published, publish, read_published

__all__ = ['Account', 'BENCHMARKS', 'Benchmark', 'CLOSED', 'FrameSource', 'PLATFORMS', 'Pictures', 'UploadError',
           'VISPredictor', 'account_from_environment', 'benchmark_of', 'check_open', 'connect', 'expand_sources',
           'find_published', 'find_target', 'open_source', 'pack_results', 'publish', 'read_published',
           'send_results', 'tell_scores', 'to_supervision', 'to_table', 'upload', 'wait_for_score', 'write_tracks']


def __getattr__(name: str) -> Any:
    """What runs a model, when it is asked for: all models come with it, and a tool that reads results needs none."""
    modules = {'predictor': 'VISPredictor', 'published': 'find_published publish read_published'}
    return lazy_name(__name__, modules, name)
