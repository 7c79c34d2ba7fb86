"""What a program calls: packing and sending results."""
from .benchmarks import BENCHMARKS, Benchmark, benchmark_of, find_target
from .competition import PLATFORMS, connect, upload, wait_for_score
from .http_session import UploadError
from .submit import account_from_environment, pack_results, send_results, tell_scores
from .upload_servers import Account

__all__ = ['Account', 'BENCHMARKS', 'Benchmark', 'PLATFORMS', 'UploadError', 'account_from_environment', 'benchmark_of',
           'connect', 'find_target', 'pack_results', 'send_results', 'tell_scores', 'upload', 'wait_for_score']
