"""One source with one target: mixed, decoded, drawn and written, as `facecli reconstruct` would a picture or video."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch

from facecli.codes import Codes
from facecli.detect.face import Face
from facecli.errors import FacecliError, InputError, UsageError
from facecli.export.gif import write_gif
from facecli.io.images import write_image
from facecli.io.sources import Source
from facecli.mixing import Mix, mixer
from facecli.plugin import Reconstruction
from facecli.reconstruction.clip import Clip, Painted
from facecli.reconstruction.events import Event, InputDone, InputFailed
from facecli.reconstruction.folder import ResultFolder, with_paths
from facecli.reconstruction.jobs import Through
from facecli.reconstruction.passes import Drawing
from facecli.reconstruction.picture import FaceResult, projection, scale_of, texture_of, write_picture
from facecli.reconstruction.stream import FaceStream, Frame
from facecli.reconstruction.tracks import Shelf, Track, Tracks
from facecli.reenactment.bridge import EXPRESSION
from facecli.reenactment.choice import Choice
from facecli.reenactment.inputs import Given, Moving, Performer, Still
from facecli.reenactment.pictures import TILE, Region, Row, clay
from facecli.reenactment.timing import Timeline, timeline

MIX_FRAMES = 256
"""Frames mixed at once."""


@dataclass
class Pair:
    """A source and the face whose expressions it gets.

    Args:
        stream: of the source's model, which decodes.
        neutral: the target at rest, [1, ...]; None where it isn't known, or doesn't matter.
    """

    source: Still | Moving
    target: Performer
    stream: FaceStream
    choice: Choice
    neutral: Codes | None = None

    @property
    def name(self) -> str:
        return f"{self.source.name} with {self.target.given.name}"

    def check_families(self) -> None:
        """
        Raises:
            InputError: codes of the two mean different things.
        """
        ours, theirs, bridge = self.source, self.target.given, self.target.bridge
        if ours.family == theirs.family:
            return
        if bridge is None:
            raise InputError(self.name, self.target.refusal)
        further = [name for name in self.choice.take if name != EXPRESSION]
        if further:
            problem = f"of {theirs.model}'s codes {ours.model} can take the expression alone, not the {further[0]}"
            raise InputError(self.name, problem, "leave it out of --take")

    @cached_property
    def mix(self) -> Mix:
        """
        Raises:
            InputError: the target's codes aren't such as the source can take.
        """
        self.check_families()
        choice, plugin, model = self.choice, self.stream.plugin, self.stream.model
        try:
            source, target = self._samples()
            mix = mixer(plugin, model, choice.take, choice.keep, source, target, self.neutral)
            for codes in (source, mix(source, target)):  # codes from files may be anything
                self.stream.decode(codes)
        except UsageError as error:
            raise InputError(self.name, str(error)) from error
        except FacecliError:
            raise
        except Exception as error:
            reason = " ".join(str(error).split()) or "no reason given"
            problem = f"the model {plugin.name} failed on these codes: {type(error).__name__}: {reason}"
            raise InputError(self.name, problem, "see --debug") from error
        return mix

    def _samples(self) -> tuple[Codes, Codes]:
        """A face of each, [1, ...]."""
        if isinstance(self.source, Still):
            return self.source.codes.select(0), self.target.codes([0])
        tracks = self.source.tracks
        return tracks.people[0].codes([0], tracks.model, tracks.family), self.target.codes([0])

    @property
    def turns(self) -> bool:
        """Whether the head may turn away from how the photograph shows it."""
        return "pose" in self.choice.take

    def own(self, codes: Codes) -> Reconstruction:
        """The source's faces as they are."""
        return self.stream.decode(codes)

    # --- pictures ----------------------------------------------------------------------------------------------------

    @cached_property
    def rows(self) -> list[Row]:
        """A row of tiles for each face of the source."""
        backend = self.stream.settings.rasterizer
        if isinstance(self.source, Still):
            size = self.source.image.shape[:2]
            faces = enumerate(self.source.faces)
            return [Row(n, Region.around(face.box[None], size), backend, still=True) for n, face in faces]
        people = self.source.tracks.people
        with self.source.open_film() as film:
            size = next(film.frames()).image.shape[:2]
        return [Row(track.person, Region.around(track.faces["box"], size), backend) for track in people]

    def strip(self, frame: Frame, textures: dict[int, np.ndarray] | None = None) -> np.ndarray:
        """The tiles of all faces of a decoded frame, whose `beside` is the target's tile."""
        textures = textures or {}
        look = not frame.blank and not (self.turns and isinstance(self.source, Moving))  # which would show hidden parts
        rows = [row.draw(frame, frame.beside, textures.get(row.person), look=look) for row in self.rows]
        return np.concatenate(rows)

    def target_tile(self) -> np.ndarray:
        """Of a photograph."""
        given = self.target.given
        region = Region.around(self.target.boxes(), given.image.shape[:2])
        if not given.blank:
            return region.cut(given.image)
        return self._stored_tile(self.target.own_codes([0]), region, given.image)

    def target_tiles(self, times: Timeline, start: int) -> Iterator[np.ndarray]:
        """The target's tiles beside the frames from `start` on."""
        given = self.target.given
        if isinstance(given, Still):
            tile = self.target_tile()
            for _ in range(start, len(times.frames)):
                yield tile
            return
        region, at = None, start
        while at < len(times.frames):  # once, or once a loop
            with given.open_film() as film:
                for shown in film.frames(start=int(times.target_frame[at])):
                    region = region or Region.around(self.target.boxes(), shown.image.shape[:2])
                    tile = None
                    while at < len(times.frames) and times.target_frame[at] == shown.index:
                        if tile is None:
                            tile = self._moving_tile(int(times.target_row[at]), region, shown.image)
                        yield tile
                        at += 1
                    if at == len(times.frames) or times.target_frame[at] < shown.index:
                        break
                else:
                    return

    def _moving_tile(self, row: int, region: Region, image: np.ndarray) -> np.ndarray:
        if not self.target.given.blank:
            return region.cut(image)
        return self._stored_tile(self.target.own_codes([row]), region, image)

    def _stored_tile(self, codes: Codes, region: Region, image: np.ndarray) -> np.ndarray:
        """Codes without a picture are shown as they decode."""
        found = (self.target.stream or self.stream).decode(codes)
        place, triangles = projection(found, 0)
        scale = scale_of(found, 0) * region.scale
        return clay(region.cut(image), region.place(place), triangles, scale, self.stream.settings.rasterizer)

    def notes(self) -> dict[str, Any]:
        """What records tell of the target."""
        return {"target": self.target.given.name, "target_face": self.target.number}


