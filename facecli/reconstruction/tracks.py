"""People's codes over the frames of a video, on disk: in chunks as they come, then a track a person.

Tracks are memory-mapped, so that a video of any length fits into memory; only the frames in which the face is seen are
in them.
"""

from __future__ import annotations

import os
import shutil
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from facecli.codes import Codes, CodesFile
from facecli.detect.face import Face
from facecli.errors import InputError, UsageError
from facecli.io.arrays import write_npz
from facecli.plugin import Reconstructor
from facecli.reconstruction.arkit import blendshapes_of
from facecli.reconstruction.following import follow
from facecli.reconstruction.settings import AUTO, Settings
from facecli.smoothing import BLOCK_NUMBERS, FIXED, ROTATIONS, CodesSmoother, savitzky_golay, steadiers

FRAME_TYPE = np.dtype([("index", np.int64), ("pts", np.int64), ("time", np.float64)])

FACE_ARRAYS = ("box", "score", "points", "blendshapes")
"""What is kept of a face beside its codes; points and blend shapes where there are any."""


class Chunk:
    """One chunk's arrays: `frame_*` of its frames [n], and rows [M] of the faces in them."""

    def __init__(self, arrays: dict[str, np.ndarray]):
        self._arrays = arrays

    def __getitem__(self, name: str) -> np.ndarray:
        return self._arrays[name]

    def __contains__(self, name: str) -> bool:
        return name in self._arrays

    def __len__(self) -> int:
        return len(self["frame"])

    def names(self, prefix: str) -> list[str]:
        return [name.removeprefix(prefix) for name in self._arrays if name.startswith(prefix)]

    def rows_by_frame(self) -> dict[int, list[int]]:
        rows: dict[int, list[int]] = defaultdict(list)
        for row, index in enumerate(self["frame"].tolist()):
            rows[index].append(row)
        return rows

    def codes(self, rows: list[int], model: str, family: str) -> Codes:
        """The raw codes of `rows`."""
        values = {name: torch.from_numpy(self[f"codes/{name}"][rows]) for name in self.names("codes/")}
        return Codes(values, model, family)


class Chunks:
    """The chunks of a working folder: ``chunk-0003.npz`` is there only when its segments are."""

    FOLDER = "chunks"

    def __init__(self, work: Path, kind: str = "chunk"):
        self.work, self._kind = work / self.FOLDER, kind
        self.work.mkdir(parents=True, exist_ok=True)
        self.count = 0
        while self._path(self.count).exists():
            self.count += 1
        self.frame_count = sum(len(chunk["frame_index"]) for chunk in self.read())

    def _path(self, number: int) -> Path:
        return self.work / f"{self._kind}-{number:05d}.npz"

    def read(self) -> Iterator[Chunk]:
        for number in range(self.count):
            with np.load(self._path(number), allow_pickle=False) as arrays:
                yield Chunk({name: arrays[name] for name in arrays.files})

    def write(self, frames: list[tuple[int, int, float]], rows: list[dict[str, Any]]) -> None:
        """The last step of a chunk: from now on it counts."""
        index, pts, time = zip(*frames, strict=True)
        arrays = {
            "frame_index": np.array(index, np.int64),
            "frame_pts": np.array(pts, np.int64),
            "frame_time": np.array(time, np.float64),
            "frame": np.zeros(0, np.int64),
        }
        arrays |= stack_rows(rows)
        write_npz(self._path(self.count), arrays, compressed=False)
        self.count += 1
        self.frame_count += len(frames)

    def frames(self) -> np.ndarray:
        """[T] of :data:`FRAME_TYPE`."""
        parts = [np.zeros(0, FRAME_TYPE)]
        for chunk in self.read():
            part = np.zeros(len(chunk["frame_index"]), FRAME_TYPE)
            for field_name in FRAME_TYPE.names:
                part[field_name] = chunk[f"frame_{field_name}"]
            parts.append(part)
        return np.concatenate(parts)


def stack_rows(rows: list[dict[str, Any]]) -> dict[str, np.ndarray]:
    """Faces' numbers as arrays [M, ...] by name, as far as all faces have them."""
    common = [name for name in rows[0] if all(name in row for row in rows)] if rows else []
    return {name: _stacked([row[name] for row in rows]) for name in common}


