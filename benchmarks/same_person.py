"""What several photographs of one person are worth: the open model's shared identity on rendered heads, and how far
apart it finds people.

    python benchmarks/same_person.py [--people 20] [--views 8] [--photos PICTURE_OR_VIDEO …]

Each of the people is rendered several times, with another pose, light, camera and expression each time (set `full`).
An identity's error is the mean distance of the face's vertices at rest from the true ones after aligning with scale, in
millimetres. The heads' seed is not the network's.

With `--photos`, distances between the identities that photographs show, and videos at a few of their frames.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from facecli import registry
from facecli.data.head_set import HeadSet, renderer
from facecli.data.heads import HeadChoice, find_ict
from facecli.io.images import read_image
from facecli.io.video import VideoReader
from facecli.morphable.ict_fit import similarity
from facecli.reconstruction.album import Told, combined, told_by_faces
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


class Camera:
    """Pictures to what they tell of the person in them."""

    def __init__(self):
        self.landmarker, self.model = registry.landmarker("mediapipe"), registry.reconstructor("open")

    def told(self, image: np.ndarray) -> Told | None:
        (faces,) = self.landmarker.detect([image])
        if not faces:
            return None
        codes = self.model.encode([self.model.crop(image, max(faces, key=lambda face: face.area))])
        return told_by_faces(codes, SETTINGS, self.model)


def rendered(camera: Camera, people: int, views: int) -> Iterator[tuple[np.ndarray, list[Told]]]:
    """(true identity, what each picture tells) of each person. Pictures in which no face is found are drawn again."""
    heads = renderer(HeadSet(HeadChoice("ict", find_ict()), "full", SEED))
    number = itertools.count(people)
    for person in range(people):
        told = []
        while len(told) < views:
            head = heads.render(SEED, next(number), person)
            one = camera.told(head.image)
            told += [] if one is None else [one]
        yield head.identity, told


def identity(told: list[Told]) -> np.ndarray:
    return combined(told).values["identity"]


def table_of_heads(camera: Camera, shapes: Shapes, people: int, views: int) -> None:
    known = list(rendered(camera, people, views))
    mean_head = np.mean([_error(shapes, truth, []) for truth, _ in known])
    print(f"{people} people, {views} pictures each; the mean head is {mean_head:.2f} mm off")
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


def table_of_photographs(camera: Camera, shapes: Shapes, paths: list[Path]) -> None:
    found: dict[str, np.ndarray] = {}
    for path in paths:
        for name, image in _pictures(path):
            told = camera.told(image)
            if told is not None:
                found[name] = identity([told])
    names = list(found)
    print("\ndistances between identities, mm")
    print(" " * 22 + "".join(f"{number:6}" for number in range(len(names))))
    for number, name in enumerate(names):
        row = "".join(f"{shapes.distance(found[name], found[other]):6.2f}" for other in names)
        print(f"{number:2} {name:18.18} {row}")


def _pictures(path: Path) -> Iterator[tuple[str, np.ndarray]]:
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
        table_of_heads(camera, shapes, chosen.people, chosen.views)
    if chosen.photos:
        table_of_photographs(camera, shapes, chosen.photos)


if __name__ == "__main__":
    main()
