"""What one video gives: an overlay video, and for each person codes over time and a mesh whose animation plays.

A clip is drawn frame by frame (see `passes`) and finished from the tracks of its people.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from facecli.codes import Codes, save_codes
from facecli.errors import InputError, PluginError
from facecli.export.animation import write_animated_glb
from facecli.export.detail import with_normal_map, write_detail
from facecli.export.face_json import face_record, head_angles, to_jsonable, write_json
from facecli.export.parts import Turns, parts_of
from facecli.export.rig import at_rest, code_weights, in_arkit
from facecli.geometry.mesh import TriangleMesh
from facecli.io.arrays import write_npz
from facecli.io.images import read_image
from facecli.io.video import SegmentWriter, assemble_video
from facecli.plugin import Reconstruction
from facecli.reconstruction.arkit import NoWeights, source_of, track_of, write_track
from facecli.reconstruction.film import Film
from facecli.reconstruction.folder import ResultFolder
from facecli.reconstruction.layouts import Places
from facecli.reconstruction.picture import (
    check_detail,
    completed_texture,
    overlay_of,
    projection,
    sampled_texture,
    views_of,
    write_meshes,
    write_model_pictures,
    write_pictures,
)
from facecli.reconstruction.segments import Segments
from facecli.reconstruction.settings import FRAME_FOLDERS
from facecli.reconstruction.stream import FaceStream, Frame
from facecli.reconstruction.tracks import Chunk, Chunks, Shelf, Track, Tracks

DECODE_FRAMES = 256
"""Frames decoded at once when the animation is written."""

DETAIL_FRAMES = 16
"""The same for models with detail, which decode a hundred times as much."""

BETTER_VIEW = 1.15
"""A frame gives a person's texture when it shows the face so much better than the best before."""

NO_FACE_IN_FRAMES = "no face in any of its {} frames"


@dataclass
class Painted:
    """What a worker made of one frame, to be put in order.

    Args:
        streams: name -> the frame's picture in that video.
        textures: person -> (texture, weight, view).
    """

    streams: dict[str, np.ndarray] = field(default_factory=dict)
    textures: dict[int, tuple[np.ndarray, np.ndarray | None, float]] = field(default_factory=dict)


