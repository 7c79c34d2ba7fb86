"""What the slots look at: recorded, kept in files, drawn."""
import numpy as np
import pytest
import torch
from helpers.full_disk import files_end_at
from helpers.tiny_instanceformer import tiny_frames, tiny_model, tiny_video

from mmvis.errors import InputError, InputFileError
from mmvis.visualization.analysis import (
    AnalysisRecorder,
    VideoAnalysis,
    analysis_file,
    draw_locations,
    embed_in_plane,
    plot_embeddings,
)


def test_the_recorder_keeps_every_frame_of_every_track(tmp_path):
    torch.set_num_threads(1)
    model = tiny_model()
    model.recorder = AnalysisRecorder(tmp_path / 'analysis')
    state, frames = model.start(tiny_video(4)), tiny_frames(4)
    results = [frame for image in frames for frame in model.step(state, image[None])]
    model.finish(state)
    analysis = VideoAnalysis.load(analysis_file(tmp_path / 'analysis', 3))
    num = len(results[0])
    assert analysis.video_id == 3 and analysis.features.shape == (4, num, 32)
    assert analysis.locations.shape == (4, num, 4, 3, 2, 2) and analysis.references.shape == (4, num, 2)
    start = model.begin(1).reference[0, state.slots]
    np.testing.assert_allclose(analysis.references[0], start.detach().numpy(), rtol=1e-5)
    assert not list((tmp_path / 'analysis').glob('*.tmp')) and not model.recorder.frames


def test_other_files_are_refused_in_a_sentence(tmp_path):
    with pytest.raises(FileNotFoundError, match='--analysis'):
        VideoAnalysis.load(tmp_path / 'none.npz')
    np.savez(tmp_path / 'other.npz', x=np.zeros(3))
    whole = VideoAnalysis(1, np.zeros((3, 4, 8)), np.zeros((3, 4, 2, 1, 1, 2)), np.zeros((3, 4, 2)))
    whole.save(tmp_path / 'whole.npz')
    data = (tmp_path / 'whole.npz').read_bytes()
    (tmp_path / 'cut.npz').write_bytes(data[:len(data) // 2])
    with open(tmp_path / 'array.npz', 'wb') as file:
        np.save(file, np.zeros(3))
    for name in ('other.npz', 'cut.npz', 'array.npz'):
        with pytest.raises(ValueError, match=f'{name} is not a file of'):
            VideoAnalysis.load(tmp_path / name)


def test_dots_stand_where_the_points_are():
    image = np.zeros((60, 100, 3), np.uint8)
    drawn = draw_locations(image, [np.array([[.5, .5]]), np.array([[2., -1.]])], radius=2)
    assert drawn[30, 50].any() and drawn[0, 99].any() and not drawn[50, 10].any() and not image.any()
    assert tuple(drawn[30, 50]) != tuple(drawn[0, 99])


def test_tight_clusters_stay_apart_in_the_plane(tmp_path):
    rng = np.random.default_rng(0)
    features = rng.normal(size=(1, 3, 16)) * 5 + rng.normal(size=(12, 3, 16)) * 0.1
    plane = embed_in_plane(features.reshape(36, 16)).reshape(12, 3, 2)
    centres = plane.mean(0)
    spread = np.linalg.norm(plane - centres, axis=-1).max()
    assert np.linalg.norm(centres[0] - centres[1]) > spread
    plot_embeddings({'a': features, 'b': features[:4]}, tmp_path / 'tsne.png')
    assert (tmp_path / 'tsne.png').stat().st_size > 1000
    with pytest.raises(ValueError, match='three'):
        embed_in_plane(features[0, :2])
    with pytest.raises(InputError, match='tsne.json cannot be written: no picture is made as .json, but as .*png'):
        plot_embeddings({'a': features}, tmp_path / 'tsne.json')


def test_ids_that_are_no_file_names_stay_in_the_folder_and_apart(tmp_path):
    names = {analysis_file(tmp_path, video_id).relative_to(tmp_path).as_posix() for video_id in (3, '..', 'a/b', 'a_b')}
    assert names == {'3.npz', '%2E%2E.npz', 'a%2Fb.npz', 'a_b.npz'}


def test_a_folder_that_cannot_be_written_is_told_before_the_run(tmp_path):
    (tmp_path / 'file').write_text('')
    with pytest.raises(InputFileError, match='file is not a folder'):
        AnalysisRecorder(tmp_path / 'file')


def test_a_full_disk_is_a_sentence_and_leaves_the_old_file(tmp_path):
    path, rng = tmp_path / '1.npz', np.random.default_rng(0)
    path.write_bytes(b'old')
    analysis = VideoAnalysis(1, rng.random((30, 4, 80)), np.zeros((3, 4, 2, 1, 1, 2)), np.zeros((3, 4, 2)))
    with files_end_at(5_000), pytest.raises(InputFileError, match='^.*1.npz cannot be written: File too large.$'):
        analysis.save(path)
    assert path.read_bytes() == b'old' and len(list(tmp_path.iterdir())) == 1
