"""results.json of a test run by any number of processes: the same bytes however many they are."""
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Sequence

from mmengine.dist import barrier, broadcast_object_list, get_rank

from mmvis.records.journal import Piece, VideoId
from mmvis.records.results_file import ResultsFile
from mmvis.structures.output_file import check_output, open_output

from . import official_pickle


class ResultsWriter(ResultsFile):
    """A ``ResultsFile`` that takes the videos of this process and leaves the results of all processes.

    ``open`` and ``join`` are called by all processes together; the processes must share the folder of the file.

    Args:
        path, video_ids, category_ids, run, source_of: of ``ResultsFile``.
        pickle_path: also leave the pickle of the original MaskTrackRCNN tools there.
    """

    def __init__(self, path: str, video_ids: Sequence[VideoId], category_ids: Sequence[int],
                 run: Optional[Dict[str, Any]] = None, pickle_path: Optional[str] = None,
                 source_of: Optional[Callable[[VideoId], Any]] = None) -> None:
        super().__init__(path, video_ids, category_ids, run, source_of)
        self.pickle_path = Path(pickle_path) if pickle_path else None

    def open(self) -> None:
        """As ``ResultsFile.open``, by all processes together."""
        # Rank 0 alone looks, so that all processes agree; its failure must reach the others, who wait.
        self._begin(self._by_rank_0(self._look), get_rank())

    def join(self) -> None:
        """As ``ResultsFile.join``, by all processes together."""
        self._close_journal()
        barrier()
        self._by_rank_0(super().join)

    def _by_rank_0(self, work: Callable[[], Any]) -> Any:
        """What ``work`` gives in rank 0, or its failure, in every process."""
        shared: List[Any] = [None]
        if get_rank() == 0:
            try:
                shared[0] = work()
            except Exception as error:
                shared[0] = error
        broadcast_object_list(shared)
        if isinstance(shared[0], Exception):
            raise shared[0]
        return shared[0]

    def _look(self) -> Dict[VideoId, Piece]:
        if self.pickle_path is not None:
            check_output(self.pickle_path)
        return super()._look()

    def _write(self, pieces: List[Piece]) -> None:
        if self.pickle_path is not None:
            with open_output(self.pickle_path, 'wb', durable=True) as file:
                official_pickle.write(file, pieces, len(self.category_ids))
        super()._write(pieces)