class Clip:
    """One video's results. For each frame first `paint` (in any thread), then `take` in order; at last `finish`.

    Args:
        name: the video as the user named it; `source` its file's name, and `stem` what layouts call its files by.
        folder: its result folder, begun or resumed when the first frame comes.
        open_film: opens what it is drawn on.

    `notes` are what its records tell further, and `files` name further files (key -> path in the folder).

    When it is finished, `problem` says how the file ended if not at its end, `note` what is wrong with its sound.
    """

    def __init__(
        self,
        name: str,
        folder: ResultFolder,
        stream: FaceStream,
        open_film: Callable[[], Film],
        *,
        stem: str = "",
        source: str = "",
        places: Places | None = None,
    ):
        self.name, self.folder, self.open_film = name, folder, open_film
        self.stem, self.source, self.places = stem or folder.final.name, source or folder.final.name, places or Places()
        self.stream, self.settings, self.model, self.layout = stream, stream.settings, stream.model, stream.layout
        self.save = self.settings.saves(video=True)
        self.problem: str | None = None
        self.note: str | None = None
        self.notes: dict[str, Any] = {}
        self.files: dict[str, str] = {}
        self.meshes: dict[int, TriangleMesh] = {}
        self._chunks: Chunks | None = None
        self._pictures: dict[int, dict[str, str]] = {}
        self._with_arkit: set[int] = set()
        self._sizes: dict[str, tuple[int, ...]] = {}

    def begin(self, film: Film, chunks: Chunks) -> None:
        """The frames that `chunks` don't hold yet are to come."""
        self._film, self._chunks = film, chunks
        self._segments = Segments(chunks.work, chunks.count, film.average_rate)
        self.textures = Textures(self.folder.work)
        self._root = None if self.layout is None else self.folder.stage(self.places).root

    # --- in a worker -------------------------------------------------------------------------------------------------

    def paint(self, frame: Frame) -> Painted:
        """The pictures of one frame."""
        painted = Painted()
        if "overlay" in self.save:
            painted.streams["overlay"] = overlay_of(frame, self.settings) if frame.faces else frame.image
        if self.layout is not None:
            painted.streams |= self._laid_out(frame)
        if frame.faces:
            check_detail(frame, self.settings, self.save)
            self._check_arkit(frame)
        for number, person in enumerate(frame.people):
            self._write_per_frame(frame, number, person)
            if "glb" in self.save:
                view = self._view(frame, number)
                if self.textures.is_better(person, view):  # perhaps no longer when its turn comes: `take` asks again
                    sampled = sampled_texture(frame, number, self.settings)
                    if sampled is not None:
                        painted.textures[person] = (*sampled, view)
        return painted

    def _laid_out(self, frame: Frame) -> dict[str, np.ndarray]:
        with torch.inference_mode():
            views = views_of(frame, self.stem, self.source)
            if views:
                self.layout.write_frame(self._root, views)
            if self.layout.video_name(self.source) is None:
                return {}
            return {"layout": self.layout.video_frame(frame.image, views)}

    @staticmethod
    def _view(frame: Frame, number: int) -> float:
        """How well the face is seen: how sharp its crop is (which large faces are, too), and how much faces us.

        The share of triangles that face us counts much: it also falls where a grimace folds the mesh.
        """
        projected, triangles = projection(frame.reconstruction if frame.own is None else frame.own, number)
        (ax, ay), (bx, by) = (
            projected[triangles[:, corner], :2].T - projected[triangles[:, 0], :2].T for corner in (1, 2)
        )
        facing = float((ax * by < ay * bx).mean())  # counter-clockwise, with y down
        return facing**8 * float(cv2.Laplacian(_grey_crop(frame, number), cv2.CV_32F).std())

    def _write_per_frame(self, frame: Frame, number: int, person: int) -> None:
        stem, below = f"{frame.index:06d}", self.folder.work / f"face{person}"
        for kind in self.save:
            if kind not in FRAME_FOLDERS:
                continue
            folder = below / FRAME_FOLDERS[kind]
            folder.mkdir(parents=True, exist_ok=True)
            if kind in ("obj", "ply"):
                write_meshes(folder, frame.reconstruction.mesh(number), (kind,), stem)
            elif kind == "detail":
                write_detail(folder, frame.reconstruction, number, None, self.save, stem)
            else:
                write_pictures(frame, number, folder, self.settings, (kind,), stem)
        write_model_pictures(frame, number, below, stem)

    def _check_arkit(self, frame: Frame) -> None:
        """
        Raises:
            NoWeights: the user asks for ARKit weights by name, and there are none. Better now than at the end.
        """
        if "arkit" in self.save and "arkit" not in self.settings.implied:
            told = all(face.blendshapes for face in frame.faces)
            source_of(self.model, self.settings.model, frame.mixed, frame.reconstruction, told=told)

    # --- in order, after painting ------------------------------------------------------------------------------------

    def take(self, painted: Painted) -> None:
        """Takes in the next frame."""
        for person, (texture, weight, view) in painted.textures.items():
            if self.textures.is_better(person, view):
                self.textures.keep(person, texture, weight, view)
        with self.folder.writing():
            for name, image in painted.streams.items():
                if self._sizes.setdefault(name, image.shape) != image.shape:
                    words = f"{image.shape[1]}×{image.shape[0]} after {self._sizes[name][1]}×{self._sizes[name][0]}"
                    raise PluginError(f"the {name} video of {self.name} changes its size to {words}")
                self._segments.write(name, image)

    def commit(self) -> None:
        """A chunk is at its end."""
        self._segments.close()
        self.textures.flush()

    def abandon(self) -> None:
        """Stop without a result; whole chunks stay for the next run."""
        if self._chunks is not None:
            self._segments.abort()
        if any(self.folder.work.glob(f"{Chunks.FOLDER}/*.npz")):
            self.folder.release()
        elif self.folder.is_begun:
            self.folder.discard()

    # --- at the end --------------------------------------------------------------------------------------------------

    def finish(self, tracks: Tracks) -> Iterator[dict[str, Any]]:
        """Writes all results and puts the folder in place; yields its records.

        Raises:
            InputError: there was no face in any frame, or something foreign is where a layout's files belong.
        """
        frames = self._chunks.frames()
        if not tracks.people:
            self.folder.discard()
            raise InputError(self.name, NO_FACE_IN_FRAMES.format(len(frames)), "try --confidence 0.2")
        with self.folder.writing():
            if "overlay" in self.save:
                self._assemble("overlay", self.folder.work / "overlay.mp4", frames)
            if self.layout is not None:
                self._write_layout_video(frames)
            for track in tracks.people if self.layout is None else ():
                self._write_person(track, tracks, frames)
        try:
            self.folder.finish(self._records(), self.problem, listed=self._layout_video())
        except InputError:
            self.folder.release()
            raise
        for folder in (Chunks.FOLDER, Textures.FOLDER):  # which came along when the folder was put in place
            shutil.rmtree(self.folder.final / folder, ignore_errors=True)
        return self.folder.records()

    def _assemble(self, stream: str, path: Path, frames: np.ndarray) -> None:
        film = self._film
        sound = film.path if film.has_audio else None
        pts = frames["pts"].tolist()
        self.note = assemble_video(path, self._segments.paths(stream), pts, film.time_base, audio_from=sound)

    def _write_layout_video(self, frames: np.ndarray) -> None:
        for name in self._layout_video():
            self._assemble("layout", self._root / name, frames)

    def _layout_video(self) -> list[str]:
        """The layout's video, if there is one: what records name of its files, of which each frame may have several."""
        name = None if self.layout is None else self.layout.video_name(self.source)
        return [] if name is None else [name]

    def _write_person(self, track: Track, tracks: Tracks, frames: np.ndarray) -> None:
        folder = self.folder.work / f"face{track.person}"
        folder.mkdir(exist_ok=True)
        shelf = Shelf(self._chunks.work / "spread")
        spread = Spread.of(track, len(frames), shelf, tracks)
        extras = {"time": frames["time"], "box": spread.boxes, "score": spread.scores, **spread.extras}
        if "codes" in self.save:
            save_codes(folder / "codes.npz", spread.codes, **extras)
        if "glb" in self.save:
            self._write_animation(folder / "mesh.glb", track.person, spread, frames["time"])
        if "arkit" in self.save:
            self._write_arkit(folder, track.person, spread, frames["time"])
        pictures = {name: f"{name}.mp4" for name in self._picture_names() if (folder / name).is_dir()}
        for name, video in pictures.items():
            self._write_picture_video(folder / video, folder / name, frames)
        self._pictures[track.person] = {name: f"{folder.name}/{video}" for name, video in pictures.items()}
        if "json" in self.save:
            record = {
                "input": self.name,
                "face": track.person,
                "model": self.settings.model,
                "frames": len(frames),
                "frames_with_face": int(spread.visible.sum()),
                "first_frame": int(spread.visible.argmax()),
                "time": [float(frames["time"][0]), float(frames["time"][-1])],
                "mean_score": _mean(track.faces["score"]),
            }
            if pictures:
                record["pictures"] = pictures
            write_json(folder / "face.json", record | self.notes)
        shelf.remove()

    def _write_animation(self, path: Path, person: int, track: Spread, times: np.ndarray) -> None:
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
        turns = {
            name: Turns(np.full((len(times), 3, 3), np.nan), np.full((len(times), 3), np.nan))
            for name in decoded.joints
        }
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
                    for name, joint in found.joints.items():
                        turns[name].rotations[index] = joint.rotation.numpy(force=True)
                        turns[name].pivots[index] = joint.pivot.numpy(force=True)
                yield vertices

        self.meshes[person] = mesh
        weights = None if rig is None else code_weights(rig, track.codes)
        if rig is not None:
            rig, weights = in_arkit(rig, weights)
        write_animated_glb(
            path,
            mesh,
            times,
            positions,
            None if decoded.head_pose is None else lambda: _centred(poses, track.visible),  # when all are decoded
            visible=track.visible,
            rig=rig,
            weights=weights,
            parts=parts_of(decoded, 0),
            turns=lambda: turns,
        )

    def _write_arkit(self, folder: Path, person: int, track: Spread, times: np.ndarray) -> None:
        try:
            found, source = track_of(
                self.model,
                self.settings.model,
                self._decode,
                lambda index: self._track_codes(track, index),
                track.visible,
                times,
                float(self._film.average_rate),
                step=DECODE_FRAMES,
                blendshapes=track.extras.get("blendshapes"),
                smoother=self.settings.smoother,
                smooth_window=self.settings.smooth_window,
            )
        except NoWeights:
            if "arkit" not in self.settings.implied:
                raise
            return
        self._with_arkit.add(person)
        words = {"input": self.name, "face": person, "model": self.settings.model} | self.notes
        write_track(folder, found, {**words, "source": source})

    @staticmethod
    def _track_codes(track: Spread, index: slice | np.ndarray) -> Codes:
        index = index if isinstance(index, slice) else torch.from_numpy(index)
        return Codes({name: value[index] for name, value in track.codes.values.items()}, track.codes.model)

    def _decode(self, codes: Codes) -> Reconstruction:
        return self.stream.decode(codes)

    def _picture_names(self) -> tuple[str, ...]:
        """The model's pictures, as their folders and videos are called."""
        names = self.settings.pictures
        return names + tuple(f"{name}_photo" for name in names) if self.settings.in_photo else names

    def _write_picture_video(self, path: Path, folder: Path, frames: np.ndarray) -> None:
        """The pictures of one person's frames as a video, black where there is none."""
        if path.exists():  # made by a run that was stopped a little later
            return
        files = (folder / f"{index:06d}.png" for index in frames["index"].tolist())
        shape = read_image(next(iter(sorted(folder.glob("*.png"))))).shape
        black = np.zeros(shape, np.uint8)
        part = self._chunks.work / f"picture-{path.parent.name}.mp4"
        with SegmentWriter(part, (shape[1], shape[0]), self._film.average_rate) as writer:
            for file in files:
                picture = read_image(file) if file.exists() else black
                if picture.shape != shape:
                    picture = cv2.resize(picture, (shape[1], shape[0]), interpolation=cv2.INTER_AREA)
                writer.write(picture)
        assemble_video(path, [part], frames["pts"].tolist(), self._film.time_base)
        part.unlink()

    def _records(self) -> Iterator[dict[str, Any]]:
        """One record a face and frame, in the order of the frames."""
        files = {
            "mesh": "face{}/mesh.glb" if "glb" in self.save else None,
            "overlay": "overlay.mp4" if "overlay" in self.save else None,
            "codes": "face{}/codes.npz" if "codes" in self.save else None,
        }
        for chunk in self._chunks.read():
            times = dict(zip(chunk["frame_index"].tolist(), chunk["frame_time"].tolist(), strict=True))
            for row in range(len(chunk)):
                yield self._record(chunk, row, times, files)

    def _record(self, chunk: Chunk, row: int, times: dict[int, float], files: dict[str, str | None]) -> dict[str, Any]:
        index, person = int(chunk["frame"][row]), int(chunk["person"][row])
        record = face_record(
            input=self.name, face=person, model=self.settings.model, box=chunk["box"][row],
            score=float(chunk["score"][row]), frame=index, time=times[index],
            files={key: path and path.format(person) for key, path in files.items()},
        )  # fmt: skip
        for key in ("photo_size", "head_pose", "landmarks", "camera"):
            del record[key]
        posed = "head_pose" in chunk
        record |= self.notes | self.files
        if person in self._with_arkit:
            record["arkit"] = f"face{person}/arkit.json"
        record["head_angles"] = to_jsonable(head_angles(chunk["head_pose"][row])) if posed else None
        if self._pictures.get(person):
            record["pictures"] = self._pictures[person]
        return record


