"""Textures from photographs: what the camera saw of a face is laid into its UV layout, the rest is completed.

`sample_texture` says for each texel how well it was seen; `complete_texture` fills what was not seen from the mirrored
side of the face, colour-matched along the seam, and what neither side shows by smooth inpainting.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import cv2
import numpy as np
import torch

from facecli.render.rasterize import pixels_to_image_ndc, rasterize
from facecli.render.window import Window, interpolate_cells, render_window, viewer_normals

_GRAZING, _FRONTAL = 0.2, 0.7
"""Cosines to the viewer between which a texel's weight rises from 0 to 1."""
_DEPTH_TOLERANCE = 0.008  # of the face's extent
_OUTLINE, _ON_OUTLINE = 0.04, 0.25
"""Landmarks are least exact along the face's outline, where the background may show: within this fraction of the face's
extent the weight falls to this fraction."""
_MOST_CELLS_ACROSS = 1024  # of the depth buffer that decides visibility


@dataclass(frozen=True)
class UvLayout:
    """Which triangle of the UV layout each texel belongs to.

    Args:
        size: side of the texture.
        mask: bool [S, S]; row 0 is the top row (v = 1).
        face_index, bary: [N], [N, 3] of the texels in `mask`, in row-major order.
    """

    size: int
    mask: np.ndarray
    face_index: np.ndarray
    bary: np.ndarray

    def interpolate(self, triangles: np.ndarray, values: np.ndarray) -> np.ndarray:
        """Per-vertex `values` [V, C] at the texels [N, C]; `triangles` are of the mesh that `values` belong to."""
        return interpolate_cells(self.face_index, self.bary, np.asarray(triangles, np.int64), values)

    def picture(self, values: np.ndarray, background: float = 0) -> np.ndarray:
        """`values` [N, C] or [N] as a texture float32 [S, S, C] or [S, S]."""
        picture = np.full((self.size, self.size, *values.shape[1:]), background, np.float32)
        picture[self.mask] = values
        return picture


def uv_layout(uv: np.ndarray, uv_triangles: np.ndarray, size: int, backend: str = "auto") -> UvLayout:
    """Rasterize a UV layout (origin bottom-left); the last few are remembered, since a model has one for all faces.

    Args:
        uv: [T, 2].
        uv_triangles: int [F, 3].
        size: side of the texture.
    """
    uv = np.ascontiguousarray(uv, np.float32)
    uv_triangles = np.ascontiguousarray(uv_triangles, np.int64)
    return _uv_layout(uv.tobytes(), uv_triangles.tobytes(), size, backend)


@functools.lru_cache(maxsize=4)
def _uv_layout(uv: bytes, uv_triangles: bytes, size: int, backend: str) -> UvLayout:
    points = texel_coordinates(np.frombuffer(uv, np.float32).reshape(-1, 2), size)
    points = np.concatenate([points, np.ones((len(points), 1))], 1).astype(np.float32)
    points += [1.37e-3, 1.73e-3, 0]  # vertices on texel centres would leave holes
    triangles = torch.from_numpy(np.frombuffer(uv_triangles, np.int64).reshape(-1, 3).copy())
    ndc = pixels_to_image_ndc(torch.from_numpy(points)[None], (size, size))
    found = rasterize(ndc, triangles, (size, size), backend=backend)
    mask = found.mask[0].numpy()
    return UvLayout(size, mask, found.face_index[0].numpy()[mask], found.bary[0].numpy()[mask])


def texel_coordinates(uv: np.ndarray, size: int) -> np.ndarray:
    """`uv` [..., 2] (origin bottom-left) as column and row of the texture, integers at texel centres."""
    return np.stack([uv[..., 0] * size - 0.5, (1 - uv[..., 1]) * size - 0.5], -1)