# --- a photograph with a photograph ----------------------------------------------------------------------------------


def still_frame(pair: Pair, origin: Any) -> Frame:
    """The source's faces, with the target's expression, ready for a stream.

    Raises:
        InputError: the two don't go together.
    """
    source, settings = pair.source, pair.stream.settings
    codes = source.codes
    mixed = pair.mix(codes, pair.target.codes([0]))
    mixed = Codes(mixed.values, pair.stream.plugin.name, codes.family)
    cropped = not source.stored and ("crop" in settings.saves(video=False) or bool(settings.pictures))
    return Frame(
        source.name, origin, image=source.image, blank=source.blank, given="faces" if cropped else "codes",
        faces=[_plain(face) for face in source.faces], codes=codes, mixed=mixed, own=pair.own(codes),
        beside=pair.target_tile(), notes=pair.notes(),
    )  # fmt: skip


def _plain(face: Face) -> Face:
    """The face without what the landmarker says of its expression."""
    return Face(face.box.copy(), face.score, face.points, face.point_set)


class StillPair:
    """Writes one; the origin of its frame."""

    def __init__(self, pair: Pair, folder: ResultFolder, source: Source):
        self.pair, self.folder, self.source = pair, folder, source

    def frame(self) -> Frame:
        try:
            return still_frame(self.pair, self)
        except InputError as error:
            return Frame(self.pair.name, self, error=error)

    def mix(self, frame: Frame) -> None:
        """It is mixed already."""

    def write(self, frame: Frame) -> list[FaceResult] | None:
        if frame.error:
            return None
        work = self.folder.begin()
        try:
            with self.folder.writing():
                results = write_picture(frame, work, self.pair.stream.settings)
                files = {}
                if self.pair.choice.animation:
                    files["animation"] = "animation.jpg"
                    textures = self._textures(results) if self.pair.turns else {}
                    write_image(work / files["animation"], self.pair.strip(frame, textures))
            for result in results:
                result.record.update(frame.notes | files)
            self.folder.finish(result.record for result in results)
        except BaseException:
            self.folder.discard()
            raise
        return results

    @staticmethod
    def _textures(results: list[FaceResult]) -> dict[int, np.ndarray]:
        return {result.number: result.mesh.texture for result in results if result.mesh.texture is not None}

    def events(self, frame: Frame, value: list[FaceResult] | None, error: FacecliError | None) -> Iterator[Event]:
        if frame.error or error:
            yield InputFailed(self.pair.name, frame.error or error)
            return
        folder, model = self.folder.final, self.pair.stream.plugin.name
        records = [with_paths(result.record, folder) for result in value]
        yield InputDone(self.source.name, self.source.path, folder, records, model, picture=frame.image, faces=value)


