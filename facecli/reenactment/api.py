"""The Python side of `facecli transfer expression`: results in memory."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Generator, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np

from facecli.errors import InputError
from facecli.io.sources import Source, expand_sources
from facecli.reconstruction.api import Input, ReconstructedFace, as_rgb
from facecli.reconstruction.events import InputFailed
from facecli.reconstruction.passes import given_frames
from facecli.reconstruction.settings import Settings, default_model
from facecli.reconstruction.stored import decoder_of
from facecli.reconstruction.stream import FaceStream, Frame, unmixed
from facecli.reconstruction.tracks import Shelf
from facecli.reenactment.choice import Choice
from facecli.reenactment.inputs import Moving, Performer, Room, Still, load_pictures
from facecli.reenactment.pairs import Pair, mixed_tracks, moves, still_frame, with_source
from facecli.reenactment.run import Cast
from facecli.reenactment.timing import timeline

CHOICES = frozenset(Choice.__dataclass_fields__)


def transfer(source: Input, target: Input, model: str | None = None, **settings: Any) -> Iterator[ReconstructedFace]:
    """The faces of `source` with the expression of `target`; of videos, frame by frame.

    Args:
        source, target: a photograph, a video, a ``codes.npz`` or an RGB uint8 array [H, W, 3].
        model: the source's; None is open where ICT-FaceKit's file is there and mediapipe elsewhere, and for codes the
            model that they are of.
        settings: fields of :class:`facecli.reenactment.choice.Choice` (take, keep, target_model, neutral, …) and of
            :class:`facecli.reconstruction.settings.Settings` (faces, options, device, smooth, …).

    Yields:
        faces whose `mesh` has the target's expression and the source's texture.

    Raises:
        InputError: one of the two can't be used, or they don't go together.
        UsageError, PluginError, MissingAssetError: the model can't be had.
    """
    chosen = {name: settings.pop(name) for name in list(settings) if name in CHOICES}
    with tempfile.TemporaryDirectory(prefix="facecli-", ignore_cleanup_errors=True) as folder:
        cast = Cast(Settings(model=model, **settings), Choice(**chosen), Room(Path(folder)))
        try:
            pair = _pair(cast, source, target)
            frames = _moving(pair, Path(folder)) if moves(pair.source, pair.target) else iter([still_frame(pair, None)])
            with closing(pair.stream.frames(frames, unmixed)) as done:
                for frame in done:
                    if frame.error:
                        raise frame.error
                    if frame.faces and frame.own is None:
                        frame.own = pair.own(frame.codes)
                    for number in range(len(frame.faces)):
                        yield ReconstructedFace(frame, number, pair.stream.settings, pair.stream)
        finally:
            cast.close(finished=True)


def _pair(cast: Cast, source: Input, target: Input) -> Pair:
    source, target = _one(source), _one(target)
    model = cast.settings.model or default_model()
    if isinstance(source, Source) and source.kind == "codes":
        model = decoder_of(source.name, source.path, cast.settings.model)[0].name
    stream = cast.stream(model)
    given = _given(cast, source, stream)
    found = _performer(cast, target, stream)
    pair = Pair(given, found, stream, cast.choice)
    pair.check_families()
    pair.neutral, _ = _result(cast.rest(found, stream))
    return pair


def _one(item: Input) -> Source | np.ndarray:
    if isinstance(item, np.ndarray):
        return as_rgb(item, "array")
    found = list(expand_sources([str(item)]))
    for source in found:
        if isinstance(source, InputError):
            raise source
    if len(found) != 1:
        raise InputError(str(item), f"is {len(found)} files", "give one at a time")
    return found[0]


def _given(cast: Cast, source: Source | np.ndarray, stream: FaceStream) -> Still | Moving:
    if isinstance(source, np.ndarray):
        return _of_array(source, stream)
    return _result(cast.load(source, stream, stream.settings))


def _performer(cast: Cast, target: Source | np.ndarray, stream: FaceStream) -> Performer:
    if isinstance(target, np.ndarray):
        theirs = cast.target_stream(cast.choice.target_model or stream.plugin.name, stream.plugin.name)
        return _result(cast.performer(_of_array(target, theirs), stream.plugin.name))
    return _result(cast.load_target(target, stream.plugin.name))


def _of_array(image: np.ndarray, stream: FaceStream) -> Still:
    stream.prepare()
    (found,) = load_pictures([Frame("array", image=image)], stream)
    if isinstance(found, InputFailed):
        raise found.error
    return found


def _result(events: Generator[Any, None, Any]) -> Any:
    """What a generator of events returns; frames that fail are left out, as a run does."""
    while True:
        try:
            next(events)
        except StopIteration as end:
            return end.value


def _moving(pair: Pair, folder: Path) -> Iterator[Frame]:
    assert pair.mix is not None  # before anything is drawn
    times = timeline(pair.source, pair.target, loop=pair.choice.loop)
    tracks = mixed_tracks(pair, times, Shelf(folder / "mixed"))
    with times.open_film() as film:
        frames = given_frames(film, tracks, pair.source.name, None, given="codes", blank=pair.source.blank)
        yield from with_source(pair, times, frames, itertools.repeat(0).__next__)
