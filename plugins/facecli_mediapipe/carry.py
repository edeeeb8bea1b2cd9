"""Expressions from one face to another: deformation transfer on MediaPipe's surface.

Sumner and Popović (SIGGRAPH 2004): the gradient of the target's deformation, triangle by triangle, is applied to the
source's triangles, and the surface is found that fits the resulting edges best. Botsch and others (2006) showed that
this is a Poisson equation; with edge weights of the mean face its matrix is the same for all faces, so it is
factorised once. Triangles that close eyes and mouth are no skin and have no say.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import numpy as np
import scipy.sparse as sparse
from scipy.sparse.linalg import SuperLU, splu

from facecli_mediapipe.surface import ALL_POINTS, FACE_POINTS, load_surface, similarity_fit

INNER_LIPS = (
    (13, 14), (82, 87), (312, 317), (81, 178), (311, 402), (80, 88), (310, 318), (191, 95), (415, 324),
)  # fmt: skip
"""Upper and lower point of each pair that meets when the mouth is shut."""
MOUTH_CORNERS = (78, 308)

LIDS = (
    ((159, 145), (158, 153), (160, 144), (157, 154), (161, 163), (173, 155), (246, 7)),
    ((386, 374), (385, 380), (387, 373), (384, 381), (388, 390), (398, 382), (466, 249)),
)
"""Of each eye, upper and lower point of the pairs that meet when it is shut."""
EYE_CORNERS = ((33, 133), (362, 263))
IRISES = (tuple(range(468, 473)), tuple(range(473, 478)))

UPPER_LID = 0.8
"""The upper lid's share of a blink."""
WIDEST_EYE = 2.0
"""Times as open as at rest."""
BLINKING = 0.75
"""Openings of the eyes, against their median, below which somebody blinks."""

_WEAK, _STILL, _HELD = 1e-3, 0.3, 1e4
"""Weights, against the edges' of about 1: of a point's own shift, so that the face stays in its place; the same of
points that expressions don't move; of points that are told where to be."""
_STIFF = 0.3
"""Of the mean face's edges against the points that are seen, when a face at rest is guessed: see :func:`guess_rest`."""


def carry_surfaces(source: np.ndarray, target: np.ndarray, neutral: np.ndarray) -> np.ndarray:
    """`source` with the expression that `target` has and `neutral`, the same person at rest, has not.

    Args:
        source, target, neutral: [B, 478, 3] in the head frame, in units of the mean face.
    """
    if np.array_equal(target, neutral):
        return source.copy()
    mesh = _mesh()
    target = _aligned(target, neutral, mesh.firm)
    s, t, n = (points[:, :FACE_POINTS] for points in (source, target, neutral))
    moved = mesh.solve(mesh.deformed_edges(s, t, n), s + (1 - mesh.firm[:, None]) * (t - n))
    moved = moved + mesh.spread(_corrections(moved, s, t, n))
    return np.concatenate([moved, _irises(source, moved, target, neutral)], 1)


def guess_rest(surface: np.ndarray) -> np.ndarray:
    """[478, 3] how the face `surface` [478, 3] may look at rest, where nobody has seen it so.

    The mean face, bent to the parts that expressions move little: forehead, temples, eye corners, nose, cheekbones.
    What is peculiar about mouth, brows, lids and chin is taken for expression, which in part it isn't.
    """
    mean, mesh = load_surface().mean, _mesh()
    shift = surface[:FACE_POINTS] - mean[:FACE_POINTS]
    weights = mesh.firm / _STIFF
    system = splu((mesh.laplacian + sparse.diags(weights + 1e-6)).tocsc())
    rest = mean[:FACE_POINTS] + system.solve(weights[:, None] * shift)
    return np.concatenate([rest, _irises(mean[None], rest[None], mean[None], mean[None])[0]])


