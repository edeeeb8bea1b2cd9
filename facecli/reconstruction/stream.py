"""Sources -> frames -> faces -> crops -> codes -> meshes, streaming: every stage works while the others do."""

from __future__ import annotations

import contextlib
import functools
import os
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from facecli import registry
from facecli.codes import Codes
from facecli.detect.face import Face, box_of_points, largest_first
from facecli.detect.within_boxes import face_finder
from facecli.errors import FacecliError, InputError, MissingAssetError, UsageError
from facecli.export.rig import at_rest
from facecli.io.images import read_image
from facecli.pipeline import FATAL, Outcome, cpu_count, gather, parallel_map
from facecli.plugin import Crop, Detector, Landmarker, Layout, Reconstruction, Reconstructor, Rig
from facecli.reconstruction.arkit import NoWeights, Weights, weights_of_faces
from facecli.reconstruction.settings import Settings, choose_device, default_model


@dataclass
class Frame:
    """A photograph, or one frame of a video, on its way through the stages.

    Args:
        name: the input as the user named it.
        origin: whatever the caller wants to know it by again.
        index, pts, time: of a video's frame (pts in ticks of its time base, time in seconds); None for a photograph.
        path: read by the detecting worker where `image` is None.
        image: RGB uint8 [H, W, 3]; black, and so no texture, where `blank`: codes without their photograph.
        error: why there is nothing (more) to do with it.
        problem: what is wrong with some of its faces, which are left out.
        skip: it passes through untouched (an end of a video, an input that is already done).
        given: ``"faces"``: its faces and codes are there already, faces are only cropped again; ``"codes"``: there is
            nothing to crop either.
        faces, crops, people: B of each; people are numbers that stay with a person through a video. No crops where
            codes came from a file.
        codes: the model's codes of these faces; `mixed`: after smoothing, what is decoded.
        held: names of the first face's codes in `mixed` that the person has in other inputs, too, or that follow these.
        pictures, in_photo: the model's own pictures, name -> one [h, w, 3] a face; at the photograph's size, too.
        rig, neutral: blend shapes for a photograph's GLB, and the vertices [B, V, 3] of the faces at rest.
        arkit: a photograph's ARKit weights, B of them, where they are to be saved; or why there are none.
        own: where `mixed` isn't what the picture shows, but another expression: the faces as it shows them, for their
            textures.
        beside: what else the origin wants to draw; `notes` of what its records tell further.
    """

    name: str
    origin: Any = None
    index: int | None = None
    pts: int | None = None
    time: float | None = None
    path: str | None = None
    image: np.ndarray | None = None
    blank: bool = False
    error: FacecliError | None = None
    problem: str | None = None
    skip: bool = False
    given: str = ""
    faces: list[Face] = field(default_factory=list)
    crops: list[Crop] = field(default_factory=list)
    people: list[int] = field(default_factory=list)
    appearances: list[np.ndarray] = field(default_factory=list)
    codes: Codes | None = None
    mixed: Codes | None = None
    held: tuple[str, ...] = ()
    reconstruction: Reconstruction | None = None
    pictures: dict[str, list[np.ndarray]] = field(default_factory=dict)
    in_photo: dict[str, list[np.ndarray]] = field(default_factory=dict)
    rig: Rig | None = None
    neutral: torch.Tensor | None = None
    arkit: list[Weights] | NoWeights | None = None
    own: Reconstruction | None = None
    beside: Any = None
    notes: dict[str, Any] = field(default_factory=dict)

    def keep_faces(self, numbers: list[int]) -> None:
        """Goes on with the faces `numbers` alone, in this order. Before decoding."""
        self.faces = [self.faces[number] for number in numbers]
        self.crops = [self.crops[number] for number in numbers if self.crops]
        self.appearances = [self.appearances[number] for number in numbers if self.appearances]
        if self.codes is not None:
            self.codes = self.mixed = self.codes.select(numbers) if numbers else None

    def drop_faces(self) -> None:
        """Goes on without its faces, which something is wrong with."""
        self.faces, self.crops, self.people, self.appearances = [], [], [], []
        self.codes = self.mixed = self.reconstruction = self.own = None
        self.pictures, self.in_photo = {}, {}


PATIENCE = 1.0
"""Seconds that photographs wait for others to be encoded together with."""

Mixer = Callable[[Frame], None]
"""Called for each frame in order, between encoding and decoding: sets `people` and `mixed`."""


def unmixed(frame: Frame) -> None:
    """The mixer of photographs."""


