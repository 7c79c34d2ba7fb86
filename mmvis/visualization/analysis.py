"""What the slots of InstanceFormer look at, kept video by video, and pictures of it (its paper's figures 1 and 5)."""
import json
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Tuple, Union

import cv2
import numpy as np
from torch import Tensor

from mmvis.errors import InputError, InputMissingError
from mmvis.structures import VideoInfo
from mmvis.structures.output_file import check_output_folder, open_output

from .drawing import track_color
from .figures import new_figure
from .names import safe_name


@dataclass
class VideoAnalysis:
    """T frames and N tracks of one video.

    Attributes:
        video_id: id of the annotation file.
        features: float32 [T, N, d], embeddings of the slots after the last decoder layer.
        locations: float32 [T, N, heads, levels, points, 2], where the last layer samples, x y in units of the image.
        references: float32 [T, N, 2], the points that the first layer starts from, x y in units of the image.
    """
    video_id: Union[int, str]
    features: np.ndarray
    locations: np.ndarray
    references: np.ndarray

    def save(self, path: Path) -> None:
        """Write one .npz file."""
        with open_output(path, 'wb') as file:
            np.savez_compressed(file, video_id=np.array(json.dumps(self.video_id)), features=self.features,
                                locations=self.locations, references=self.references)

    @classmethod
    def load(cls, path: Union[str, Path]) -> 'VideoAnalysis':
        """Read a file of ``save``.

        Raises:
            FileNotFoundError, ValueError: there is no such file, or it is another kind of file.
        """
        if not Path(path).is_file():
            raise InputMissingError(f'{path} does not exist; tools/test_video.py --analysis DIR writes such files.')
        try:
            with np.load(path, allow_pickle=False) as arrays:
                return cls(json.loads(str(arrays['video_id'])), arrays['features'], arrays['locations'],
                           arrays['references'])
        except (KeyError, ValueError, TypeError, OSError, EOFError, zipfile.BadZipFile) as error:
            raise InputError(f'{path} is not a file of tools/test_video.py --analysis ({error}).') from error


@dataclass
class AnalysisRecorder:
    """Takes the slots of every frame from a model (its ``recorder``); writes FOLDER/<video id>.npz when a video ends.

    All frames of a video are held until then: about 100 kB a frame with 50 tracks of 256 channels.

    Raises:
        InputFileError: the folder cannot be made or written.
    """
    folder: Path
    frames: List[Tuple[np.ndarray, ...]] = field(default_factory=list)

    def __post_init__(self) -> None:
        check_output_folder(self.folder)

    def add(self, video: VideoInfo, slots: Tensor, frame: Any) -> None:
        """One frame: ``frame`` has features, locations and first_references of all slots, ``slots`` are the tracks."""
        values = (frame.features, frame.locations, frame.first_references)
        self.frames.append(tuple(value[slots].float().cpu().numpy() for value in values))

    def end(self, video: VideoInfo) -> None:
        if self.frames:
            arrays = [np.stack(values) for values in zip(*self.frames)]
            VideoAnalysis(video.video_id, *arrays).save(analysis_file(self.folder, video.video_id))
        self.frames = []


def analysis_file(folder: Union[str, Path], video_id: Union[int, str]) -> Path:
    """FOLDER/<video id>.npz; see ``safe_name``."""
    return Path(folder) / f'{safe_name(video_id)}.npz'


def draw_locations(image: np.ndarray, points: Sequence[np.ndarray], radius: Optional[int] = None) -> np.ndarray:
    """A copy of a frame with dots on it, one colour a track.

    Args:
        image: uint8 [h, w, 3] BGR.
        points: a float array [P, 2] for every track, x y in units of the image; those outside stand at its edge.
        radius: of a dot in pixels; by default a 150th of the longer side.
    """
    canvas = image.copy()
    height, width = image.shape[:2]
    radius = radius or max(2, max(height, width) // 150)
    for track, own in enumerate(points):
        pixels = np.clip(np.asarray(own) * (width, height), 0, (width - 1, height - 1)).round().astype(int)
        for x, y in pixels.tolist():
            cv2.circle(canvas, (x, y), radius + 1, (255, 255, 255), -1, cv2.LINE_AA)
            cv2.circle(canvas, (x, y), radius, track_color(track), -1, cv2.LINE_AA)
    return canvas


def embed_in_plane(features: np.ndarray, seed: int = 0) -> np.ndarray:
    """t-SNE (van der Maaten and Hinton, JMLR 2008) of vectors [R, d]: float32 [R, 2].

    Raises:
        ValueError: fewer than three vectors.
    """
    from sklearn.manifold import TSNE  # slow to import, and only this needs it
    if len(features) < 3:
        raise InputError(f't-SNE needs at least three vectors, not {len(features)}.')
    perplexity = min(30., (len(features) - 1) / 3)
    return TSNE(2, perplexity=perplexity, random_state=seed, init='pca').fit_transform(features)


def plot_embeddings(panels: Dict[str, np.ndarray], path: Path) -> None:
    """A picture with a panel for every entry: the plane of features [T, N, d], a dot a frame, a colour a track.

    Raises:
        InputError: matplotlib makes no such kind of file, or it cannot be written.
    """
    with new_figure(path, 1, len(panels), (5 * len(panels), 5)) as axes:
        for axis, (title, features) in zip(axes[0], panels.items()):
            num_frames, num_tracks = features.shape[:2]
            plane = embed_in_plane(features.reshape(num_frames * num_tracks, -1)).reshape(num_frames, num_tracks, 2)
            for track in range(num_tracks):
                blue, green, red = (value / 255 for value in track_color(track))
                axis.scatter(*plane[:, track].T, s=18, color=(red, green, blue), label=f'track {track}')
            axis.set(title=title, xticks=[], yticks=[])
        axes[0, -1].legend(loc='best', fontsize='small')