def resting(surfaces: np.ndarray, poses: np.ndarray) -> int:
    """The frame of one person, of `surfaces` [B, 478, 3], that is closest to rest.

    Of the frames without a blink, the quarter whose mouth is the most shut; of these, the half whose pose is the most
    usual; of these, the one that is nearest to their median.

    Args:
        poses: [B, 3] axis-angle.
    """
    mouth = mouth_opening(surfaces)
    eyes = eye_opening(surfaces).mean(1)
    away = np.linalg.norm(poses - np.median(poses, axis=0), axis=1)
    candidates = np.flatnonzero(eyes >= BLINKING * np.median(eyes))
    for badness, share in ((mouth, 0.25), (away, 0.5)):
        candidates = candidates[badness[candidates] <= np.quantile(badness[candidates], share)]
    faces = surfaces[candidates, :FACE_POINTS]
    distance = np.linalg.norm(faces - np.median(faces, axis=0), axis=2).mean(1)
    return int(candidates[distance.argmin()])


def mouth_opening(surfaces: np.ndarray) -> np.ndarray:
    """[B] gap between the lips over the mouth's width, of surfaces [B, V, 3]."""
    gap = np.linalg.norm(surfaces[:, 13] - surfaces[:, 14], axis=1)
    return gap / np.linalg.norm(surfaces[:, MOUTH_CORNERS[0]] - surfaces[:, MOUTH_CORNERS[1]], axis=1)


def eye_opening(surfaces: np.ndarray) -> np.ndarray:
    """[B, 2] gap between the lids over the eye's width."""
    openings = []
    for lids, (a, b) in zip(LIDS, EYE_CORNERS, strict=True):
        upper, lower = np.array(lids[:3]).T
        gap = np.linalg.norm(surfaces[:, upper] - surfaces[:, lower], axis=2).mean(1)
        openings.append(gap / np.linalg.norm(surfaces[:, a] - surfaces[:, b], axis=1))
    return np.stack(openings, 1)


# --- the Poisson equation --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Mesh:
    """What is the same for all faces.

    Args:
        skin: [F, 3] triangles.
        start, stop: [E] ends of all skin triangles' edges; `triangle` [E] which it belongs to; `weights` [E].
        laplacian: [V, V] of the edges. firm: [V] 0..1, how little expressions move a point.
    """

    skin: np.ndarray
    start: np.ndarray
    stop: np.ndarray
    triangle: np.ndarray
    weights: np.ndarray
    laplacian: sparse.csc_matrix
    firm: np.ndarray

    @functools.cached_property
    def _anchors(self) -> np.ndarray:
        return _WEAK + _STILL * self.firm

    @functools.cached_property
    def _system(self) -> SuperLU:
        return splu((self.laplacian + sparse.diags(self._anchors)).tocsc())

    @functools.cached_property
    def _told(self) -> np.ndarray:
        return np.array(sorted({*np.ravel(INNER_LIPS), *np.ravel(LIDS), *np.ravel(EYE_CORNERS), *MOUTH_CORNERS}))

    @functools.cached_property
    def _spreading(self) -> SuperLU:
        held = np.full(FACE_POINTS, 0.05)  # reaches a few points far
        held[self._told] = _HELD
        return splu((self.laplacian + sparse.diags(held)).tocsc())

    def deformed_edges(self, source: np.ndarray, target: np.ndarray, neutral: np.ndarray) -> np.ndarray:
        """[B, E, 3] the source's edges, turned and stretched as the target's triangles are against the neutral."""
        gradient = np.linalg.solve(_frames(neutral, self.skin), _frames(target, self.skin))
        edges = source[:, self.stop] - source[:, self.start]
        return np.einsum("bei,beij->bej", edges, gradient[:, self.triangle])

    def solve(self, edges: np.ndarray, places: np.ndarray) -> np.ndarray:
        """[B, V, 3] the points whose edges are closest to `edges` [B, E, 3], near their `places` [B, V, 3]."""
        count = len(edges)
        wanted = (edges * self.weights[:, None]).transpose(1, 0, 2).reshape(len(self.weights), -1)
        right = self._divergence @ wanted
        right += self._anchors[:, None] * places.transpose(1, 0, 2).reshape(FACE_POINTS, -1)
        return self._system.solve(right).reshape(FACE_POINTS, count, 3).transpose(1, 0, 2)

    @functools.cached_property
    def _divergence(self) -> sparse.csr_matrix:
        """[V, E]: what flows into each point."""
        edge = np.arange(len(self.start))
        ones = np.ones(len(edge))
        shape = (FACE_POINTS, len(edge))
        return sparse.csr_matrix((ones, (self.stop, edge)), shape) - sparse.csr_matrix(
            (ones, (self.start, edge)), shape
        )

    def spread(self, shifts: np.ndarray) -> np.ndarray:
        """[B, V, 3] `shifts` [B, V, 3] of the points of lips and lids, fading out around them."""
        if not shifts.any():
            return np.zeros_like(shifts)
        right = np.zeros_like(shifts)
        right[:, self._told] = shifts[:, self._told] * _HELD
        flat = self._spreading.solve(right.transpose(1, 0, 2).reshape(FACE_POINTS, -1))
        return flat.reshape(FACE_POINTS, len(shifts), 3).transpose(1, 0, 2)


