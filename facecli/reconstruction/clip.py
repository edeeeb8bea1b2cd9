"""What one video gives: an overlay video, and for each person codes over time and a mesh whose animation plays.

A video is written in chunks of frames: a segment of the overlay and a file with the faces' codes, put in place
together. A run that was killed goes on behind the last whole chunk: earlier frames are replayed from their chunks (to
the tracker and the smoothing, so that results don't depend on where it was cut) and not computed again.
"""

from __future__ import annotations

import os
import shutil
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from facecli.codes import Codes, save_codes
from facecli.detect.face import Face
from facecli.errors import InputError
from facecli.export.animation import write_animated_glb
from facecli.export.detail import with_normal_map
from facecli.export.face_json import face_record, head_angles, to_jsonable, write_json
from facecli.export.rig import at_rest, code_weights
from facecli.geometry.mesh import TriangleMesh
from facecli.io.arrays import write_npz
from facecli.io.video import SegmentWriter, VideoReader, assemble_video
from facecli.plugin import Reconstruction, Reconstructor
from facecli.reconstruction.folder import ResultFolder
from facecli.reconstruction.people import People
from facecli.reconstruction.picture import (
    completed_texture,
    overlay_of,
    projection,
    sampled_texture,
    write_meshes,
    write_pictures,
)
from facecli.reconstruction.settings import Settings
from facecli.reconstruction.stream import Frame
from facecli.smoothing import FIXED

CHUNK_FRAMES = 120
"""Frames between two points from which a killed run goes on: a few seconds of work."""

DECODE_FRAMES = 256
"""Frames decoded at once when the animation is written."""

DETAIL_FRAMES = 16
"""The same for models with detail, which decode a hundred times as much."""

BETTER_VIEW = 1.15
"""A frame gives a person's texture when it shows the face so much better than the best before."""

PER_FRAME = {"obj": "meshes", "ply": "meshes", "depth": "depth", "normals": "normals", "crop": "crops"}
"""Folders, below a person's, of files that a video has one of for each frame."""


@dataclass
class Rendered:
    """What a worker made of one frame, to be put in order: the overlay, and (person -> texture, weight, view)."""

    overlay: np.ndarray | None
    textures: dict[int, tuple[np.ndarray, np.ndarray | None, float]]


