"""A results file by one process that has no PyTorch: what exported models are run on."""
import os
import pickle
import subprocess
import sys
from pathlib import Path

from helpers.toy_results import CATEGORY_IDS, SIZE, VIDEOS, make_frame, scores, write_all

from mmvis.structures import VideoInfo

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = """
import sys
HEAVY = ('torch', 'torchvision', 'mmengine', 'mmcv', 'mmdet', 'cv2', 'scipy', 'sklearn', 'matplotlib')
sys.modules.update(dict.fromkeys(HEAVY))         # importing one of them fails
import json, pickle
from mmvis.records import ResultsFile

with open(sys.argv[1], 'rb') as file:
    videos = pickle.load(file)
for last in (1, len(videos)):                    # a run that ends too soon, and the one that goes on
    results = ResultsFile(sys.argv[2], [video.video_id for video, _, _ in videos], json.loads(sys.argv[3]))
    results.open()
    for video, frames, scores in videos[:last]:
        if video.video_id not in results.finished:
            results.start(video)
            for frame in frames:
                results.add(frame)
            results.end(scores)
    if last == len(videos):
        results.join()
    else:
        results.close()
print(results.finished)
"""


def test_the_bytes_are_those_of_a_test_run(tmp_path):
    videos = [(VideoInfo(video_id, SIZE, SIZE, 1.0, length), [make_frame(video_id, i) for i in range(length)],
               scores(video_id)) for video_id, length in VIDEOS.items()]
    (tmp_path / 'videos.pkl').write_bytes(pickle.dumps(videos))
    done = subprocess.run([sys.executable, '-c', SCRIPT, str(tmp_path / 'videos.pkl'), str(tmp_path / 'light.json'),
                           str(CATEGORY_IDS)], capture_output=True, text=True, timeout=120,
                          env={**os.environ, 'PYTHONPATH': str(ROOT)})
    assert done.returncode == 0, done.stderr
    told, finished = done.stdout.splitlines()
    assert told.startswith('Going on with ') and finished == '[7]'
    assert (tmp_path / 'light.json').read_bytes() == write_all(tmp_path / 'whole.json')
    assert sorted(path.name for path in tmp_path.iterdir()) == ['light.json', 'videos.pkl', 'whole.json']