# --- videos ----------------------------------------------------------------------------------------------------------


def mixed_tracks(pair: Pair, times: Timeline, shelf: Shelf) -> Tracks:
    """The source's people over the frames of the result, with the target's expressions."""
    source = pair.source
    model, family = pair.stream.plugin.name, source.family
    if isinstance(source, Still):
        whole = np.arange(len(times.frames))
        people = [_still_track(source, number, whole, times) for number in range(len(source.faces))]
    else:
        people = [_cut_track(track, len(times.frames)) for track in source.tracks.people]
        people = [track for track in people if len(track)]
    tracks = Tracks(times.frames, people, model, family)
    for track in people:
        _mix_track(pair, track, times, shelf, family)
    return tracks


def _still_track(source: Still, number: int, frames: np.ndarray, times: Timeline) -> Track:
    """One face of a photograph, standing still. The arrays are one row, seen many times."""
    face, count = source.faces[number], len(frames)

    def still(value: Any) -> np.ndarray:
        value = np.asarray(value)
        return np.broadcast_to(value, (count, *value.shape))

    faces = {"box": still(face.box), "score": still(np.float64(face.score))}
    if len(face.points):
        faces["points"] = still(face.points)
    values = {name: still(value[number].numpy()) for name, value in source.codes.values.items()}
    return Track(number, frames, times.frames["time"], values, {}, faces, face.point_set)


def _cut_track(track: Track, count: int) -> Track:
    end = int(np.searchsorted(track.frames, count))
    faces = {name: value[:end] for name, value in track.faces.items() if name != "blendshapes"}
    values = {name: value[:end] for name, value in track.values.items()}
    return Track(track.person, track.frames[:end], track.times[:end], values, {}, faces, track.point_set)


def _mix_track(pair: Pair, track: Track, times: Timeline, shelf: Shelf, family: str) -> None:
    """Exchanges the track's values; what stays as it is isn't written anew."""
    rows = None if times.target_row is None else times.target_row[np.asarray(track.frames)]
    source, changed = track.values, {}
    for start in range(0, len(track), MIX_FRAMES):
        part = slice(start, min(start + MIX_FRAMES, len(track)))
        before = track.codes(part, pair.source.model, family)
        with torch.inference_mode():
            after = pair.mix(before, pair.target.codes([0] if rows is None else rows[part]))
        for name, value in after.values.items():
            if name in before and value is before[name]:
                continue
            array = value.numpy(force=True)
            if name not in changed:
                changed[name] = shelf.blank(
                    f"face{track.person}-mixed-{name}", (len(track), *array.shape[1:]), array.dtype
                )
            changed[name][part] = array
    track.values = source | changed


class _Stage(Drawing):
    """Draws the result; each frame comes with the source's own codes and the target's tile."""

    def __init__(self, pair: Pair, times: Timeline, clip: Clip, tracks: Tracks):
        settings, source = pair.stream.settings, pair.source
        cropped = not source.stored and ("crop" in settings.saves(video=True) or bool(settings.pictures))
        super().__init__(clip, tracks, given="faces" if cropped else "codes", blank=source.blank, stage="drawing")
        self.pair, self.times = pair, times

    def read(self) -> Iterator[Frame]:
        frames = with_source(self.pair, self.times, super().read(), lambda: self.chunks.frame_count)
        with contextlib.closing(frames):
            yield from frames

    def write(self, frame: Frame) -> Painted | None:
        if frame.faces and not frame.error and frame.own is None:
            frame.own = self.pair.own(frame.codes)
        return super().write(frame)