@functools.cache
def _mesh() -> _Mesh:
    surface = load_surface()
    skin = surface.triangles[~_holes(surface.triangles)]
    start = skin.ravel()
    stop = np.roll(skin, -1, axis=1).ravel()
    weights = _cotangents(surface.mean, skin)
    laplacian = _laplacian(start, stop, weights)
    return _Mesh(skin, start, stop, np.repeat(np.arange(len(skin)), 3), weights, laplacian, _firm(surface.mean))


def _holes(triangles: np.ndarray) -> np.ndarray:
    """[F] bool, which triangles close the eyes and the mouth."""
    rings = [{*np.ravel(INNER_LIPS), *MOUTH_CORNERS}]
    rings += [{*np.ravel(lids), *corners} for lids, corners in zip(LIDS, EYE_CORNERS, strict=True)]
    return np.any([np.isin(triangles, list(ring)).all(1) for ring in rings], axis=0)


def _cotangents(points: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """[3 F] half the cotangent of the angle opposite to each triangle's edges 01, 12, 20; at least 0.05."""
    corners = points[triangles]
    a = np.roll(corners, -2, axis=1)  # opposite of the edge that starts at each corner
    to_start, to_stop = corners - a, np.roll(corners, -1, axis=1) - a
    cross = np.linalg.norm(np.cross(to_start, to_stop), axis=2)
    return np.maximum((to_start * to_stop).sum(2) / np.maximum(cross, 1e-9) / 2, 0.05).ravel()


def _laplacian(start: np.ndarray, stop: np.ndarray, weights: np.ndarray) -> sparse.csc_matrix:
    across = sparse.coo_matrix((weights, (start, stop)), (FACE_POINTS, FACE_POINTS))
    across = (across + across.T).tocsr()
    return (sparse.diags(np.asarray(across.sum(1)).ravel()) - across).tocsc()


def _firm(mean: np.ndarray) -> np.ndarray:
    """[V] 1 on forehead, temples, bridge of the nose; falling to 0 at brows, lids, cheeks and all below the nose."""
    points = mean[:FACE_POINTS]
    brows_and_lids = np.unique(np.ravel(LIDS))
    brows = np.array([70, 63, 105, 66, 107, 46, 53, 52, 65, 55, 300, 293, 334, 296, 336, 276, 283, 282, 295, 285])
    near = [np.linalg.norm(points[:, None] - points[group], axis=2).min(1) for group in (brows_and_lids, brows)]
    free = np.clip(np.minimum(near[0] / 12, near[1] / 15), 0, 1)
    nose_tip = points[1, 1]
    high = np.clip((points[:, 1] - nose_tip) / 20, 0, 1)
    return free**2 * high


def _aligned(target: np.ndarray, neutral: np.ndarray, firm: np.ndarray) -> np.ndarray:
    """`target` [B, 478, 3] with its firm points where the neutral's are: what is left of a head's motion is taken out,
    which MediaPipe's depth makes more of the farther the head turns."""
    aligned = np.empty_like(target)
    for face, rest, out in zip(target, neutral, aligned, strict=True):
        scale, rotation, shift = similarity_fit(face[:FACE_POINTS], rest[:FACE_POINTS], firm)
        out[:] = scale * face @ rotation.T + shift
    return aligned


def _frames(points: np.ndarray, triangles: np.ndarray) -> np.ndarray:
    """[B, F, 3, 3] rows: two edges of each triangle and its normal, as long as edges are."""
    corners = points[:, triangles]
    a, b = corners[:, :, 1] - corners[:, :, 0], corners[:, :, 2] - corners[:, :, 0]
    normal = np.cross(a, b)
    normal = normal / np.sqrt(np.maximum(np.linalg.norm(normal, axis=2, keepdims=True), 1e-9))
    return np.stack([a, b, normal], 2)


# --- lips, lids, irises ----------------------------------------------------------------------------------------------


def _corrections(moved: np.ndarray, source: np.ndarray, target: np.ndarray, neutral: np.ndarray) -> np.ndarray:
    """[B, V, 3] shifts that keep lips apart, and lids as open or shut, against rest, as the target's are."""
    shifts = np.zeros_like(moved)
    upper, lower = np.array(INNER_LIPS).T
    gap = moved[:, upper] - moved[:, lower]
    crossing = [points[:, upper, 1] - points[:, lower, 1] for points in (source, target)]
    least = np.minimum(0.0, np.minimum(*crossing))  # MediaPipe's own lips cross now and then: no more than that
    missing = np.maximum(least - gap[..., 1], 0)[..., None] * (0, 1, 0)
    shifts[:, upper] += missing / 2
    shifts[:, lower] -= missing / 2
    for lids in LIDS:
        upper, lower = np.array(lids).T
        own, theirs, rest = (_gap(points, upper, lower).mean(1) for points in (source, target, neutral))
        wanted = own * np.clip(theirs / np.maximum(rest, 1e-3), 0, WIDEST_EYE)
        gap = moved[:, upper] - moved[:, lower]
        open_ = source[:, upper] - source[:, lower]
        crossed = ((gap * open_).sum(2) <= 0).any(1)[:, None, None]  # then the source's own gap says where to
        now = np.maximum(np.linalg.norm(gap, axis=2).mean(1), 1e-3)
        share, factor = (wanted / size for size in (np.maximum(own, 1e-3), now))
        missing = np.where(crossed, open_ * share[:, None, None], gap * factor[:, None, None]) - gap
        shifts[:, upper] += UPPER_LID * missing
        shifts[:, lower] -= (1 - UPPER_LID) * missing
    return shifts


def _gap(points: np.ndarray, upper: np.ndarray, lower: np.ndarray) -> np.ndarray:
    return np.linalg.norm(points[:, upper] - points[:, lower], axis=2)


def _irises(source: np.ndarray, moved: np.ndarray, target: np.ndarray, neutral: np.ndarray) -> np.ndarray:
    """[B, 10, 3] the source's irises, gone along with the eyes' corners, and looking away as the target's do."""
    parts = []
    for iris, corners in zip(map(list, IRISES), map(list, EYE_CORNERS), strict=True):
        theirs, rest = (points[:, iris].mean(1) - points[:, corners].mean(1) for points in (target, neutral))
        width, their_width = (
            np.linalg.norm(np.diff(points[:, corners], axis=1)[:, 0], axis=1) for points in (source, neutral)
        )
        gaze = (theirs - rest) * (width / their_width)[:, None]
        along = moved[:, corners].mean(1) - source[:, corners].mean(1)
        parts.append(source[:, iris] + (along + gaze)[:, None])
    found = np.concatenate(parts, 1)
    assert found.shape[1] == ALL_POINTS - FACE_POINTS
    return found
