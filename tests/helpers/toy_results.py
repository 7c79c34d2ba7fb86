"""Three small videos on their way into a results file."""
import numpy as np

from mmvis.evaluation.results_writer import ResultsWriter
from mmvis.structures import FrameInstances, TrackScore, VideoInfo, encode_mask

SIZE = (12, 20)
VIDEOS = {7: 3, 3: 4, 'camera': 2}  # id of the annotation file -> frames, in the order of the dataset
CATEGORY_IDS = [5, 9]


def make_frame(video_id, index):
    """Tracks 4 and 1; track 1 has no pixel in odd frames and the first frame of a video is empty."""
    if index == 0:
        return FrameInstances(0)
    masks = [np.zeros(SIZE, np.uint8) for _ in range(2)]
    masks[0][index:index + 4, 2:9] = 1
    masks[1][3:5, index:index + 3] = 1
    rles = [encode_mask(mask) for mask in masks]
    if index % 2:
        rles[1] = None
    return FrameInstances(index, np.array([4, 1]), np.array([1, 0]), np.float32([0.1 * index, 0.3]),
                          np.float32([[2, index, 9.25, index + 4], [index, 3, index + 3, 5]]), rles)


def scores(video_id):
    # Track 4 has two verdicts; track 8 never had a mask. Not sorted: the order of the model counts.
    return [TrackScore(4, 1, 0.1 + 0.2), TrackScore(1, 0, 1 / 3), TrackScore(4, 0, 0.25), TrackScore(8, 1, 0.5)]


def make_writer(path, run=None, **kwargs):
    return ResultsWriter(str(path), list(VIDEOS), CATEGORY_IDS, run or {'checkpoint': 'a.pth'}, **kwargs)


def write_video(writer, video_id, stop=None):
    writer.start(VideoInfo(video_id, SIZE, SIZE, 1.0, VIDEOS[video_id]))
    for index in range(VIDEOS[video_id]):
        if index == stop:
            return
        writer.add(make_frame(video_id, index))
    writer.end(scores(video_id))


def write_all(path, **kwargs):
    writer = make_writer(path, **kwargs)
    writer.open()
    for video_id in VIDEOS:
        write_video(writer, video_id)
    writer.join()
    return path.read_bytes()