def sample_texture(
    photo: np.ndarray,
    projected: np.ndarray,
    triangles: np.ndarray,
    uv: np.ndarray,
    uv_triangles: np.ndarray | None = None,
    size: int = 1024,
    *,
    pixels_per_unit: float = 1.0,
    backend: str = "auto",
) -> tuple[np.ndarray, np.ndarray]:
    """The photograph's colours in the UV layout of a face.

    Args:
        photo: uint8 [H, W, 3].
        projected: [V, 3] pixels of the photograph, and depth growing away from the camera.
        triangles: int [F, 3], counter-clockwise from outside.
        uv: [T, 2], origin bottom-left.
        uv_triangles: int [F, 3] into `uv`, corner by corner those of `triangles`; None where `uv` is per vertex.
        size: side of the texture.
        pixels_per_unit: pixels per unit of depth, see :mod:`facecli.render.pictures`.

    Returns:
        texture uint8 [S, S, 3], row 0 on top, black where nothing was seen;
        weight float32 [S, S]: 0 not seen or outside of the layout, up to 1 seen from the front.
    """
    triangles = np.asarray(triangles, np.int64)
    layout_triangles = triangles if uv_triangles is None else uv_triangles
    layout = uv_layout(uv, layout_triangles, size, backend)
    texture, weight = np.zeros((size, size, 3), np.uint8), np.zeros((size, size), np.float32)
    projected = np.asarray(projected, np.float64)
    if not np.isfinite(projected).all():
        raise ValueError("`projected` holds numbers that are not finite")
    window = _depth_window(projected, triangles, photo.shape[:2], backend)
    if window is None or not layout.mask.any():
        return texture, weight
    # How well a texel was seen changes slowly from texel to texel: half the resolution does.
    coarse = uv_layout(uv, layout_triangles, max(size // 2, 1), backend)
    weight, pixels_per_cell = _weights(coarse, window, projected, triangles, photo.shape[:2], pixels_per_unit)
    weight = cv2.resize(weight, (size, size), interpolation=cv2.INTER_LINEAR) * layout.mask
    xy = layout.interpolate(triangles, projected[:, :2] - [window.left, window.top])
    pixels_per_texel = pixels_per_cell * coarse.size / size
    colors = _sample(photo[window.slices], layout.picture(xy, -1e4), pixels_per_texel)
    texture[weight > 0] = colors[weight > 0]
    return texture, weight


def complete_texture(
    texture: np.ndarray,
    weight: np.ndarray,
    uv: np.ndarray,
    uv_triangles: np.ndarray,
    uv_mirror: np.ndarray | None = None,
    *,
    backend: str = "auto",
) -> np.ndarray:
    """Fill what was not seen, and the texture's empty parts around the layout, so that no seam shows.

    Args:
        texture, weight: as :func:`sample_texture` gives them.
        uv: [T, 2]. uv_triangles: int [F, 3].
        uv_mirror: [T, 2] UV of each UV vertex's mirror twin, or None to inpaint only.

    Returns:
        uint8 [S, S, 3]. Without any seen texel, a middle grey.
    """
    if not (weight > 0).any():
        return np.full_like(texture, 128)
    layout = uv_layout(uv, uv_triangles, len(texture), backend)
    colors, known = texture.astype(np.float32), weight.astype(np.float32)
    if uv_mirror is not None:
        colors, known = _add_mirrored_side(colors, known, layout, uv_triangles, uv_mirror)
    trust = np.minimum(known * 4, 1)  # a weakly seen texel is better than a smooth guess
    filled = cv2.blendLinear(colors, _smooth_guess(colors, known), trust, 1 - trust)
    return _bleed(np.clip(np.rint(filled), 0, 255).astype(np.uint8), layout.mask)


def _smooth_guess(colors: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """:func:`push_pull` at half the resolution, which is enough for what has no detail."""
    size = len(weight)
    half = cv2.resize(_with_weight(colors, weight), (max(size // 2, 1),) * 2, interpolation=cv2.INTER_AREA)
    guess = push_pull(half[..., :3] / np.maximum(half[..., 3:], 1e-6), half[..., 3])
    return cv2.resize(guess, (size, size), interpolation=cv2.INTER_LINEAR)


def push_pull(values: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Smooth values everywhere: `values` [H, W, C] where `weight` [H, W] is 1, ever wider averages where it is 0."""
    height, width = weight.shape
    if min(height, width) <= 2 or weight.min() >= 1:
        total = (values * weight[..., None]).sum((0, 1)) / max(float(weight.sum()), 1e-9)
        return values * weight[..., None] + total * (1 - weight[..., None])
    sums = cv2.pyrDown(_with_weight(values, weight))
    coarse_weight = sums[..., -1]
    coarse = sums[..., :-1] / np.maximum(coarse_weight, 1e-6)[..., None]
    # A coarse cell with one known texel in its reach is known.
    coarse = push_pull(coarse, np.minimum(coarse_weight * 4, 1))
    wide = cv2.pyrUp(coarse, dstsize=(width, height)).reshape(values.shape)
    return values * weight[..., None] + wide * (1 - weight[..., None])


def _with_weight(values: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """`values` [H, W, C] times `weight` [H, W], and `weight` as a last channel: blurring that averages by weight."""
    both = np.empty((*weight.shape, values.shape[2] + 1), np.float32)
    np.multiply(values, weight[..., None], out=both[..., :-1])
    both[..., -1] = weight
    return both


def _depth_window(projected, triangles, photo_size, backend) -> Window | None:
    """The face's depth at the photograph's resolution, finer for small faces, coarser for huge ones."""
    extent = float(np.ptp(projected[:, :2], axis=0).max())
    scale = float(np.clip(_MOST_CELLS_ACROSS / max(extent, 1), 0.05, 3.0))
    return render_window(projected, triangles, photo_size, scale=scale, margin=3, backend=backend)


def _weights(
    layout: UvLayout, window: Window, projected, triangles, photo_size, pixels_per_unit
) -> tuple[np.ndarray, float]:
    """How well the texels of `layout` were seen [S, S], and how many pixels of the photograph one of them spans."""
    normals = viewer_normals(projected, triangles, pixels_per_unit)
    texels = layout.interpolate(triangles, np.concatenate([projected - [window.left, window.top, 0], normals], 1))
    xy, depth, normal = texels[:, :2], texels[:, 2], texels[:, 3:]
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-9)
    cells = (xy + np.float32(0.5)) * np.float32(window.scale) - np.float32(0.5)
    weights = _smoothstep((normal[:, 2] - _GRAZING) / (_FRONTAL - _GRAZING))
    weights *= _seen(window, cells, depth, normal, pixels_per_unit) * _away_from_outline(window, cells)
    weight = _feather(layout.picture(weights * _inside(xy, window, photo_size)))
    return weight, _pixels_per_texel(layout, xy, weight)


def _seen(window: Window, cells, depth, normal, pixels_per_unit) -> np.ndarray:
    """0 or 1 [N]: is the texel at `cells` [N, 2] of the window and `depth` the nearest surface there?"""
    # The nearest surface around: colours just beside what hides them are blurred with it by the lens.
    surface = cv2.erode(np.where(window.mask, window.depth, np.float32(1e30)), np.ones((3, 3), np.uint8))
    extent = max(window.width, window.height) / pixels_per_unit
    # On a steep surface the neighbouring cell is nearer by its slope.
    slope = np.linalg.norm(normal[:, :2], axis=1) / np.maximum(normal[:, 2], 0.1)
    allowed = _DEPTH_TOLERANCE * extent + 2 * slope / (window.scale * pixels_per_unit)
    return (depth <= _at(surface, cells) + allowed).astype(np.float32)


def _away_from_outline(window: Window, cells: np.ndarray) -> np.ndarray:
    """1 [N] in the middle of the face's picture, less near its outline."""
    padded = cv2.copyMakeBorder(window.mask.astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_REPLICATE)  # no outline there
    distance = cv2.distanceTransform(padded, cv2.DIST_L2, 3)[1:-1, 1:-1]
    reach = _OUTLINE * max(window.mask.shape)
    return _ON_OUTLINE + (1 - _ON_OUTLINE) * _smoothstep(_at(distance, cells) / reach)


def _at(picture: np.ndarray, cells: np.ndarray) -> np.ndarray:
    """Values [N] of `picture` [h, w] at the nearest of `cells` [N, 2]."""
    column, row = np.rint(cells).astype(np.int64).T
    return picture[row.clip(0, picture.shape[0] - 1), column.clip(0, picture.shape[1] - 1)]


def _inside(xy: np.ndarray, window: Window, size: tuple[int, int]) -> np.ndarray:
    """1 [N] inside the photograph of `size`, falling to 0 over the last two pixels; `xy` in pixels of the window."""
    x, y = xy[:, 0] + window.left, xy[:, 1] + window.top
    border = np.minimum(np.minimum(x, size[1] - 1 - x), np.minimum(y, size[0] - 1 - y))
    return np.clip((border + 0.5) / 2, 0, 1).astype(np.float32)


def _smoothstep(x: np.ndarray) -> np.ndarray:
    x = np.clip(x, 0, 1)
    return (x * x * (3 - 2 * x)).astype(np.float32)


def _feather(weight: np.ndarray) -> np.ndarray:
    """`weight` [S, S], falling softly to 0 at hard edges (where something hides the face); nothing unseen gets any."""
    reach = max(len(weight) // 64, 1)
    distance = cv2.distanceTransform((weight > 0).astype(np.uint8), cv2.DIST_L2, 3)
    return weight * _smoothstep((distance - 1) / reach)  # the outermost get 0, so that enlarging spreads nothing


def _pixels_per_texel(layout: UvLayout, xy: np.ndarray, weight: np.ndarray) -> float:
    """Photograph pixels per texel, the median over the seen part of the layout."""
    x, y = layout.picture(xy, np.nan).transpose(2, 0, 1)
    xu, yu, xv, yv = np.diff(x)[:-1], np.diff(y)[:-1], np.diff(x, axis=0)[:, :-1], np.diff(y, axis=0)[:, :-1]
    area = np.abs(xu * yv - xv * yu)[weight[:-1, :-1] > 0.5]
    area = area[np.isfinite(area)]
    return float(np.sqrt(np.median(area))) if len(area) else 1.0


def _sample(photo: np.ndarray, xy: np.ndarray, pixels_per_texel: float) -> np.ndarray:
    """Bicubic colours uint8 of `photo` at `xy` [S, S, 2]; a photograph finer than the texels is shrunk first."""
    height, width = photo.shape[:2]
    shrink = max(pixels_per_texel, 1.0)
    small = max(round(width / shrink), 1), max(round(height / shrink), 1)
    if shrink > 1.2:
        photo = cv2.resize(photo, small, interpolation=cv2.INTER_AREA)
        xy = (xy + 0.5) * np.float32([small[0] / width, small[1] / height]) - 0.5
    return cv2.remap(
        photo, np.ascontiguousarray(xy, np.float32), None, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
    )


def _add_mirrored_side(colors, weight, layout: UvLayout, uv_triangles, uv_mirror) -> tuple[np.ndarray, np.ndarray]:
    """`colors` [S, S, 3] and `weight` [S, S] where texels that were not seen well take their mirror twins' colours.

    Light differs between the sides of a face, so the twins' colours are shifted by the smooth difference between the
    sides, known where both were seen: at the seam they fit, and beyond it the shift goes on smoothly.
    """
    where = layout.picture(
        layout.interpolate(uv_triangles, texel_coordinates(np.asarray(uv_mirror), layout.size)), -1e4
    )
    # Colours of unseen texels are meaningless: average with weights, so that none bleeds in.
    twin = cv2.remap(_with_weight(colors, weight), where, None, cv2.INTER_LINEAR, borderValue=0)
    twin_weight = twin[..., 3] * layout.mask
    twin_colors = twin[..., :3] / np.maximum(twin[..., 3:], 1e-6)
    shift = _smooth_difference(colors - twin_colors, np.minimum(weight, twin_weight) ** 2)
    twin_colors = np.clip(twin_colors + shift, 0, 255)
    share = _smoothstep(weight / (0.2 + 0.5 * twin_weight))  # the better its twin was seen, the less a poor view counts
    twin_share = (1 - share) * twin_weight
    # blendLinear divides by the sum of its weights.
    return cv2.blendLinear(colors, twin_colors, share, twin_share), np.minimum(share + twin_share, 1)


def _smooth_difference(difference: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """`difference` [S, S, 3] without its fine structure, continued to where `weight` [S, S] is 0."""
    size = len(weight)
    cells = max(size // 16, 2)
    small = cv2.resize(
        np.dstack([difference * weight[..., None], weight]), (cells, cells), interpolation=cv2.INTER_AREA
    )
    small = cv2.GaussianBlur(small, (0, 0), 1.0)
    if small[..., 3].max() < 1e-3:
        return np.zeros_like(difference)
    smooth = small[..., :3] / np.maximum(small[..., 3:], 1e-6)
    smooth = push_pull(smooth, np.minimum(small[..., 3] * 4, 1))
    return cv2.resize(smooth, (size, size), interpolation=cv2.INTER_CUBIC)


def _bleed(texture: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """`texture` with each texel outside of `mask` coloured as the nearest one inside."""
    if mask.all() or not mask.any():
        return texture
    _, label = cv2.distanceTransformWithLabels((~mask).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
    inside = np.zeros(label.max() + 1, np.int64)
    inside[label[mask]] = np.flatnonzero(mask)
    return texture.reshape(-1, 3)[inside[label]]