class Clip:
    """One video on its way; frames pass `mix`, `render` and `add` in this order, the middle one in any thread.

    Args:
        name: the video as the user named it.
        folder: its result folder, begun or resumed.

    When it is finished, `problem` says how the file ended if not at its end, `note` what is wrong with its sound.
    """

    def __init__(self, name: str, path: Path, folder: ResultFolder, settings: Settings, model: Reconstructor):
        self.name, self.path, self.folder, self.settings, self.model = name, path, folder, settings, model
        self.save = settings.saves(video=True)
        self.problem: str | None = None
        self.note: str | None = None
        self.meshes: dict[int, TriangleMesh] = {}
        self._people = People(settings, model)
        self._chunks: Chunks | None = None
        self._rows: list[dict[str, np.ndarray]] = []
        self._frames: list[tuple[int, int, float]] = []
        self._segment: SegmentWriter | None = None

    # --- reading -----------------------------------------------------------------------------------------------------

    def read(self, *, overwrite: bool = False) -> Iterator[Frame]:
        """All frames: those of whole chunks replayed, the others decoded; with `overwrite` all decoded.

        Raises:
            InputError: it can't be opened, or another process is at work on it.
        """
        with VideoReader(self.path) as self.reader:
            self.folder.resume(overwrite=overwrite)
            self._chunks, self.textures = Chunks(self.folder.work), Textures(self.folder.work)
            yield from self._replayed()
            for video_frame in self.reader.frames(start=self._chunks.frame_count):
                yield Frame(
                    self.name, self, video_frame.index, video_frame.pts, video_frame.time, image=video_frame.image
                )
            self.problem = self.reader.problem

    @property
    def frame_count_hint(self) -> int | None:
        return self.reader.frame_count_hint

    def _replayed(self) -> Iterator[Frame]:
        for chunk in self._chunks.read():
            rows_of = chunk.rows_by_frame()
            for index, time in zip(chunk["frame_index"].tolist(), chunk["frame_time"].tolist(), strict=True):
                rows = rows_of.get(index, [])
                faces = [Face(chunk["box"][row], float(chunk["score"][row])) for row in rows]
                codes = chunk.codes(rows, self.settings.model, self.model.family) if rows else None
                yield Frame(
                    self.name, self, index, None, time, skip=True, faces=faces, codes=codes,
                    appearances=[chunk["appearance"][row] for row in rows],
                )  # fmt: skip

    # --- in order, before decoding -----------------------------------------------------------------------------------

    def mix(self, frame: Frame) -> None:
        """Numbers the frame's people and smooths their codes."""
        self._people(frame)

    # --- in a worker -------------------------------------------------------------------------------------------------

    def render(self, frame: Frame) -> Rendered:
        """The pictures of one frame."""
        overlay, textures = None, {}
        if "overlay" in self.save:
            overlay = overlay_of(frame, self.settings) if frame.faces else frame.image
        for number, person in enumerate(frame.people):
            self._write_per_frame(frame, number, person)
            if "glb" in self.save:
                view = self._view(frame, number)
                if self.textures.is_better(person, view):  # perhaps no longer when its turn comes: `add` asks again
                    sampled = sampled_texture(frame, number, self.settings)
                    if sampled is not None:
                        textures[person] = (*sampled, view)
        return Rendered(overlay, textures)

    @staticmethod
    def _view(frame: Frame, number: int) -> float:
        """How well the face is seen: how sharp its crop is (which large faces are, too), and how much faces us.

        The share of triangles that face us counts much: it also falls where a grimace folds the mesh.
        """
        projected, triangles = projection(frame.reconstruction, number)
        (ax, ay), (bx, by) = (
            projected[triangles[:, corner], :2].T - projected[triangles[:, 0], :2].T for corner in (1, 2)
        )
        facing = float((ax * by < ay * bx).mean())  # counter-clockwise, with y down
        grey = frame.crops[number].image.mean(0)
        return facing**8 * float(cv2.Laplacian(grey, cv2.CV_32F).std())

    def _write_per_frame(self, frame: Frame, number: int, person: int) -> None:
        chosen = [kind for kind in self.save if kind in PER_FRAME]
        for kind in chosen:
            folder = self.folder.work / f"face{person}" / PER_FRAME[kind]
            folder.mkdir(parents=True, exist_ok=True)
            stem = f"{frame.index:06d}"
            if kind in ("obj", "ply"):
                write_meshes(folder, frame.reconstruction.mesh(number), (kind,), stem)
            else:
                write_pictures(frame, number, folder, self.settings, (kind,), stem)

    # --- in order, after rendering -----------------------------------------------------------------------------------

    def add(self, frame: Frame, rendered: Rendered | None) -> None:
        """Takes a frame in; every CHUNK_FRAMES of them become a chunk on disk."""
        if frame.skip:
            return
        self._frames.append((frame.index, frame.pts, frame.time))
        if rendered is not None:
            for person, (texture, weight, view) in rendered.textures.items():
                if self.textures.is_better(person, view):
                    self.textures.keep(person, texture, weight, view)
            self._add_overlay(rendered.overlay)
        if not frame.error:
            self._rows += [self._row(frame, number) for number in range(len(frame.faces))]
        if len(self._frames) >= CHUNK_FRAMES:
            self.flush()

    def _add_overlay(self, overlay: np.ndarray | None) -> None:
        if overlay is None:
            return
        with self.folder.writing():
            if self._segment is None:
                height, width = overlay.shape[:2]
                self._segment = SegmentWriter(self._chunks.segment_part, (width, height), self.reader.average_rate)
            self._segment.write(overlay)

    def _row(self, frame: Frame, number: int) -> dict[str, Any]:
        face = frame.faces[number]
        row = {
            "frame": frame.index,
            "person": frame.people[number],
            "box": face.box,
            "score": face.score,
            "appearance": frame.appearances[number],
        }
        row |= {f"codes/{name}": value[number].numpy(force=True) for name, value in frame.codes.values.items()}
        if frame.mixed is not frame.codes:
            row |= {f"mixed/{name}": value[number].numpy(force=True) for name, value in frame.mixed.values.items()}
        if face.blendshapes:
            row["blendshapes"] = np.array(list(face.blendshapes.values()), np.float32)
        return row

    def flush(self) -> None:
        """Puts what was added since the last chunk on disk, for good."""
        if not self._frames:
            return
        with self.folder.writing():
            if self._segment is not None:
                self._segment.close()
                self._segment = None
            self.textures.flush()
            self._chunks.write(self._frames, self._rows)
        self._frames, self._rows = [], []

    def abandon(self) -> None:
        """Stop without a result; whole chunks stay for the next run."""
        if self._segment is not None:
            self._segment.abort()
            self._segment = None
        if self._chunks is not None and self._chunks.frame_count:
            self.folder.release()
        elif self._chunks is not None:
            self.folder.discard()

    # --- at the end --------------------------------------------------------------------------------------------------

    def finish(self) -> Iterator[dict[str, Any]]:
        """Writes all results and puts the folder in place; yields its records.

        Raises:
            InputError: there was no face in any frame.
        """
        self.flush()
        frames = self._chunks.frames()
        people = self._chunks.people()
        if not people:
            self.folder.discard()
            raise InputError(self.name, f"no face in any of its {len(frames)} frames", "try --confidence 0.2")
        with self.folder.writing():
            if "overlay" in self.save:
                self._write_overlay(frames)
            for person in people:
                self._write_person(person, frames)
            self._chunks.forget_segments()
        self.folder.finish(self._records(), self.problem)
        self._chunks.remove_from(self.folder.final)
        return self.folder.records()

    def _write_overlay(self, frames: np.ndarray) -> None:
        self.note = assemble_video(
            self.folder.work / "overlay.mp4",
            self._chunks.segments(),
            frames["pts"].tolist(),
            self.reader.time_base,
            audio_from=self.path if self.reader.has_audio else None,
        )

    def _write_person(self, person: int, frames: np.ndarray) -> None:
        folder = self.folder.work / f"face{person}"
        folder.mkdir(exist_ok=True)
        track = self._chunks.track(person, len(frames), self.settings.model, self.model)
        extras = {"time": frames["time"], "box": track.boxes, "score": track.scores, **track.extras}
        if "codes" in self.save:
            save_codes(folder / "codes.npz", track.codes, **extras)
        if "glb" in self.save:
            self._write_animation(folder / "mesh.glb", person, track, frames["time"])
        if "json" in self.save:
            record = {
                "input": self.name,
                "face": person,
                "model": self.settings.model,
                "frames": len(frames),
                "frames_with_face": int(track.visible.sum()),
                "first_frame": int(track.visible.argmax()),
                "time": [float(frames["time"][0]), float(frames["time"][-1])],
                "mean_score": float(np.nanmean(track.scores)),
            }
            write_json(folder / "face.json", record)

    def _write_animation(self, path: Path, person: int, track: Track, times: np.ndarray) -> None:
        start = int(track.visible.argmax())
        first = self._track_codes(track, slice(start, start + 1))
        rig = self.model.rig() if hasattr(self.model, "rig") else None
        if rig is not None:
            first = at_rest(rig, first)
        decoded = self._decode(first)
        sampled = self.textures.of(person)
        mesh = decoded.mesh(0, None if sampled is None else completed_texture(decoded, *sampled, self.settings))
        mesh = with_normal_map(mesh, decoded, 0)
        poses = np.full((len(times), 4, 4), np.nan)
        shape = tuple(decoded.vertices.shape[1:])
        step = DECODE_FRAMES if decoded.detail is None else DETAIL_FRAMES

        def positions() -> Iterator[np.ndarray]:
            for start in range(0, len(times), step):
                part = slice(start, min(start + step, len(times)))
                seen = track.visible[part]
                vertices = np.full((len(seen), *shape), np.nan, np.float32)
                if seen.any():
                    index = np.flatnonzero(seen) + start
                    found = self._decode(self._track_codes(track, index))
                    vertices[seen] = found.vertices.numpy(force=True)
                    if found.head_pose is not None:
                        poses[index] = found.head_pose.numpy(force=True)
                yield vertices

        self.meshes[person] = mesh
        write_animated_glb(
            path,
            mesh,
            times,
            positions,
            None if decoded.head_pose is None else lambda: _centred(poses, track.visible),  # when all are decoded
            visible=track.visible,
            rig=rig,
            weights=None if rig is None else code_weights(rig, track.codes),
        )

    @staticmethod
    def _track_codes(track: Track, index: slice | np.ndarray) -> Codes:
        index = index if isinstance(index, slice) else torch.from_numpy(index)
        return Codes({name: value[index] for name, value in track.codes.values.items()}, track.codes.model)

    def _decode(self, codes: Codes) -> Reconstruction:
        with torch.inference_mode():
            return self.model.decode(codes)

    def _records(self) -> Iterator[dict[str, Any]]:
        """One record a face and frame, in the order of the frames."""
        files = {
            "mesh": "face{}/mesh.glb" if "glb" in self.save else None,
            "overlay": "overlay.mp4" if "overlay" in self.save else None,
            "codes": "face{}/codes.npz" if "codes" in self.save else None,
        }
        for chunk in self._chunks.read():
            times = dict(zip(chunk["frame_index"].tolist(), chunk["frame_time"].tolist(), strict=True))
            poses = self._poses(chunk)
            for row in range(len(chunk["frame"])):
                index, person = int(chunk["frame"][row]), int(chunk["person"][row])
                record = face_record(
                    input=self.name, face=person, model=self.settings.model, box=chunk["box"][row],
                    score=float(chunk["score"][row]), frame=index, time=times[index],
                    files={key: path and path.format(person) for key, path in files.items()},
                )  # fmt: skip
                for key in ("photo_size", "head_pose", "landmarks", "camera"):
                    del record[key]
                record["head_angles"] = None if poses is None else to_jsonable(head_angles(poses[row]))
                yield record

    def _poses(self, chunk: Chunk) -> np.ndarray | None:
        rows = list(range(len(chunk["frame"])))
        if not rows:
            return None
        with torch.inference_mode():
            pose = self.model.decode(chunk.codes(rows, self.settings.model, self.model.family, mixed=True)).head_pose
        return None if pose is None else pose.numpy(force=True)