def _grey_crop(frame: Frame, number: int) -> np.ndarray:
    """What the model saw of a face, or where that isn't known what is in its box: float32 [h, w], 0..1."""
    if frame.crops:
        return frame.crops[number].image.mean(0)
    height, width = frame.image.shape[:2]
    x0, y0, x1, y1 = np.nan_to_num(frame.faces[number].box).round().astype(int)
    x0, y0 = np.clip((x0, y0), 0, (width - 1, height - 1))
    x1, y1 = np.clip((x1, y1), (x0 + 1, y0 + 1), (width, height))
    return cv2.resize(frame.image[y0:y1, x0:x1], (224, 224)).mean(2, dtype=np.float32) / 255


def _mean(scores: np.ndarray) -> float | None:
    known = scores[np.isfinite(scores)]
    return float(known.mean()) if len(known) else None


def _centred(poses: np.ndarray, visible: np.ndarray) -> np.ndarray:
    """Poses moved so that the head is, on the middle frame's account, at the origin: viewers look there."""
    poses = poses.copy()
    poses[:, :3, 3] -= np.median(poses[visible, :3, 3], axis=0)
    return poses


# --- the working files -----------------------------------------------------------------------------------------------


@dataclass
class Spread:
    """One person over all T frames; NaN where the face is not seen."""

    codes: Codes
    visible: np.ndarray
    boxes: np.ndarray
    scores: np.ndarray
    extras: dict[str, np.ndarray]

    @staticmethod
    def of(track: Track, frame_count: int, shelf: Shelf, tracks: Tracks) -> Spread:
        visible = np.zeros(frame_count, bool)
        visible[track.frames] = True

        def spread(name: str, array: np.ndarray) -> np.ndarray:
            kind = array.dtype if array.dtype.kind == "f" else np.float64
            over = shelf.blank(f"face{track.person}-{name}", (frame_count, *array.shape[1:]), kind, np.nan)
            for start in range(0, len(track), 4096):
                over[track.frames[start : start + 4096]] = array[start : start + 4096]
            return over

        codes = {name: torch.from_numpy(spread(name, array)) for name, array in track.values.items()}
        extras = {f"raw/{name}": spread(f"raw-{name}", array) for name, array in track.raw.items()}
        if "blendshapes" in track.faces:
            extras["blendshapes"] = spread("blendshapes", track.faces["blendshapes"])
        boxes, scores = spread("box", track.faces["box"]), spread("score", track.faces["score"])
        return Spread(Codes(codes, tracks.model, tracks.family), visible, boxes, scores, extras)


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
