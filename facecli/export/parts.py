"""Parts of a head that turn (eyes, the jaw): nodes of their own in a GLB, each about its pivot."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from facecli.export.surface import SplitSurface
from facecli.plugin import Reconstruction, Rig


@dataclass(frozen=True)
class Part:
    """One of them, of one face.

    Args:
        name: ``eye_left``, ``eye_right``, ``jaw``.
        vertices: [N] int64, those that are its alone; none of a jaw whose skin goes with it only in part.
        pivot: [3] in the mesh's frame and unit.
        rotation: [3, 3] rest -> as the mesh shows it.
    """

    name: str
    vertices: np.ndarray
    pivot: np.ndarray
    rotation: np.ndarray

    def at_rest(self, points: np.ndarray) -> np.ndarray:
        """Its `points` [N, 3] turned back, from the pivot."""
        return (points - self.pivot) @ self.rotation

    def turned_back(self, directions: np.ndarray) -> np.ndarray:
        """Normals [N, 3], or tangents with handedness [N, 4]."""
        turned = np.array(directions)
        turned[:, :3] = directions[:, :3] @ self.rotation
        return turned


@dataclass(frozen=True)
class Turns:
    """How a part moves over T frames; NaN where there is no face.

    Args:
        rotations: [T, 3, 3] rest -> now. pivots: [T, 3].
    """

    rotations: np.ndarray
    pivots: np.ndarray


def parts_of(reconstruction: Reconstruction, number: int) -> tuple[Part, ...]:
    """The turning parts of face `number`."""
    return tuple(
        Part(
            name,
            joint.vertices.numpy(force=True).astype(np.int64),
            joint.pivot[number].double().numpy(force=True),
            joint.rotation[number].double().numpy(force=True),
        )
        for name, joint in reconstruction.joints.items()
    )


def vertices_of(parts: Sequence[Part]) -> np.ndarray:
    """[N] of all `parts`."""
    return np.concatenate([np.zeros(0, np.int64), *(part.vertices for part in parts)])


def without(rig: Rig, parts: Sequence[Part]) -> Rig:
    """`rig` whose shapes leave `parts` where they are, since these turn instead."""
    shapes = np.array(rig.shapes, np.float32)
    shapes[:, vertices_of(parts)] = 0
    return Rig(rig.names, rig.codes, shapes)


# --- a surface in pieces ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Piece:
    """Some of a surface's vertices, with the triangles between them.

    Args:
        kept: [n] the split vertices, rising: those of the mesh's own order first, then copies along seams.
        triangles: [f, 3] indices into these.
        part: what turns it; None is the face.
    """

    kept: np.ndarray
    triangles: np.ndarray
    part: Part | None = None


def pieces_of(surface: SplitSurface, parts: Sequence[Part]) -> list[Piece]:
    """The face, then each part that has vertices. Triangles between a part and the face stay nowhere: there are none,
    where parts are closed."""
    owner = np.zeros(int(surface.source.max(initial=-1)) + 1, np.int64)
    meshed = [part for part in parts if len(part.vertices)]
    for number, part in enumerate(meshed, 1):
        owner[part.vertices] = number
    owner = owner[surface.source]
    return [_piece(surface, owner == number, part) for number, part in enumerate([None, *meshed])]


def _piece(surface: SplitSurface, mine: np.ndarray, part: Part | None) -> Piece:
    kept, place = np.flatnonzero(mine), np.cumsum(mine) - 1
    return Piece(kept, place[surface.triangles[mine[surface.triangles].all(1)]], part)


def ranges_of(vertices: np.ndarray) -> list[list[int]]:
    """Rising numbers as ranges [from, to)."""
    breaks = np.flatnonzero(np.diff(vertices) != 1) + 1
    return [[int(run[0]), int(run[-1]) + 1] for run in np.split(vertices, breaks) if len(run)]


def numbers_in(ranges: Sequence[Sequence[int]]) -> np.ndarray:
    """The way back from :func:`ranges_of`."""
    return np.concatenate([np.zeros(0, np.int64), *(np.arange(start, end) for start, end in ranges)])


# --- turns as what morph targets can do ------------------------------------------------------------------------------


def linear_turns(points: np.ndarray, rotations: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """(offsets [N, 3], weights [T]) that sum up to the turn of `points` [N, 3] about the origin by `rotations`.

    A turn is linear in its matrix: each of its nine numbers moves all points along one axis by one of their
    coordinates. Those that never change by more than 1e-5 are left out.
    """
    for row in range(3):
        for column in range(3):
            weights = rotations[:, row, column] - (row == column)
            if np.abs(weights).max(initial=0) > 1e-5:
                offsets = np.zeros_like(points)
                offsets[:, row] = points[:, column]
                yield offsets, weights