def _centred(poses: np.ndarray, visible: np.ndarray) -> np.ndarray:
    """Poses moved so that the head is, on the middle frame's account, at the origin: viewers look there."""
    poses = poses.copy()
    poses[:, :3, 3] -= np.median(poses[visible, :3, 3], axis=0)
    return poses


# --- the working files -----------------------------------------------------------------------------------------------


class Chunk:
    """One chunk's arrays: `frame_*` of its frames [n], and rows [M] of the faces in them."""

    def __init__(self, arrays: dict[str, np.ndarray]):
        self._arrays = arrays

    def __getitem__(self, name: str) -> np.ndarray:
        return self._arrays[name]

    def names(self, prefix: str) -> list[str]:
        return [name.removeprefix(prefix) for name in self._arrays if name.startswith(prefix)]

    def rows_by_frame(self) -> dict[int, list[int]]:
        rows: dict[int, list[int]] = defaultdict(list)
        for row, index in enumerate(self["frame"].tolist()):
            rows[index].append(row)
        return rows

    def codes(self, rows: list[int], model: str, family: str, *, mixed: bool = False) -> Codes:
        """The raw (or, where there are any, the mixed) codes of `rows`."""
        prefix = "mixed/" if mixed and self.names("mixed/") else "codes/"
        values = {name: torch.from_numpy(self[f"{prefix}{name}"][rows]) for name in self.names(prefix)}
        return Codes(values, model, family)