def _stacked(values: list[Any]) -> np.ndarray:
    """[M, ...]; values of differing lengths (faces with and without landmarks) are filled up with NaN."""
    arrays = [np.asarray(value) for value in values]
    if len({array.shape for array in arrays}) == 1:
        return np.stack(arrays)
    shape = np.max([array.shape for array in arrays], axis=0)
    filled = np.full((len(arrays), *shape), np.nan)
    for row, array in zip(filled, arrays, strict=True):
        row[tuple(slice(size) for size in array.shape)] = array
    return filled


# --- tracks ----------------------------------------------------------------------------------------------------------


@dataclass
class Track:
    """One person, in the N frames that show the face. Arrays may be memory-mapped.

    Args:
        person: the number.
        frames: [N] rising.
        times: [N] seconds.
        values: code -> [N, ...], what is drawn.
        raw: of those codes that were changed, what the model gave.
        faces: box [N, 4], score [N], and where there are any points [N, K, D] (NaN where there were none) and
            blendshapes [N, C].
        point_set: of the points.
    """

    person: int
    frames: np.ndarray
    times: np.ndarray
    values: dict[str, np.ndarray]
    raw: dict[str, np.ndarray] = field(default_factory=dict)
    faces: dict[str, np.ndarray] = field(default_factory=dict)
    point_set: str = ""

    def __len__(self) -> int:
        return len(self.frames)

    def codes(self, rows: slice | Sequence[int] | np.ndarray, model: str, family: str) -> Codes:
        """The codes of `rows`, read from the disk."""
        values = {name: torch.from_numpy(np.array(value[rows])) for name, value in self.values.items()}
        return Codes(values, model, family)

    def face(self, row: int) -> Face:
        face = Face(np.array(self.faces["box"][row]), float(self.faces["score"][row]))
        if "points" in self.faces:
            points = np.array(self.faces["points"][row])
            if not np.isnan(points).all():
                face.points, face.point_set = points[~np.isnan(points).all(1)], self.point_set
        if "blendshapes" in self.faces:
            face.blendshapes = blendshapes_of(self.faces["blendshapes"][row])
        return face


@dataclass
class Tracks:
    """All people of a video.

    Args:
        frames: [T] of :data:`FRAME_TYPE`.
        model, family: of the codes.
    """

    frames: np.ndarray
    people: list[Track]
    model: str
    family: str

    def at(self, index: int) -> tuple[list[int], list[Face], Codes | None]:
        """(people, faces, codes) of a frame, the largest face first."""
        rows = []
        for track in self.people:
            row = int(np.searchsorted(track.frames, index))
            if row < len(track) and track.frames[row] == index:
                rows.append((track, row, track.face(row)))
        rows.sort(key=lambda found: -found[2].area)
        if not rows:
            return [], [], None
        codes = Codes.concatenate([track.codes([row], self.model, self.family) for track, row, _ in rows])
        return [track.person for track, _, _ in rows], [face for _, _, face in rows], codes


class Shelf:
    """Where the arrays of tracks lie: files below a folder."""

    def __init__(self, folder: Path):
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def blank(self, name: str, shape: tuple[int, ...], dtype: Any, fill: float | None = None) -> np.ndarray:
        """A memory-mapped array. A disk found full now is an error; found full later, it is a crash."""
        path = self.folder / f"{name.replace('/', '-')}.npy"
        array = np.lib.format.open_memmap(path, "w+", dtype, shape)
        if hasattr(os, "posix_fallocate") and array.nbytes:
            with path.open("r+b") as file:
                os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
        if fill is not None:
            array[...] = fill
        return array

    def remove(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)


