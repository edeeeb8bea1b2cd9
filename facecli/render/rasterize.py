"""One rasterizer contract for every model: `rasterize` and `interpolate`, over exchangeable backends.

Axes: x to the right, y *down*, depth grows away from the camera, the nearest wins. The shorter side of the picture
spans -1..1, row 0 is the top row. A backend only says which face a pixel shows; where gradients are wanted, one torch
function computes weights and depth at those pixels for all of them.
"""

from __future__ import annotations

import functools
import importlib
import math
from dataclasses import dataclass
from types import ModuleType

import torch

from facecli.errors import UsageError
from facecli.render.arithmetic import pixel_centres, weights_and_depth

BACKENDS = ("numba", "torch", "triton", "pytorch3d")
"""Each is the module ``facecli.render.<name>_backend`` with `unavailable(device)` and `cover(…)`."""


@dataclass(frozen=True)
class Fragments:
    """What the pixels of B pictures show.

    Args:
        face_index: int64 [B, H, W], index of the face within the mesh; -1 where nothing is drawn.
        bary: float32 [B, H, W, 3], weights of the face's three vertices; -1 where nothing is drawn.
        depth: float32 [B, H, W], interpolated third coordinate; -1 where nothing is drawn.
        mask: bool [B, H, W].
    """

    face_index: torch.Tensor
    bary: torch.Tensor
    depth: torch.Tensor
    mask: torch.Tensor


def rasterize(
    verts: torch.Tensor,
    faces: torch.Tensor,
    size: tuple[int, int],
    *,
    perspective: bool = False,
    cull: bool = False,
    backend: str = "auto",
) -> Fragments:
    """Draw B meshes that share `faces`.

    Gradients flow to `verts` through `bary` and `depth`; coverage has none. Faces with a vertex at or behind the camera
    (depth < 1e-8), or that is not finite, aren't drawn.

    Args:
        verts: float [B, V, 3], image NDC and depth (see the module); computed in float32 whatever its type.
        faces: int [F, 3].
        size: (H, W).
        perspective: `verts` are already divided by their depth; weights become perspective-correct.
        cull: leave out faces that turn their back (clockwise as seen in the picture).
        backend: ``"auto"`` or one of :data:`BACKENDS`.

    Raises:
        UsageError: no such backend, or not on this machine.
        ValueError: shapes don't fit, or `faces` names a vertex that isn't there.
    """
    size = (int(size[0]), int(size[1]))
    _check(verts, faces, size)
    faces = faces.to(verts.device, torch.int64)
    module = _load_backend(backend, verts.device)
    with torch.autocast(verts.device.type, enabled=False):
        verts = verts.float()
        face_index, bary, depth = module.cover(verts.detach(), faces, size, perspective, cull)
        mask = face_index >= 0
        if bary is None or depth is None or (verts.requires_grad and torch.is_grad_enabled()):
            bary, depth = _weights_and_depth_of_hits(verts, faces, face_index, mask, perspective)
    return Fragments(face_index, bary, depth, mask)


def interpolate(fragments: Fragments, faces: torch.Tensor, attr: torch.Tensor) -> torch.Tensor:
    """Attributes at the pixels: [B, C, H, W], exactly 0 where nothing is drawn.

    Args:
        faces: the faces that were rasterized, int [F, 3].
        attr: per vertex [B or 1, V, C] or per face corner [B or 1, F, 3, C].
    """
    image, row, column = fragments.mask.nonzero(as_tuple=True)
    face = fragments.face_index[image, row, column]
    source = image if len(attr) > 1 else torch.zeros_like(image)
    with torch.autocast(attr.device.type, enabled=False):
        if attr.ndim == 4:
            corners = attr[source, face]
        else:
            corners = attr[source[:, None], faces.to(attr.device, torch.int64)[face]]
        weights = fragments.bary[image, row, column].to(corners.dtype)
        values = weights[:, :1] * corners[:, 0] + weights[:, 1:2] * corners[:, 1] + weights[:, 2:] * corners[:, 2]
        picture = values.new_zeros(*fragments.mask.shape, values.shape[-1])
        picture = picture.index_put((image, row, column), values)
    return picture.permute(0, 3, 1, 2)


def pixels_to_image_ndc(projected: torch.Tensor, size: tuple[int, int], *, shift_depth: bool = True) -> torch.Tensor:
    """From pixels (integers at pixel centres) to the rasterizer's axes.

    Args:
        projected: [B, V, 3]: x and y in pixels of a picture of `size`, and depth growing away from the camera.
        size: (H, W); the shorter side spans -1..1.
        shift_depth: move each mesh so that its nearest vertex has depth 1: depths of any offset become drawable. Turn
            it off where the depth is a true distance from the camera (`perspective=True`).

    Returns:
        [B, V, 3] float32, differentiable.
    """
    height, width = size
    x, y, depth = projected.float().unbind(-1)
    if shift_depth and depth.numel():
        finite = torch.where(depth.isfinite(), depth, depth.new_tensor(math.inf)).detach()
        depth = depth - finite.amin(-1, keepdim=True) + 1
    shorter = min(height, width)
    return torch.stack([(2 * x + 1 - width) / shorter, (2 * y + 1 - height) / shorter, depth], -1)


def available_backends(device: str | torch.device = "cpu") -> dict[str, str]:
    """Name -> "" where the backend works with tensors on `device`, else why not."""
    return {name: _reason(name, torch.device(device)) for name in BACKENDS}


