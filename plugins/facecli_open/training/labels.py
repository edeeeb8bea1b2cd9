"""What the network should say of a head, and how far a guess is from it in millimetres of its surface."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from scipy.spatial import cKDTree

from facecli.benchmark.scan_to_mesh import crop, face_region
from facecli.benchmark.synthetic.heads import now7
from facecli.data.ict_head import IctHead
from facecli.data.scan_points import ScanPoints
from facecli.geometry.normals import vertex_normals
from facecli.morphable.ict import FACE_END, HEAD_END

TYPICAL = 0.6745
"""Median of a normal error's amount over its standard deviation."""
_SIDES = {"jawLeft": "jawRight", "mouthLeft": "mouthRight"}


@dataclass(frozen=True)
class Metrics:
    """Quadratic forms: ``d @ form @ d`` is the mean square, mm², over points of the surface, of how far they move when
    codes differ by `d`.

    Args:
        face: [100, 100] along the normals, NoW's region, after the best similarity: what NoW's error is made of.
        sized: [100, 100] the same, size and place included.
        head: [100, 100] all of the head, after the best similarity.
        expression: [57, 57] the front of the face.
    """

    face: np.ndarray
    sized: np.ndarray
    head: np.ndarray
    expression: np.ndarray


def metrics(head: IctHead) -> Metrics:
    """For the codes of ICT-FaceKit's heads, about the mean head."""
    arrays = head.model.arrays
    own = len(arrays.mean)
    mean = head.vertices(np.zeros((1, head.n_identity)), np.zeros((1, head.n_expression)))[0].astype(np.float64)
    scan = ScanPoints(head)
    points = scan.of(mean)
    normals = np.einsum("sk,skc->sc", scan.weights, vertex_normals(mean, head.triangles)[scan.corners])
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    corners = scan.corners.clip(max=own - 1)  # the skin is all of the model's own vertices
    moved = np.einsum("sk,iskc,sc->si", scan.weights, arrays.identity[:, corners], normals)
    near = crop(points, *face_region(now7(head.landmarks(mean[None])[0])))
    everything = np.arange(len(points))
    front = (arrays.source_vertex < FACE_END) & (arrays.mean[:, 2] > 40)
    shapes = arrays.expression[:, front].reshape(head.n_expression, -1).astype(np.float64)
    return Metrics(
        face=_form(_aligned(points[near], normals[near], moved[near])),
        sized=_form(moved[near]),
        head=_form(_aligned(points, normals, moved[everything])),
        expression=shapes @ shapes.T / front.sum(),
    )


def _aligned(points: np.ndarray, normals: np.ndarray, moved: np.ndarray) -> np.ndarray:
    """`moved` [S, N] along the normals, less what a shift, a turn and a change of size do."""
    centred = points - points.mean(0)
    motions = [normals, np.cross(centred, normals), (centred * normals).sum(1, keepdims=True)]
    basis, _ = np.linalg.qr(np.concatenate(motions, 1))
    return moved - basis @ (basis.T @ moved)


def _form(moved: np.ndarray) -> np.ndarray:
    return moved.T @ moved / len(moved)


@dataclass(frozen=True)
class Mirror:
    """Codes of mirrored heads: identity @ `identity` [100, 100], expression[:, `expression`] [57]."""

    identity: np.ndarray
    expression: np.ndarray


def mirror(head: IctHead) -> Mirror:
    """ICT-FaceKit's identities are nearly closed under mirroring: 0.03 mm of 7.3 are missed."""
    arrays = head.model.arrays
    skin = np.flatnonzero(arrays.source_vertex < HEAD_END)
    _, twin = cKDTree(arrays.mean[skin]).query(arrays.mean[skin] * (-1, 1, 1))
    some = slice(None, None, 7)
    shapes = arrays.identity[:, skin].astype(np.float64)
    mirrored = (shapes[:, twin] * (-1, 1, 1))[:, some].reshape(len(shapes), -1)
    turned, *_ = np.linalg.lstsq(shapes[:, some].reshape(len(shapes), -1).T, mirrored.T, rcond=None)
    names = head.expression_names
    return Mirror(turned.T.astype(np.float32), np.array([names.index(_other_side(name)) for name in names]))


def _other_side(name: str) -> str:
    if name[-2:] in ("_L", "_R"):
        return name[:-1] + {"L": "R", "R": "L"}[name[-1]]
    return _SIDES.get(name) or {right: left for left, right in _SIDES.items()}.get(name, name)


class Loss:
    """How wrong guesses are.

    Millimetres rather than their squares: heads that nobody could guess don't take over.
    """

    def __init__(self, forms: Metrics):
        identity = forms.face + 0.1 * forms.head + 0.02 * forms.sized + 1e-4 * np.eye(len(forms.face))
        self.face, self.sized, self._identity, self._expression = (
            torch.from_numpy(form).float() for form in (forms.face, forms.sized, identity, forms.expression)
        )

    def __call__(self, guess: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
        """Of outputs [B, OUTPUTS] against labels of the same form."""
        identity, expression, distance = (guess - truth).split([len(self.face), len(self._expression), 1], 1)
        return (
            _root(identity, self._identity).mean()
            + 0.5 * (_root(expression, self._expression) + 0.5 * expression.square().sum(1)).mean()
            + 0.3 * distance.square().mean()
        )


def _root(error: torch.Tensor, form: torch.Tensor) -> torch.Tensor:
    """[B] mm, smooth at 0."""
    return (((error @ form) * error).sum(1) + 1).sqrt()


def typical(error: torch.Tensor, form: torch.Tensor) -> float:
    """Median amount, mm, that errors of codes [B, N] move the surface by: the mean over heads of what is to be expected
    of each."""
    return TYPICAL * float(((error @ form) * error).sum(1).clamp(min=0).sqrt().mean())
