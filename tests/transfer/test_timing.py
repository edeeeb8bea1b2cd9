"""Which of the target's frames goes with which of the result's."""

from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest

from facecli.reconstruction.film import Still as StillFilm
from facecli.reconstruction.tracks import FRAME_TYPE, Track, Tracks
from facecli.reenactment.inputs import Moving, Performer, Still
from facecli.reenactment.timing import timeline

BLACK = np.zeros((4, 4, 3), np.uint8)


def moving(name, count, fps, seen=None):
    frames = np.zeros(count, FRAME_TYPE)
    frames["index"] = np.arange(count)
    frames["pts"] = np.arange(count) * (1000 // fps)
    frames["time"] = 5 + np.arange(count) / fps  # clocks don't begin at zero
    seen = np.arange(count) if seen is None else np.array(seen)
    track = Track(
        0, seen, frames["time"][seen], {"jaw": np.zeros((len(seen), 3))}, faces={"box": np.zeros((len(seen), 4))}
    )

    def film():
        return StillFilm(BLACK, frames["pts"], Fraction(1, 1000))

    return Moving(name, "m", "f", False, False, None, Tracks(frames, [track], "m", "f"), film)


def still():
    return Still("s", "m", "f", False, False, None, BLACK, [SimpleNamespace(box=np.zeros(4))], None)


def of(given):
    return Performer(given, 0, track=given.tracks.people[0]) if isinstance(given, Moving) else Performer(given, 0)


def test_a_photograph_lasts_as_long_as_the_targets_video():
    target = moving("t", 6, 25, seen=[1, 2, 5])
    times = timeline(still(), of(target))
    assert times.frames is target.tracks.frames
    assert times.target_frame.tolist() == [0, 1, 2, 3, 4, 5]
    assert times.target_row.tolist() == [0, 0, 1, 1, 2, 2]  # the nearest frame that shows the face
    assert len(list(times.open_film().frames())) == 6


def test_a_photographs_expression_stays_through_a_video():
    times = timeline(moving("s", 4, 25), of(still()))
    assert len(times.frames) == 4
    assert times.target_row is None


@pytest.mark.parametrize("fps", [10, 25, 50])
def test_two_videos_go_by_time(fps):
    times = timeline(moving("s", 20, 10), of(moving("t", 3 * fps, fps)))
    assert len(times.frames) == 20  # two seconds of three
    shown = times.target_frame / fps
    assert np.abs(shown - np.arange(20) / 10).max() <= 0.5 / fps + 1e-9


def test_the_shorter_of_two_videos_ends_the_result_or_begins_again():
    source, target = moving("s", 20, 10), moving("t", 10, 20)  # two seconds, half a second
    times = timeline(source, of(target))
    assert len(times.frames) == 5
    assert len(list(times.open_film().frames())) == 5
    looped = timeline(source, of(target), loop=True)
    assert len(looped.frames) == 20
    assert looped.target_frame.tolist() == [0, 2, 4, 6, 8] * 4


def test_a_film_is_cut_for_a_run_that_goes_on_behind_it():
    times = timeline(moving("s", 20, 10), of(moving("t", 10, 20)))
    assert [frame.index for frame in times.open_film().frames(start=3)] == [3, 4]
