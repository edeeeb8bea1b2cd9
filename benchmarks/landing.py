"""Where the open model's head lands on rendered heads and photographs, by how much its fit to the points may change.

    python benchmarks/landing.py [--heads 160] [--set full] [--shares 0.2,0.5,0.1 …] [--photos PICTURE_OR_VIDEO …]

A row is a way to fit: the mean head, the networks' guess with pose and camera alone (`refine=no`), and the guess with
shares of the networks' spreads of identity, expression and distance that the points may change
(`facecli_open.reconstructor.SHARES`). Points are in percent of the face's box (the root of its area); expression is the
mean absolute error of the weights but pupils and looks; shape is the median over the front of the face at rest after
aligning with scale, mm. The heads' seed is not the networks'.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from same_person import pictures

from facecli import registry
from facecli.data.head_set import HeadSet, draw
from facecli.data.heads import HeadChoice, find_ict
from facecli.data.render_head import Rendered
from facecli.morphable.ict import FACE_END
from facecli.morphable.ict_fit import Fitted, Guess, project, similarity
from facecli.plugin import Crop
from facecli_open import reconstructor
from facecli_open.regressor import Guess as Told
from facecli_open.training.examples import found

SEED = 7700
TO_MEDIAPIPE, TO_TRUTH, TO_TRUTH_68 = "to MediaPipe's", "to truth", "68 to truth"
COLUMNS = (TO_MEDIAPIPE, TO_TRUTH, TO_TRUTH_68, "turn", "median turn", "shape", "expression", "gaze")


@dataclass(frozen=True)
class Seen:
    """A face with what the networks say of it; `head` is what is known of it, if it is rendered."""

    crop: Crop
    told: Told
    head: Rendered | None = None


class Fits:
    """Ways to fit a face."""

    def __init__(self):
        self.model = registry.reconstructor("open")
        self.regressor, self.fitting = self.model.regressor, self.model.fitting
        self.own = HeadChoice("ict", find_ict()).load().model
        self._arrays = self.own.arrays
        self.shown = np.array([not name.startswith(("PupilDilate", "eyeLook")) for name in self.fitting.names])
        self._front = (self._arrays.source_vertex < FACE_END) & (self._arrays.mean[:, 2] > 40)

    def seen(self, image: np.ndarray, face, head: Rendered | None = None) -> Seen:
        crop = self.model.crop(image, face)
        return Seen(crop, self.regressor([crop]), head)

    def by_mean_head(self, seen: Seen) -> Fitted:
        guess = Guess(np.zeros(100), np.zeros(57), 1.0, 0.25)
        return self.fitting.fit(seen.crop.face.points, seen.crop.photo_size, guess)

    def by_guess(self, seen: Seen, shares: tuple[float, float, float] | None) -> Fitted:
        guess = self.model.believed(seen.told, 0, shares or reconstructor.SHARES)
        return self.fitting.fit(seen.crop.face.points, seen.crop.photo_size, guess, 0.0, shares is not None)

    def by_mediapipe(self, seen: Seen) -> dict[str, float]:
        """MediaPipe's own points against the truth."""
        points, head = seen.crop.face.points[:468, :2], seen.head
        return {TO_TRUTH: _percent(points, head.landmarks478[:468], _box(head))}

    def errors(self, seen: Seen, fitted: Fitted) -> dict[str, float]:
        points, middle = seen.crop.face.points[:468, :2], (np.array(seen.crop.photo_size[::-1]) - 1) / 2
        surface = self.fitting.surface(fitted.identity, fitted.expression)
        landed = project(surface, fitted.turn, fitted.camera, middle)[:468]
        side = np.sqrt(np.ptp(points, axis=0).prod())
        errors = {TO_MEDIAPIPE: _percent(landed, points, side)}
        if seen.head is None:
            return errors
        head, side = seen.head, _box(seen.head)
        own = self.own
        vertices = own.vertices(fitted.identity, fitted.expression)[0]
        landed68 = project(vertices[own.ibug68], fitted.turn, fitted.camera, middle)
        turned = np.degrees(np.arccos(np.clip((np.trace(fitted.turn.T @ head.view.rotation) - 1) / 2, -1, 1)))
        gaze = (own.gaze(fitted.expression) * own.gaze(head.expression)).sum(-1)
        return errors | {
            TO_TRUTH: _percent(landed, head.landmarks478[:468], side),
            TO_TRUTH_68: _percent(landed68, head.landmarks, side),
            "turn": turned,
            "shape": self._shape_error(fitted.identity, head.identity),
            "expression": float(np.abs(fitted.expression - head.expression)[self.shown].mean()),
            "gaze": float(np.degrees(np.arccos(gaze.clip(-1, 1))).mean()),
        }

    def _shape_error(self, identity: np.ndarray, true: np.ndarray) -> float:
        mean, shapes = self._arrays.mean[self._front], self._arrays.identity[:, self._front]
        ours, theirs = ((mean + np.tensordot(code, shapes, 1)).astype(np.float64) for code in (identity, true))
        scale, turn, shift = similarity(ours, theirs)
        return float(np.median(np.linalg.norm(scale * ours @ turn.T + shift - theirs, axis=1)))