@dataclass
class Track:
    """One person over all T frames; NaN where the face is not seen."""

    codes: Codes
    visible: np.ndarray
    boxes: np.ndarray
    scores: np.ndarray
    extras: dict[str, np.ndarray]


FRAME_TYPE = np.dtype([("index", np.int64), ("pts", np.int64), ("time", np.float64)])


class Chunks:
    """The chunks of a working folder: ``chunk-0003.npz`` is there only when its segment is."""

    def __init__(self, work: Path):
        self.work = work / "chunks"
        self.work.mkdir(parents=True, exist_ok=True)
        self._count = 0
        while self._path(self._count).exists():
            self._count += 1
        self.frame_count = sum(len(chunk["frame_index"]) for chunk in self.read())

    def _path(self, number: int) -> Path:
        return self.work / f"chunk-{number:05d}.npz"

    def _segment_path(self, number: int) -> Path:
        return self.work / f"overlay-{number:05d}.mp4"

    @property
    def segment_part(self) -> Path:
        """Where the segment of the next chunk is written to."""
        return self._segment_path(self._count)

    def read(self) -> Iterator[Chunk]:
        for number in range(self._count):
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
        if rows:
            arrays |= {name: np.array([row[name] for row in rows]) for name in rows[0] if all(name in r for r in rows)}
        write_npz(self._path(self._count), arrays, compressed=False)
        self._count += 1
        self.frame_count += len(frames)

    def frames(self) -> np.ndarray:
        """[T] of :data:`FRAME_TYPE`."""
        parts = [np.zeros(0, FRAME_TYPE)]
        for chunk in self.read():
            part = np.zeros(len(chunk["frame_index"]), FRAME_TYPE)
            for field in FRAME_TYPE.names:
                part[field] = chunk[f"frame_{field}"]
            parts.append(part)
        return np.concatenate(parts)

    def people(self) -> list[int]:
        found = [np.unique(chunk["person"]) for chunk in self.read() if len(chunk["frame"])]
        return np.unique(np.concatenate(found)).tolist() if found else []

    def segments(self) -> list[Path]:
        return [self._segment_path(number) for number in range(self._count) if self._segment_path(number).exists()]

    def track(self, person: int, frame_count: int, model: str, reconstructor: Reconstructor) -> Track:
        """One person's codes over time, on disk (memory-mapped); constants are held at their median."""
        arrays: dict[str, np.ndarray] = {}
        visible = np.zeros(frame_count, bool)
        for chunk in self.read():
            if not len(chunk["frame"]):
                continue
            rows = np.flatnonzero(chunk["person"] == person)
            if not len(rows):
                continue
            index = chunk["frame"][rows]
            visible[index] = True
            codes = chunk.codes(rows.tolist(), model, "", mixed=True).values
            others = {name: torch.from_numpy(np.asarray(chunk[name][rows], np.float64)) for name in ("box", "score")}
            if "blendshapes" in chunk.names(""):
                others["blendshapes"] = torch.from_numpy(chunk["blendshapes"][rows])
            for name, value in {**{f"codes/{n}": v for n, v in codes.items()}, **others}.items():
                if name not in arrays:
                    arrays[name] = self._blank(f"face{person}-{name.replace('/', '-')}", frame_count, value.numpy())
                arrays[name][index] = value.numpy()
        values = {n.removeprefix("codes/"): torch.from_numpy(a) for n, a in arrays.items() if n.startswith("codes/")}
        for name in (*reconstructor.constants, *FIXED):
            if name in values:
                values[name][torch.from_numpy(visible)] = values[name][torch.from_numpy(visible)].median(0).values
        extras = {"blendshapes": arrays["blendshapes"]} if "blendshapes" in arrays else {}
        codes = Codes(values, model, reconstructor.family)
        return Track(codes, visible, arrays["box"], arrays["score"], extras)

    def _blank(self, name: str, frame_count: int, like: np.ndarray) -> np.ndarray:
        """An array of NaN [T, ...] in a file. A disk found full now is an error; found full later, it is a crash."""
        shape = (frame_count, *like.shape[1:])
        path = self.work / f"{name}.npy"
        array = np.lib.format.open_memmap(path, "w+", like.dtype, shape)
        if hasattr(os, "posix_fallocate"):
            with path.open("r+b") as file:
                os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
        array[:] = np.nan
        return array

    def forget_segments(self) -> None:
        for path in self.segments():
            path.unlink(missing_ok=True)

    def remove_from(self, folder: Path) -> None:
        """The working files, which came along when the folder was put in place."""
        shutil.rmtree(folder / self.work.name, ignore_errors=True)
        shutil.rmtree(folder / Textures.FOLDER, ignore_errors=True)