def tracks_of(chunks: Chunks, shelf: Shelf, model: str, family: str) -> Tracks:
    """What the chunks hold, person by person. `raw` holds what smoothing has changed already."""
    frames = chunks.frames()
    counts: dict[int, int] = defaultdict(int)
    for chunk in chunks.read():
        for person in chunk["person"].tolist() if len(chunk) else ():
            counts[person] += 1
    filled: dict[int, int] = dict.fromkeys(counts, 0)
    tracks = {
        person: Track(person, np.zeros(count, np.int64), np.zeros(count), {})
        for person, count in sorted(counts.items())
    }
    for chunk in chunks.read():
        for person in np.unique(chunk["person"]).tolist() if len(chunk) else ():
            rows = np.flatnonzero(chunk["person"] == person)
            start = filled[person]
            filled[person] += len(rows)
            _take_rows(tracks[person], chunk, rows, start, shelf)
    for track in tracks.values():
        track.times = frames["time"][np.searchsorted(frames["index"], track.frames)]
    return Tracks(frames, list(tracks.values()), model, family)


def _take_rows(track: Track, chunk: Chunk, rows: np.ndarray, start: int, shelf: Shelf) -> None:
    place = slice(start, start + len(rows))
    track.frames[place] = chunk["frame"][rows]
    mixed = chunk.names("mixed/")
    sources = [
        (track.values, name, f"mixed/{name}" if name in mixed else f"codes/{name}") for name in chunk.names("codes/")
    ]
    sources += [(track.raw, name, f"codes/{name}") for name in mixed if name not in FIXED]
    sources += [(track.faces, name, name) for name in FACE_ARRAYS if name in chunk]
    for target, name, column in sources:
        array = chunk[column][rows]
        if name not in target:
            kind = "raw" if target is track.raw else "codes" if target is track.values else "face"
            target[name] = shelf.blank(
                f"face{track.person}-{kind}-{name}", (len(track), *array.shape[1:]), array.dtype, _no_value(array)
            )
        if target[name].shape[1:] == array.shape[1:]:
            target[name][place] = array
    if "point_set" in chunk and not track.point_set:
        track.point_set = next((word for word in chunk["point_set"][rows].tolist() if word), "")


def _no_value(array: np.ndarray) -> float | None:
    return np.nan if array.dtype.kind == "f" else None


def track_of_file(stored: CodesFile, name: str, shelf: Shelf) -> Tracks:
    """The track of a ``codes.npz`` that was made of a video.

    Raises:
        InputError: its arrays don't go together, or there is no face in any frame.
    """
    codes, extras = stored.codes, stored.extras
    times = _extra(extras, "time", (len(codes),))
    damaged = InputError(name, "is a damaged codes file: its frames' times are none", "make it again")
    if not len(times) or not (np.abs(times) < LONGEST).all() or (np.diff(times) <= 0).any():
        raise damaged
    frames = np.zeros(len(times), FRAME_TYPE)
    frames["index"], frames["time"] = np.arange(len(times)), times
    frames["pts"] = np.rint((times - min(times[0], 0)) * STORED_TICKS)
    if (np.diff(frames["pts"]) <= 0).any():
        raise damaged
    arrays = {code: value.numpy() for code, value in codes.values.items()}
    seen = _seen(arrays, len(times))
    if not seen.any():
        raise InputError(name, f"no face in any of its {len(times)} frames")
    index = np.flatnonzero(seen)
    values = {code: _rows(array, index, shelf, f"face0-codes-{code}") for code, array in arrays.items()}
    faces = {
        "score": _extra(extras, "score", (len(times),))[index],
        "box": _extra(extras, "box", (len(times), 4))[index],
    }
    if "blendshapes" in extras and len(extras["blendshapes"]) == len(times):
        faces["blendshapes"] = _rows(extras["blendshapes"], index, shelf, "face0-blendshapes")
    track = Track(0, index, times[index], values, faces=faces)
    return Tracks(frames, [track], codes.model, codes.family)


STORED_TICKS = 90_000
"""Ticks a second of frames whose times come from a file of codes."""
LONGEST = 1e7
"""Seconds; what is beyond is no time."""


def _extra(extras: Any, name: str, shape: tuple[int, ...]) -> np.ndarray:
    found = np.asarray(extras[name]) if name in extras else None
    usable = found is not None and found.shape == shape and found.dtype.kind in "fiu"
    return found.astype(np.float64) if usable else np.full(shape, np.nan)


