"""What the page asks for, as JSON. Masks go out as the run lengths that they are."""
from typing import Any, Dict, List

from mmvis.visualization.drawing import track_color

from .session import ResultsFile, Session

#: Frames whose masks travel together.
BLOCK = 32
#: Score from which the class of a track counts in the filter of the list.
SURE = 0.3


def of_list(session: Session) -> Dict[str, Any]:
    """The table of videos with what is known of them so far."""
    present = [_labels(session, number) for number in range(len(session.videos))]
    return dict(
        version=session.version, complete=session.complete, failure=session.failure, block=BLOCK,
        title=session.ann_file.replace('\\', '/').rsplit('/', 1)[-1], hasTruth=session.has_truth,
        classes=_classes(session), results=[_of_file(one) for one in session.results],
        videos=[dict(id=video.video_id, name=name, frames=video.num_frames, width=video.width, height=video.height,
                     labels=labels, objects=_num_objects(session, video.video_id),
                     results=[_of_results(one, video.video_id) for one in session.results])
                for video, name, labels in zip(session.videos, session.names, present)])


def _classes(session: Session) -> List[str]:
    names = [name for _, name in session.categories]
    for one in session.results:
        if one.drawing is not None:
            names += [name for name in one.drawing.classes if name not in names]
    return names


def _num_objects(session: Session, video_id: Any) -> Any:
    if not session.has_truth or session.truth is None:
        return None
    return len(session.truth.tracks.get(video_id, []))


def _labels(session: Session, number: int) -> List[str]:
    """Names of the classes that occur in a video: of annotated objects, and of tracks that are more than a guess."""
    video_id, found = session.videos[number].video_id, set()
    for drawing in [session.truth, *(one.drawing for one in session.results)]:
        if drawing is not None:
            found.update(drawing.classes[track.label] for track in drawing.tracks.get(video_id, [])
                         if track.score >= SURE or not session.has_truth)
    return sorted(found)


def _of_file(one: ResultsFile) -> Dict[str, Any]:
    return dict(name=one.name, state=one.state, sentence=one.sentence, notes=one.notes, evaluated=one.evaluated,
                overall=one.overall)


def _of_results(one: ResultsFile, video_id: Any) -> Dict[str, Any]:
    """Counts, scores and numbers of one file for one video."""
    out = {name: value for name, value in one.videos.get(video_id, {}).items() if name in ('AP', 'HOTA', 'IDSW', 'errors')}
    if one.drawing is not None:
        scores = [track.score for track in one.drawing.tracks.get(video_id, [])]
        out.update(tracks=len(scores), best=max(scores, default=None))
    return out


def of_video(session: Session, number: int) -> Dict[str, Any]:
    """Tracks of a video: of the truth, then of every results file that could be read."""
    video, sources = session.videos[number], session.sources(number)
    ready = iter([one for one in session.results if one.state == 'ready'])
    out = []
    for title, is_truth, classes, tracks in zip(*sources):
        numbers = {} if is_truth else next(ready).videos.get(video.video_id, {})
        out.append(dict(title=title, isTruth=is_truth, tracks=[_of_track(track, classes) for track in tracks],
                        **{key: numbers.get(key) for key in ('timeline', 'wrong', 'missed')}))
    return dict(id=video.video_id, name=session.names[number], frames=video.num_frames, width=video.width,
                height=video.height, sources=out)


def _of_track(track: Any, classes: List[str]) -> Dict[str, Any]:
    return dict(number=track.track_id, entry=track.entry, label=classes[track.label], score=track.score,
                color='#{:02x}{:02x}{:02x}'.format(*track_color(track.track_id)[::-1]), frames=_stretches(track.masks))


def _stretches(frames: Any) -> List[List[int]]:
    """[first, behind the last] of every run of frames in a row."""
    out: List[List[int]] = []
    for t in sorted(frames):
        if out and out[-1][1] == t:
            out[-1][1] = t + 1
        else:
            out.append([t, t + 1])
    return out


def of_masks(session: Session, number: int, block: int) -> List[List[List[Any]]]:
    """For every source and every frame of a block: [place of the track, counts] of its masks."""
    first = block * BLOCK
    frames = range(first, min(first + BLOCK, session.videos[number].num_frames))
    return [[[[place, track.masks[t]['counts']] for place, track in enumerate(tracks) if t in track.masks]
             for t in frames] for tracks in session.sources(number).tracks]


def of_comparison(session: Session, first: int, second: int, thresh: float, wait: bool = False) -> Dict[str, Any]:
    """Where two results files differ, video by video, as far as it is known; whole with ``wait``."""
    found = session.compare(first, second, thresh)
    if wait:
        found.done.wait()
    videos = dict(found.videos)
    return dict(complete=found.done.is_set(), sentence=found.sentence,
                videos=[dict(place=number, **videos[video.video_id]) for number, video in enumerate(session.videos)
                        if video.video_id in videos])