def uses_numba(backend: str) -> bool:
    """Whether what is drawn on the CPU with `backend` may go through loops compiled by numba elsewhere, too."""
    return backend == "numba" or (backend == "auto" and _automatic("cpu") == "numba")


def self_check(backend: str, device: str | torch.device = "cpu") -> str:
    """Draw a small case of 64 pixels and compare it with plain torch: "" if it agrees, else what is wrong."""
    device = torch.device(device)
    verts, faces = _bumpy_ball(device)
    for perspective in (False, True):
        try:
            found = rasterize(verts, faces, (64, 64), perspective=perspective, backend=backend)
        except Exception as error:  # whatever a driver or compiler throws, the caller wants to know it as words
            return " ".join(str(error).split()) or type(error).__name__
        wanted = rasterize(verts, faces, (64, 64), perspective=perspective, backend="torch")
        same = found.face_index == wanted.face_index
        if same.float().mean() < 0.999:
            return f"{int((~same).sum())} of {same.numel()} pixels show another face than they should"
        for name in ("bary", "depth"):
            difference = (getattr(found, name) - getattr(wanted, name))[same].abs().max()
            if not difference <= 1e-4:
                return f"{name} differs by {difference:.2g}"
    return ""


def _bumpy_ball(device: torch.device) -> tuple[torch.Tensor, torch.Tensor]:
    """Two balls with bumps (occluding themselves) [2, 288, 3] and their 506 triangles, by formula."""
    rings, spokes = 24, 12
    latitude = torch.linspace(0.05, math.pi - 0.05, rings, device=device)[:, None]
    longitude = (torch.arange(spokes, device=device) * (2 * math.pi / (spokes - 1)))[None]
    balls = []
    for turn in (0.3, 1.7):
        radius = 0.75 + 0.2 * torch.sin(4 * latitude + turn) * torch.cos(3 * longitude)
        x = radius * latitude.sin() * torch.cos(longitude + turn)
        z = radius * latitude.sin() * torch.sin(longitude + turn)
        y = radius * latitude.cos().expand_as(x)
        balls.append(torch.stack([x, y, z + 3], -1).flatten(0, 1))
    corner = (torch.arange(rings - 1)[:, None] * spokes + torch.arange(spokes - 1)[None]).flatten()
    right, below, across = corner + 1, corner + spokes, corner + spokes + 1
    faces = torch.cat([torch.stack([corner, below, right], 1), torch.stack([right, below, across], 1)])
    return torch.stack(balls), faces.to(device)


def _check(verts: torch.Tensor, faces: torch.Tensor, size: tuple[int, int]) -> None:
    if verts.ndim != 3 or verts.shape[-1] != 3 or faces.ndim != 2 or faces.shape[-1] != 3:
        raise ValueError(f"verts must be [B, V, 3] and faces [F, 3], not {[*verts.shape]} and {[*faces.shape]}")
    if min(size) < 1:
        raise ValueError(f"a picture of {size[0]}×{size[1]} pixels can't be drawn")
    # On a GPU this would wait for the device, and a wrong index fails there anyhow; here it would be a wild read.
    if faces.device.type == "cpu" and len(faces):
        lowest, highest = (int(value) for value in faces.aminmax())
        if lowest < 0 or highest >= verts.shape[1]:
            raise ValueError(f"faces name vertices {lowest}..{highest}, but there are {verts.shape[1]}")


def _load_backend(name: str, device: torch.device) -> ModuleType:
    if name == "auto":
        return _module(_automatic(device.type))
    reason = _reason(name, device) if name in BACKENDS else "there is no such rasterizer"
    if reason:
        usable = [other for other in BACKENDS if not _reason(other, device)]
        raise UsageError(f"rasterizer {name!r} can't be used: {reason}. Available: auto, {', '.join(usable)}")
    return _module(name)


@functools.cache
def _automatic(device_type: str) -> str:
    """The fastest backend on this kind of device that proves itself."""
    device = torch.device(device_type)
    if device_type == "cpu" and not _reason("numba", device):
        return "numba"
    if device_type == "cuda" and not _reason("triton", device) and not self_check("triton", device):
        return "triton"
    return "torch"


def _module(name: str) -> ModuleType:
    return importlib.import_module(f"facecli.render.{name}_backend")


@functools.cache
def _reason(name: str, device: torch.device) -> str:
    try:
        return _module(name).unavailable(device)
    except ModuleNotFoundError as error:
        return f"the Python package {error.name} is not installed"
    except Exception as error:  # a package built for another torch may throw anything
        return f"{name} can't be imported: {' '.join(str(error).split())}"


def _weights_and_depth_of_hits(verts, faces, face_index, mask, perspective) -> tuple[torch.Tensor, torch.Tensor]:
    """`bary` and `depth` of the covered pixels, differentiable with respect to `verts`."""
    image, row, column = mask.nonzero(as_tuple=True)
    columns, rows = (torch.from_numpy(axis).to(verts.device) for axis in pixel_centres(mask.shape[1:]))
    corners = verts[image[:, None], faces[face_index[image, row, column]]]
    weights, depths = weights_and_depth(corners, columns[column], rows[row], perspective)
    bary = verts.new_full((*mask.shape, 3), -1.0).index_put((image, row, column), weights)
    depth = verts.new_full(mask.shape, -1.0).index_put((image, row, column), depths)
    return bary, depth