def _seen(arrays: dict[str, np.ndarray], count: int) -> np.ndarray:
    """[T] in which frames all codes are numbers."""
    seen = np.ones(count, bool)
    for array in arrays.values():
        for part in _blocks(array):
            seen[part] &= np.isfinite(array[part].reshape(len(array[part]), -1)).all(1)
    return seen


def _rows(array: np.ndarray, index: np.ndarray, shelf: Shelf, name: str) -> np.ndarray:
    if len(index) == len(array):
        return array
    picked = shelf.blank(name, (len(index), *array.shape[1:]), array.dtype)
    for part in _blocks(picked):
        picked[part] = array[index[part]]
    return picked


def _blocks(array: np.ndarray) -> Iterator[slice]:
    """Slices of the first axis, each of bearable size."""
    size = max(BLOCK_NUMBERS // max(int(np.prod(array.shape[1:])), 1), 1)
    for start in range(0, len(array), size):
        yield slice(start, min(start + size, len(array)))


# --- the mix step of whole tracks ------------------------------------------------------------------------------------


def held_codes(settings: Settings, model: Reconstructor, known: Sequence[str]) -> tuple[str, ...]:
    """The codes among `known` that a person keeps: the model's `constants`, and those that the user names.

    Raises:
        UsageError: there is no such code.
    """
    asked = [name for name in settings.hold if name != AUTO]
    unknown = [name for name in asked if name not in known or name in FIXED]
    if unknown:
        names = ", ".join(name for name in known if name not in FIXED)
        raise UsageError(f"the model {settings.model} has no code {unknown[0]!r} to hold; it has {names}")
    return tuple(name for name in dict.fromkeys((*model.constants, *asked)) if name in known)


def hold_constants(
    tracks: Tracks,
    names: Sequence[str],
    model: Reconstructor,
    shelf: Shelf,
    *,
    shared: Mapping[str, np.ndarray] | None = None,
    keep_raw: bool = False,
) -> Tracks:
    """The codes `names` at each person's median, which the model's other codes follow.

    Args:
        shared: codes [...] of the main person that other inputs told, too; they count instead of medians.
        keep_raw: keep what the model gave.
    """
    main = main_person(tracks) if shared and tracks.people else None

    def held(track: Track) -> Track:
        given = shared if track is main else {}
        fixed = {name: given[name] if name in given else median_of(track.values[name])
                 for name in names if name in track.values}  # fmt: skip
        values = {name: np.broadcast_to(value, (len(track), *value.shape)) for name, value in fixed.items()}
        values |= _following(replace(track, values=track.values | values), track, tracks, names, model, shelf)
        raw = {name: track.values[name] for name in values} if keep_raw else {}
        return replace(track, values=track.values | values, raw=raw | track.raw)

    return replace(tracks, people=[held(track) for track in tracks.people])


FOLLOW_FRAMES = 256
"""Frames whose codes follow at once."""


def _following(
    track: Track, before: Track, tracks: Tracks, kept: Sequence[str], model: Reconstructor, shelf: Shelf
) -> dict[str, np.ndarray]:
    """The codes [N, ...] by name that follow what `track` has replaced of `before`, see
    :func:`facecli.reconstruction.following.follow`."""
    out: dict[str, np.ndarray] = {}
    if not hasattr(model, "follow"):
        return out
    for start in range(0, len(track), FOLLOW_FRAMES):
        part = slice(start, start + FOLLOW_FRAMES)
        codes, found = (one.codes(part, tracks.model, tracks.family) for one in (track, before))
        for name, value in follow(codes, found, model, kept).values.items():
            if value is codes[name]:
                continue
            if name not in out:
                own = before.values[name]
                out[name] = shelf.blank(f"face{track.person}-followed-{name}", own.shape, own.dtype)
                out[name][...] = own
            out[name][part] = value.numpy(force=True)
    return out


def mix_tracks(
    tracks: Tracks,
    settings: Settings,
    model: Reconstructor,
    shelf: Shelf,
    shared: Mapping[str, np.ndarray] | None = None,
) -> Tracks:
    """Whole tracks as they are drawn: constants and what is to be held at each person's median, the rest smoothed.

    Args:
        shared: codes [...] of the main person that other inputs told, too.

    Raises:
        UsageError: there is no such code to hold.
    """
    known = tuple(tracks.people[0].values) if tracks.people else ()
    held = held_codes(settings, model, known)
    # Smoothing comes last: what follows is fitted to where the model saw the face in each frame, and nothing that was
    # fitted frame by frame is left unsmoothed. (The other way about, points jump as much, and lie no nearer.)
    tracks = hold_constants(tracks, held, model, shelf, shared=shared, keep_raw=True)
    if settings.smoother is None:
        return tracks
    smooth = _savgol if settings.smoother == "savgol" else _one_euro
    people = [smooth(track, tracks, set(held) | set(FIXED), settings, model, shelf) for track in tracks.people]
    return replace(tracks, people=people)


def main_person(tracks: Tracks) -> Track:
    """Who fills most of the video: the largest and longest seen."""
    return max(tracks.people, key=_seen_area)


def _seen_area(track: Track) -> float:
    """The areas of all boxes together; frames count where these aren't known."""
    boxes = np.nan_to_num(np.asarray(track.faces["box"], np.float64))
    return float(np.prod(boxes[:, 2:] - boxes[:, :2], axis=1).sum()) + 1e-9 * len(track)


def median_of(values: np.ndarray) -> np.ndarray:
    """[...] of values [N, ...], a part of the columns at a time."""
    columns = values.reshape(len(values), -1)
    size = max(BLOCK_NUMBERS // len(values), 1)
    parts = [
        torch.from_numpy(np.array(columns[:, start : start + size])).median(0).values
        for start in range(0, columns.shape[1], size)
    ]
    return torch.cat(parts).numpy().reshape(values.shape[1:])


def _one_euro(
    track: Track, tracks: Tracks, left_alone: set[str], settings: Settings, model: Reconstructor, shelf: Shelf
) -> Track:
    smoother = CodesSmoother.of(model)
    out = _outputs(track, left_alone, shelf)
    for row, time in enumerate(track.times.tolist()):
        smoothed = smoother(track.codes([row], tracks.model, tracks.family), time)
        for name, array in out.items():
            array[row] = smoothed[name][0].numpy(force=True)
    return _with(track, out)


def _savgol(
    track: Track, tracks: Tracks, left_alone: set[str], settings: Settings, model: Reconstructor, shelf: Shelf
) -> Track:
    steady, unsteady = steadiers(model)
    out = _outputs(track, left_alone, shelf)
    firm = _converted(track, tracks, steady, out, shelf, "steady")
    for name, array in out.items():
        savitzky_golay(
            firm.values[name], track.times, window=settings.smooth_window, rotations=name in ROTATIONS, out=array
        )
    smoothed = _with(track, out)
    return _with(track, _converted(smoothed, tracks, unsteady, out, shelf, "smooth").values)


def _outputs(track: Track, left_alone: set[str], shelf: Shelf) -> dict[str, np.ndarray]:
    changing = [name for name in track.values if name not in left_alone]
    return {
        name: shelf.blank(f"face{track.person}-smoothed-{name}", track.values[name].shape, track.values[name].dtype)
        for name in changing
    }


def _converted(
    track: Track,
    tracks: Tracks,
    convert: Callable[[Codes], Codes],
    names: Sequence[str],
    shelf: Shelf,
    kind: str,
) -> Track:
    """The track with `convert` applied to its codes; only what that changes is written anew."""
    values, sample = dict(track.values), track.codes([0], tracks.model, tracks.family)
    after = convert(sample)
    changed = [name for name in names if after[name] is not sample[name]]
    for name in changed:
        values[name] = shelf.blank(f"face{track.person}-{kind}-{name}", track.values[name].shape, np.float32)
    if changed:
        for start in range(0, len(track), 4096):
            part = slice(start, start + 4096)
            converted = convert(track.codes(part, tracks.model, tracks.family))
            for name in changed:
                values[name][part] = converted[name].numpy(force=True)
    return replace(track, values=values)


def _with(track: Track, changed: dict[str, np.ndarray]) -> Track:
    values = track.values | changed
    raw = {name: track.raw.get(name, track.values[name]) for name in changed if values[name] is not track.values[name]}
    return replace(track, values=values, raw=track.raw | raw)
