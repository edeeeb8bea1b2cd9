"""What several photographs of one person are worth: the open model's shared identity on rendered heads, and how far
apart it finds people.

    python benchmarks/same_person.py [--people 20] [--views 8] [--photos PICTURE_OR_VIDEO …]

Each of the people is rendered several times, with another pose, light, camera and expression each time (set `full`).
An identity's error is the mean distance of the face's vertices at rest from the true ones after aligning with scale, in
millimetres. The heads' seed is not the network's.

A last table says how well the heads lie on their pictures: with the identity that was found in each, with the shared
one in its place, and when expression and pose have followed it (the model's `follow`).

With `--photos`, distances between the identities that photographs show, and videos at a few of their frames.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from facecli import registry
from facecli.codes import Codes
from facecli.data.head_set import HeadSet, renderer
from facecli.data.heads import HeadChoice, find_ict
from facecli.data.render_head import Rendered
from facecli.detect.face import Face
from facecli.io.images import read_image
from facecli.io.video import VideoReader
from facecli.morphable.ict_fit import SKIN_POINTS, similarity
from facecli.reconstruction.album import Told, combined, told_by_faces
from facecli.reconstruction.following import follow
from facecli.reconstruction.settings import Settings

SEED = 4711
COUNTS = (1, 2, 4, 8)
SETTINGS = Settings(model="open", same_person=True)
VIDEO_FRAMES = 6


class Shapes:
    """Faces at rest by their identities, and distances between them."""

    def __init__(self):
        heads = HeadChoice("ict", find_ict()).load()
        arrays = heads.model.arrays
        corners = np.unique(heads.triangles[heads.face])
        self._mean = arrays.mean[corners].astype(np.float64)
        self._directions = arrays.identity[:, corners].astype(np.float64).reshape(len(arrays.identity), -1)

    def distance(self, first: np.ndarray, second: np.ndarray) -> float:
        """Mean over vertices, mm; the first is laid on the second."""
        ours, theirs = ((self._mean + (code @ self._directions).reshape(-1, 3)) for code in (first, second))
        scale, turn, shift = similarity(ours, theirs)
        return float(np.linalg.norm(scale * ours @ turn.T + shift - theirs, axis=1).mean())


@dataclass(frozen=True)
class Seen:
    """What is found in a picture: a face [478, 3], and its codes [1, ...]."""

    face: Face
    codes: Codes
    told: Told


@dataclass(frozen=True)
class Truth:
    """What a rendered picture shows: [68, 2] and [478, 2] points in pixels, and weights [57]."""

    ibug68: np.ndarray
    mediapipe478: np.ndarray
    expression: np.ndarray

    @staticmethod
    def of(head: Rendered) -> Truth:
        return Truth(head.landmarks, head.landmarks478, head.expression)


@dataclass
class Person:
    """A rendered person: the true identity, and each picture's truth and what is found in it."""

    identity: np.ndarray
    pictures: list[tuple[Truth, Seen]]

    @property
    def told(self) -> list[Told]:
        return [seen.told for _, seen in self.pictures]


class Camera:
    """Pictures to what they tell of the person in them."""

    def __init__(self):
        self.landmarker, self.model = registry.landmarker("mediapipe"), registry.reconstructor("open")

    def seen(self, image: np.ndarray) -> Seen | None:
        (faces,) = self.landmarker.detect([image])
        if not faces:
            return None
        face = max(faces, key=lambda face: face.area)
        codes = self.model.encode([self.model.crop(image, face)])
        return Seen(face, codes, told_by_faces(codes, SETTINGS, self.model))


def rendered(camera: Camera, people: int, views: int) -> Iterator[Person]:
    """Pictures in which no face is found are drawn again."""
    heads = renderer(HeadSet(HeadChoice("ict", find_ict()), "full", SEED))
    number = itertools.count(people)
    for person in range(people):
        pictures = []
        while len(pictures) < views:
            head = heads.render(SEED, next(number), person)
            seen = camera.seen(head.image)
            pictures += [] if seen is None else [(Truth.of(head), seen)]
        yield Person(head.identity, pictures)


def identity(told: list[Told]) -> np.ndarray:
    return combined(told).values["identity"]