def _percent(ours: np.ndarray, theirs: np.ndarray, side: float) -> float:
    return 100 * float(np.linalg.norm(ours - theirs, axis=1).mean() / side)


def _box(head: Rendered) -> float:
    return float(np.sqrt(np.ptp(head.landmarks, axis=0).prod()))


def heads(fits: Fits, count: int, scenes: str) -> Iterator[Seen]:
    chosen = HeadSet(HeadChoice("ict", find_ict()), scenes, SEED)
    for index in range(count):
        head = draw(chosen, index)
        face = found(head)
        if face is not None:
            yield fits.seen(head.image, face, head)


def photographs(fits: Fits, paths: list[Path]) -> Iterator[Seen]:
    landmarker = registry.landmarker("mediapipe")
    for path in paths:
        for _, image in pictures(path):
            for face in landmarker.detect([image])[0]:
                yield fits.seen(image, face)


def table(fits: Fits, faces: list[Seen], ways: list[tuple[float, float, float]]) -> None:
    rows = {"mean head": [fits.errors(face, fits.by_mean_head(face)) for face in faces]}
    for shares in (None, *ways):
        words = "guess, pose alone" if shares is None else f"guess, {shares}"
        rows[words] = [fits.errors(face, fits.by_guess(face, shares)) for face in faces]
    if faces[0].head is not None:
        rows["MediaPipe itself"] = [fits.by_mediapipe(face) for face in faces]
        weights = np.mean([np.abs(face.head.expression[fits.shown]).mean() for face in faces])
        ahead = fits.own.gaze(np.zeros(57))
        looks = [(fits.own.gaze(face.head.expression) * ahead).sum(-1).clip(-1, 1) for face in faces]
        straight = np.degrees(np.arccos(looks)).mean()
        print(f"expression of no weights: {weights:.3f}; gaze straight ahead: {straight:.1f}")
    print(f"{len(faces)} faces".ljust(24) + "".join(name.rjust(16) for name in COLUMNS))
    for words, errors in rows.items():
        values = {name: np.mean([row[name] for row in errors]) for name in errors[0]}
        if "turn" in values:
            values["median turn"] = np.median([row["turn"] for row in errors])
        cells = (f"{values[name]:.3f}" if name in values else "" for name in COLUMNS)
        print(words.ljust(24) + "".join(cell.rjust(16) for cell in cells))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--heads", type=int, default=160)
    parser.add_argument("--set", default="full")
    parser.add_argument("--shares", nargs="*", default=[])
    parser.add_argument("--photos", type=Path, nargs="*", default=[])
    chosen = parser.parse_args()
    ways = [tuple(float(number) for number in word.split(",")) for word in chosen.shares] or [reconstructor.SHARES]
    fits = Fits()
    if chosen.heads:
        table(fits, list(heads(fits, chosen.heads, chosen.set)), ways)
    if chosen.photos:
        table(fits, list(photographs(fits, chosen.photos)), ways)


if __name__ == "__main__":
    main()