class FaceStream:
    """The working objects of one run: one model, a landmarker for each worker.

    `settings` are the model's own (:meth:`Settings.of_model`); `layout` is there if one was chosen; `notice` is what a
    user should know of the model, or "".

    Args:
        rigged: give photographs what their GLB needs for blend shapes.

    Raises:
        UsageError, PluginError, MissingAssetError: the model can't be had.
    """

    def __init__(self, settings: Settings, *, rigged: bool = False):
        self.plugin = registry.plugin(settings.model or default_model())
        self.settings = settings.of_model(self.plugin)
        self.device = choose_device(settings.device)
        options = self.settings.options
        self.model: Reconstructor = registry.reconstructor(self.plugin.name, device=self.device, **options)
        if not settings.crop and not hasattr(self.model, "whole_picture"):
            raise UsageError(f"the model {self.plugin.name} can't take a whole picture for its crop: no --no-crop")
        self.notice = ""
        if no_mesh := getattr(self.model, "no_mesh", None):
            self.settings = self.settings.without_mesh(no_mesh)
            self.notice = f"no meshes: {no_mesh}" if isinstance(no_mesh, MissingAssetError) else ""
        self.layout: Layout | None = self._new_layout()
        self.batch_size = max(settings.batch_size or self.model.batch_size, 1)
        self._drawable = self.settings.pictures
        self._rigged = rigged and "glb" in self.settings.saves(video=False)
        self._model_lock = threading.RLock()
        self._lock = threading.Condition()
        self._landmarkers: list[Landmarker | Detector] = []
        self._spare: list[Landmarker | Detector] = []
        self._detecting, self._closed = 0, False

    def prepare(self) -> None:
        """Makes the first landmarker now: a missing file is told before any input is opened.

        Raises:
            UsageError, PluginError, MissingAssetError: the landmarker can't be had.
        """
        with self._lock:
            if not self._landmarkers:
                self._landmarkers.append(self._new_landmarker())
                self._spare.append(self._landmarkers[0])

    def close(self) -> None:
        """Lets nothing new begin and waits for what is being computed just now: landmarkers break when they are closed
        at work, and torch when the interpreter ends."""
        with self._lock:
            self._closed = True
            self._lock.wait_for(lambda: not self._detecting)
        with self._model_lock:
            pass
        for landmarker in self._landmarkers:
            landmarker.close()

    def frames(self, frames: Iterable[Frame], mix: Mixer) -> Iterator[Frame]:
        """The `frames` with their faces reconstructed, in order; `mix` is called between encoding and decoding."""
        workers = cpu_count() if self.settings.workers is None else self.settings.workers
        yield from self._reconstructed(parallel_map(self.find, frames, workers=workers), mix)

    def encode(self, crops: list[Crop]) -> Codes:
        """Codes of any number of crops, batch by batch."""
        parts = []
        for start in range(0, len(crops), self.batch_size):
            with self._model_lock, torch.inference_mode():
                parts.append(self.model.encode(crops[start : start + self.batch_size]))
        return Codes.concatenate(parts)

    def decode(self, codes: Codes) -> Reconstruction:
        """Meshes of all faces of `codes` at once, which may lie on any device."""
        with self._model_lock, torch.inference_mode():
            return self.model.decode(codes.to(self.device))

    def arkit(self, codes: Codes, decoded: Reconstruction, faces: list[Face]) -> list[Weights]:
        """ARKit weights of the faces of a picture, each [1, …].

        Raises:
            NoWeights: there are none.
        """
        with self._model_lock, torch.inference_mode():
            return weights_of_faces(self.model, self.plugin.name, self.decode, codes.to(self.device), decoded, faces)

    # --- faces and crops, in worker threads --------------------------------------------------------------------------

    @contextlib.contextmanager
    def _borrowed(self) -> Iterator[Landmarker | Detector]:
        """A landmarker that nobody else uses meanwhile. There are as many as threads that detect at once, however many
        videos, each with threads of its own, go through the stream."""
        with self._lock:
            if not self._spare:
                self._spare.append(self._new_landmarker())
                self._landmarkers.append(self._spare[0])
            landmarker = self._spare.pop()
        try:
            yield landmarker
        finally:
            with self._lock:
                self._spare.append(landmarker)

    def _new_landmarker(self) -> Landmarker | Detector:
        return face_finder(
            self.plugin.name,
            self.model.landmarker,
            self.model.landmarker_options,
            landmarker=self.settings.landmarker,
            detector=self.settings.detector,
            confidence=self.settings.confidence,
            device=self.device,
        )

    def _new_layout(self) -> Layout | None:
        chosen = self.settings
        if chosen.layout is None:
            return None
        return registry.layout(
            self.plugin.name, chosen.layout, self.model, save=chosen.save, photo_size=chosen.in_photo
        )

    def find(self, frame: Frame) -> Frame:
        """`frame` with its picture, faces and crops. Called in several threads at once."""
        if frame.skip or frame.error or frame.given == "codes":
            return frame
        if frame.image is None:
            frame.image = read_image(frame.path)
        if not frame.given:
            frame.faces = self.faces_of(frame)
        self._cut(frame)
        return frame

    def _cut(self, frame: Frame) -> None:
        """The crops of its faces. Faces that there is none of (a box without area, or beyond the picture) are left out.

        Raises:
            ValueError: there is none of any face.
        """
        cut = self.model.crop if self.settings.crop else self.model.whole_picture
        kept, crops, errors = [], [], []
        for number, face in enumerate(frame.faces):
            try:
                crops.append(cut(frame.image, face))
                kept.append(number)
            except ValueError as error:
                errors.append(error)
        if errors and (frame.given or not kept):
            raise errors[0]
        frame.faces, frame.crops = [frame.faces[number] for number in kept], crops
        if errors:
            frame.problem = f"{len(errors)} of {len(errors) + len(kept)} faces left out: {errors[0]}"

    def faces_of(self, frame: Frame) -> list[Face]:
        """The faces that the settings ask for, told of by a file beside the picture or detected, largest first."""
        told = self.model.faces_beside(frame.path) if frame.path and hasattr(self.model, "faces_beside") else None
        faces = self.detect(frame.image) if told is None else told
        if not self.settings.crop:  # the picture is one face's, whether it is recognised in it or not
            return largest_first(faces, "largest") or [_everywhere(frame.image)]
        # Of a video's faces those of the same people are kept, which only the mixer can tell.
        return largest_first(faces, self.settings.faces if frame.index is None else "all")

    def detect(self, image: np.ndarray) -> list[Face]:
        """All faces of `image`; none once the stream is closed."""
        with self._lock:
            if self._closed:
                return []
            self._detecting += 1
        try:
            with self._borrowed() as landmarker:
                return landmarker.detect([image])[0]
        finally:
            with self._lock:
                self._detecting -= 1
                self._lock.notify_all()

    # --- codes and meshes, batched over frames -----------------------------------------------------------------------

    def _reconstructed(self, found: Iterator[Outcome[Frame, Frame]], mix: Mixer) -> Iterator[Frame]:
        with closing(gather(found, self._is_full, _patience)) as batches:
            for outcomes in batches:
                for outcome in outcomes:
                    outcome.item.error = outcome.item.error or outcome.error
                yield from self._flush([outcome.item for outcome in outcomes], mix)

    def _is_full(self, waiting: list[Outcome[Frame, Frame]]) -> bool:
        return max(sum(len(outcome.item.faces) for outcome in waiting), len(waiting)) >= self.batch_size

    def _flush(self, frames: list[Frame], mix: Mixer) -> list[Frame]:
        working = [f for f in frames if f.faces and not f.error]
        self._each([f for f in working if f.codes is None], self._encode)
        for frame in frames:
            if not frame.error:
                mix(frame)
        ready = [f for f in working if f.mixed is not None and not f.error]
        for with_crops in (True, False):  # pictures are drawn of one kind at a time
            self._each([f for f in ready if bool(f.crops) == with_crops], self._decode)
        return frames

    def _each(self, frames: list[Frame], work: Callable[[list[Frame]], None]) -> None:
        """`work` on all frames at once; where that fails, on each alone, so that the error stays with its frame."""
        if not frames:
            return
        try:
            with self._model_lock, torch.inference_mode():
                if not self._closed:
                    work(frames)
        except FATAL:
            raise
        except Exception as error:
            if len(frames) > 1:
                for frame in frames:
                    self._each([frame], work)
            elif isinstance(error, FacecliError):
                frames[0].error = error
            else:
                if os.environ.get("FACECLI_DEBUG"):
                    traceback.print_exc()
                reason = " ".join(str(error).split()) or "no reason given"
                problem = f"the model {self.settings.model} failed on it: {type(error).__name__}: {reason}"
                frames[0].error = InputError(frames[0].name, problem, "see --debug")

    def _encode(self, frames: list[Frame]) -> None:
        codes = self.encode([crop for frame in frames for crop in frame.crops])
        for frame, part in _shares(frames, codes):
            frame.codes = frame.mixed = part

    def _decode(self, frames: list[Frame]) -> None:
        codes = Codes.concatenate([frame.mixed for frame in frames]).to(self.device)
        try:
            decoded = self.model.decode(codes)
        except UsageError as error:
            if not frames[0].given:
                raise
            raise InputError(frames[0].name, str(error)) from error  # a file's codes: the other inputs go on
        for frame, part in _shares(frames, decoded):
            frame.reconstruction = part
            self._dress(frame)
            if frame.given == "codes":
                _complete_boxes(frame)
        if self._drawable:
            self._draw(frames, codes, decoded)
        photographs = [frame for frame in frames if frame.index is None]
        if photographs and self._rigged and self._rig is not None:
            self._decode_at_rest(photographs)
        if "arkit" in self.settings.saves(video=False):
            for frame in photographs:
                self._tell_expressions(frame)

    def _dress(self, frame: Frame) -> None:
        """The textures that users have for this very input. (A layout asks by itself.)"""
        if self.layout is None and hasattr(self.model, "texture_beside"):
            texture = self.model.texture_beside(frame.path or frame.name)
            if texture is not None:
                frame.reconstruction.texture = texture.expand(len(frame.faces), -1, -1, -1)

    @functools.cached_property
    def _rig(self) -> Rig | None:
        return self.model.rig() if hasattr(self.model, "rig") else None

    def _decode_at_rest(self, frames: list[Frame]) -> None:
        codes = at_rest(self._rig, Codes.concatenate([frame.mixed for frame in frames]).to(self.device))
        for frame, part in _shares(frames, self.model.decode(codes)):
            frame.rig, frame.neutral = self._rig, part.vertices

    def _tell_expressions(self, frame: Frame) -> None:
        try:
            frame.arkit = self.arkit(frame.mixed, frame.reconstruction, frame.faces)
        except NoWeights as error:
            frame.arkit = error

    def _draw(self, frames: list[Frame], codes: Codes, decoded: Reconstruction) -> None:
        crops = [crop for frame in frames for crop in frame.crops] or None
        drawn = [(self._drawn(crops, codes, decoded), "pictures")]
        if self.settings.in_photo:
            photos = [frame.image for frame in frames for _ in frame.faces]
            drawn.append((self._drawn(crops, codes, decoded, photos=photos), "in_photo"))
        for pictures, attribute in drawn:
            for name, of_faces in pictures.items():
                if len(of_faces) != len(codes):
                    raise ValueError(f"{len(of_faces)} pictures {name!r} of {len(codes)} faces")
                for frame, part in _shares(frames, _List(of_faces)):
                    getattr(frame, attribute)[name] = part

    def _drawn(self, *given: Any, **photos: Any) -> dict[str, list[np.ndarray]]:
        """The model's pictures; without those that it can't make and the user didn't ask for by name.

        Raises:
            UsageError, MissingAssetError: it can't make one that was.
        """
        try:
            return self.model.draw(self._drawable, *given, **photos)
        except (UsageError, MissingAssetError):
            if not self.settings.implied & set(self._drawable):
                raise
        drawn: dict[str, list[np.ndarray]] = {}
        for name in self._drawable:
            try:
                drawn |= self.model.draw((name,), *given, **photos)
            except (UsageError, MissingAssetError):
                if name not in self.settings.implied:
                    raise
                self._drawable = tuple(word for word in self._drawable if word != name)
        return drawn


def _patience(waiting: list[Outcome[Frame, Frame]]) -> float | None:
    """A video's frames come; the next photograph of a list may be long in coming."""
    return None if waiting[-1].item.index is not None else PATIENCE


def _complete_boxes(frame: Frame) -> None:
    """Of faces whose codes came without a box: that of the mesh."""
    for face, points in zip(frame.faces, frame.reconstruction.projected, strict=True):
        if not np.isfinite(face.box).all():
            face.box = box_of_points(points.numpy(force=True))


def _everywhere(image: np.ndarray) -> Face:
    """A face without landmarks that fills the picture."""
    height, width = image.shape[:2]
    return Face(np.array([0.0, 0.0, width - 1.0, height - 1.0]), 0.0)


class _List(list):
    def select(self, index: slice) -> list:
        return self[index]


def _shares(frames: list[Frame], batch: Any) -> Iterator[tuple[Frame, Any]]:
    """Each frame with its own faces' part of a batch."""
    start = 0
    for frame in frames:
        yield frame, batch.select(slice(start, start + len(frame.faces)))
        start += len(frame.faces)