def table_of_heads(shapes: Shapes, people: list[Person]) -> None:
    known, views = [(person.identity, person.told) for person in people], len(people[0].pictures)
    mean_head = np.mean([_error(shapes, truth, []) for truth, _ in known])
    print(f"{len(people)} people, {views} pictures each; the mean head is {mean_head:.2f} mm off")
    print("photographs   shared identity's error, mm   without weights")
    for count in (n for n in COUNTS if n <= views):
        parts = [(truth, told[at : at + count]) for truth, told in known for at in range(0, views - count + 1, count)]
        weighted = np.mean([_error(shapes, truth, told) for truth, told in parts])
        plain = np.mean([_error(shapes, truth, [Told(t.values, 1.0) for t in told]) for truth, told in parts])
        print(f"{count:11}   {weighted:27.2f}   {plain:15.2f}")
    singles = [[identity([one]) for one in told] for _, told in known]
    same = [shapes.distance(a, b) for mine in singles for a, b in itertools.combinations(mine, 2)]
    others = [shapes.distance(a[0], b[1]) for a, b in itertools.permutations(singles, 2)]
    halves = [(identity(told[: views // 2]), identity(told[views // 2 :])) for _, told in known]
    same_halves = [shapes.distance(a, b) for a, b in halves]
    other_halves = [shapes.distance(a, b) for (a, _), (_, b) in itertools.permutations(halves, 2)]
    print("\ndistance of two identities, mm              one person   two people   pairs in the right order")
    for words, mine, theirs in (
        ("of a photograph each", same, others),
        (f"of {views // 2} photographs each", same_halves, other_halves),
    ):
        right = np.mean(np.array(mine)[:, None] < np.array(theirs))
        print(f"{words:42}  {np.mean(mine):10.2f}   {np.mean(theirs):10.2f}   {right:24.1%}")


def _error(shapes: Shapes, truth: np.ndarray, told: list[Told]) -> float:
    return shapes.distance(identity(told) if told else np.zeros_like(truth), truth)


class Landing:
    """How well heads lie on their pictures."""

    _NEUTRAL = ("eyeLook", "PupilDilate")
    """Weights that are left out: looks stay as they are."""

    def __init__(self, camera: Camera):
        self._model = camera.model
        self._told = np.array([not name.startswith(self._NEUTRAL) for name in self._model.head.expression_names])

    def errors(self, truth: Truth, face: Face, codes: Codes) -> tuple[float, float, float, float]:
        """MediaPipe's skin points to where MediaPipe has them and to the truth, and the 68 points to the truth, % of
        the face's box (the root of its area); the mean error of expression weights."""
        found = {name: points[0].numpy() for name, points in self._model.decode(codes).landmarks.items()}
        skin = found["mediapipe478"][:SKIN_POINTS]
        distances = (
            (skin, face.points[:SKIN_POINTS, :2]),
            (skin, truth.mediapipe478[:SKIN_POINTS]),
            (found["ibug68"], truth.ibug68),
        )
        box = np.sqrt(face.area) / 100
        shares = [float(np.linalg.norm(ours - theirs, axis=1).mean() / box) for ours, theirs in distances]
        expression = np.abs(codes["expression"][0].numpy() - truth.expression)[self._told].mean()
        return *shares, float(expression)

    def table(self, people: list[Person]) -> None:
        rows: dict[str, list[tuple[float, ...]]] = {}
        for person in people:
            shared = torch.from_numpy(identity(person.told))[None]
            for truth, seen in person.pictures:
                replaced = seen.codes.replace(identity=shared)
                followed = follow(replaced, seen.codes, self._model, ("identity",))
                for words, codes in (("its own", seen.codes), ("the shared one", replaced), ("followed", followed)):
                    rows.setdefault(words, []).append(self.errors(truth, seen.face, codes))
        columns = ("478 points to MediaPipe's", "478 to the truth", "68 to the truth", "expression weights")
        print("\n% of the face's box   " + "   ".join(columns))
        for words, errors in rows.items():
            mediapipe, skin, ibug, expression = np.mean(errors, 0)
            print(f"{words:19}   {mediapipe:24.2f}   {skin:16.2f}   {ibug:15.2f}   {expression:18.4f}")


def table_of_photographs(camera: Camera, shapes: Shapes, paths: list[Path]) -> None:
    found: dict[str, np.ndarray] = {}
    for path in paths:
        for name, image in pictures(path):
            seen = camera.seen(image)
            if seen is not None:
                found[name] = identity([seen.told])
    names = list(found)
    print("\ndistances between identities, mm")
    print(" " * 22 + "".join(f"{number:6}" for number in range(len(names))))
    for number, name in enumerate(names):
        row = "".join(f"{shapes.distance(found[name], found[other]):6.2f}" for other in names)
        print(f"{number:2} {name:18.18} {row}")


def pictures(path: Path) -> Iterator[tuple[str, np.ndarray]]:
    if path.suffix.lower() not in (".mp4", ".mov", ".avi", ".mkv", ".webm"):
        yield path.name, read_image(path)
        return
    with VideoReader(path) as reader:
        wanted = np.linspace(0, (reader.frame_count_hint or VIDEO_FRAMES) - 1, VIDEO_FRAMES).astype(int)
        for frame in reader.frames():
            if frame.index in wanted:
                yield f"{path.stem}:{frame.index}", frame.image


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--people", type=int, default=20)
    parser.add_argument("--views", type=int, default=8)
    parser.add_argument("--photos", type=Path, nargs="*", default=[])
    chosen = parser.parse_args()
    camera, shapes = Camera(), Shapes()
    if chosen.people:
        people = list(rendered(camera, chosen.people, chosen.views))
        table_of_heads(shapes, people)
        Landing(camera).table(people)
    if chosen.photos:
        table_of_photographs(camera, shapes, chosen.photos)


if __name__ == "__main__":
    main()