class Textures:
    """The best texture of each person so far, kept on disk with the chunks."""

    FOLDER = "textures"

    def __init__(self, work: Path):
        self.folder = work / self.FOLDER
        self._new: dict[int, dict[str, np.ndarray]] = {}
        self._views = {int(path.stem): float(np.load(path)["view"]) for path in self.folder.glob("*.npz")}

    def is_better(self, person: int, view: float) -> bool:
        """Whether a frame that shows the face so well should give its texture."""
        return view > self._views.get(person, 0.0) * BETTER_VIEW

    def keep(self, person: int, texture: np.ndarray, weight: np.ndarray | None, view: float) -> None:
        seen = {} if weight is None else {"weight": weight.astype(np.float16)}
        self._new[person] = {"texture": texture, "view": np.float64(view), **seen}
        self._views[person] = view

    def flush(self) -> None:
        for person, arrays in self._new.items():
            write_npz(self._path(person), arrays, compressed=False)
        self._new = {}

    def of(self, person: int) -> tuple[np.ndarray, np.ndarray | None] | None:
        """(texture, weight) as `keep` got them."""
        if not self._path(person).exists():
            return None
        with np.load(self._path(person), allow_pickle=False) as arrays:
            weight = arrays["weight"].astype(np.float32) if "weight" in arrays.files else None
            return arrays["texture"], weight

    def _path(self, person: int) -> Path:
        return self.folder / f"{person}.npz"