def with_source(pair: Pair, times: Timeline, frames: Iterator[Frame], start: Any) -> Iterator[Frame]:
    """`frames`, whose codes are mixed, with the source's own codes and the target's tile."""
    tiles = None
    fixed = _fixed(pair)
    for frame in frames:
        tiles = tiles or pair.target_tiles(times, start())
        tile = next(tiles, None)  # None: the target's file ends earlier than it did before
        frame.beside = np.zeros((TILE, TILE, 3), np.uint8) if tile is None else tile
        frame.faces = [_plain(face) for face in frame.faces]
        frame.notes = pair.notes()
        if fixed is not None:
            frame.codes, frame.own = pair.source.codes.select(frame.people), fixed.select(frame.people)
        elif frame.faces:
            _, _, frame.codes = pair.source.tracks.at(frame.index)
        yield frame


def _fixed(pair: Pair) -> Reconstruction | None:
    return pair.own(pair.source.codes) if isinstance(pair.source, Still) else None


class _TransferClip(Clip):
    """A clip with the row of pictures as a further video."""

    pair: Pair

    def paint(self, frame: Frame) -> Painted:
        painted = super().paint(frame)
        if self.pair.choice.animation:
            painted.streams["animation"] = self.pair.strip(frame, self._whole_textures(frame))
        return painted

    def _whole_textures(self, frame: Frame) -> dict[int, np.ndarray]:
        """Completed textures of faces that turn away from their photograph: made once."""
        if not self.pair.turns or frame.blank or not isinstance(self.pair.source, Still) or not frame.faces:
            return {}
        if not hasattr(self, "_turning"):
            made = {person: texture_of(frame, n, self.settings) for n, person in enumerate(frame.people)}
            self._turning = {person: texture for person, texture in made.items() if texture is not None}
        return self._turning

    def finish(self, tracks: Tracks) -> Iterator[dict[str, Any]]:
        frames = self._chunks.frames()
        if self.pair.choice.animation:
            self.files["animation"] = "animation.mp4"
            with self.folder.writing():
                path = self.folder.work / "animation.mp4"
                self._assemble("animation", path, frames)
                if self.pair.choice.gif:
                    self.files["gif"] = "animation.gif"
                    cut = write_gif(path, self.folder.work / "animation.gif")
                    self.note = f"animation.gif shows the first {cut:.0f} seconds" if cut else self.note
        return super().finish(tracks)


class MovingPair:
    """Writes a pair of which at least one side is a video."""

    def __init__(self, pair: Pair, folder: ResultFolder, source: Source):
        self.pair, self.folder, self.source = pair, folder, source
        self.clip = _TransferClip(pair.name, folder, pair.stream, lambda: self._times.open_film())
        self.clip.pair, self.clip.notes = pair, {"input": pair.source.name} | pair.notes()

    def run(self, through: Through, *, overwrite: bool) -> Iterator[Event]:
        clip = self.clip
        try:
            pair_mix = self.pair.mix
            assert pair_mix is not None
            self._times = timeline(self.pair.source, self.pair.target, loop=self.pair.choice.loop)
            self.folder.resume(overwrite=overwrite)
            shelf = Shelf(self.folder.work / "chunks/tracks")
            with self.folder.writing():
                tracks = mixed_tracks(self.pair, self._times, shelf)
            drawing = _Stage(self.pair, self._times, clip, tracks)
            yield from through(drawing.read())
            drawing.flush()
            records = clip.finish(tracks)
        except InputError as error:
            clip.abandon()
            yield InputFailed(self.pair.name, error)
            return
        problems = [given.problem for given in (self.pair.source, self.pair.target.given) if given.problem]
        yield InputDone(
            self.source.name, self.source.path, self.folder.final, records, self.pair.stream.plugin.name, video=True,
            meshes=clip.meshes, problem=problems[0] if problems else None, note=clip.note,
        )  # fmt: skip


def moves(source: Given, target: Performer) -> bool:
    return isinstance(source, Moving) or isinstance(target.given, Moving)
