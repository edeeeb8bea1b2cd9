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

from facecli.render.rasterize import pixels_to_image_ndc, rasterize, uses_numba
from facecli.render.window import Window, interpolate_cells, render_window, viewer_normals

_GRAZING, _FRONTAL = 0.2, 0.7
"""Cosines to the viewer between which a texel's weight rises from 0 to 1."""
_DEPTH_TOLERANCE = 0.008  # of the face's extent
_OUTLINE, _ON_OUTLINE = 0.04, 0.25
"""Landmarks are least exact along the face's outline, where the background may show: within this fraction of the face's
extent the weight falls to this fraction."""
_MOST_CELLS_ACROSS = 1024  # of the depth buffer that decides visibility
_CERTAIN, _CERTAIN_WITH_TWIN = np.float32(0.2), np.float32(0.5)
"""From this weight on, plus so much for a well seen mirror twin, a texel keeps its own colour."""
_NOWHERE = -1e4  # the coordinates of what isn't sampled


@dataclass(frozen=True)
class UvLayout:
    """Which triangle of the UV layout each texel belongs to.

    Args:
        size: side of the texture.
        mask: bool [S, S]; row 0 is the top row (v = 1).
        face_index, bary: [N], [N, 3] of the texels in `mask`, in row-major order.
        compiled: whether loops over the texels are numba's.
    """

    size: int
    mask: np.ndarray
    face_index: np.ndarray
    bary: np.ndarray
    compiled: bool = False

    @functools.cached_property
    def texels(self) -> np.ndarray:
        """Index [N] of the texels in the flat texture."""
        return np.flatnonzero(self.mask)

    @functools.cached_property
    def nearest(self) -> np.ndarray:
        """Column and row int16 [S, S, 2] of the texel in `mask` that is nearest to each texel, for `cv2.remap`."""
        outside = (~self.mask).astype(np.uint8)
        _, label = cv2.distanceTransformWithLabels(outside, cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL)
        texel_of_label = np.zeros(label.max() + 1, np.int64)
        texel_of_label[label[self.mask]] = self.texels
        row, column = np.divmod(texel_of_label[label], self.size)
        return np.stack([column, row], -1).astype(np.int16)

    def interpolate(self, triangles: np.ndarray, values: np.ndarray) -> np.ndarray:
        """Per-vertex `values` [V, C] at the texels [N, C]; `triangles` are of the mesh that `values` belong to."""
        return interpolate_cells(self.face_index, self.bary, np.asarray(triangles, np.int64), values, self.compiled)

    def picture(self, values: np.ndarray, background: float = 0) -> np.ndarray:
        """`values` [N, C] or [N] as a texture float32 [S, S, C] or [S, S]."""
        picture = np.full((self.size * self.size, *values.shape[1:]), background, np.float32)
        picture[self.texels] = values
        return picture.reshape(self.size, self.size, *values.shape[1:])


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
    face_index, bary = found.face_index[0].numpy()[mask], found.bary[0].numpy()[mask]
    return UvLayout(size, mask, face_index, bary, uses_numba(backend))


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
    projected = np.asarray(projected, np.float64)
    if not np.isfinite(projected).all():
        raise ValueError("`projected` holds numbers that are not finite")
    window = _depth_window(projected, triangles, photo.shape[:2], backend)
    if window is None or not layout.mask.any():
        return np.zeros((size, size, 3), np.uint8), np.zeros((size, size), np.float32)
    # How well a texel was seen changes slowly from texel to texel: half the resolution does.
    coarse = uv_layout(uv, layout_triangles, max(size // 2, 1), backend)
    weight = _weights(coarse, window, projected, triangles, photo.shape[:2], pixels_per_unit)
    weight = cv2.resize(weight, (size, size), interpolation=cv2.INTER_LINEAR)
    weight *= layout.mask
    where = _photo_coordinates(layout, triangles, projected[:, :2] - [window.left, window.top], weight)
    shrink = _pixels_per_texel(layout, projected[triangles], uv[layout_triangles], weight)
    return _sample(photo[window.slices], where, shrink), weight


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
    colors, known = np.ascontiguousarray(texture), np.ascontiguousarray(weight, np.float32)
    if uv_mirror is not None:
        colors, known = _add_mirrored_side(colors, known, uv, uv_triangles, uv_mirror, backend)
    trust = np.minimum(known * 4, 1)  # a weakly seen texel is better than a smooth guess
    filled = cv2.blendLinear(colors, _smooth_guess(colors, known), trust, 1 - trust)
    return _bleed(filled, layout)


def _smooth_guess(colors: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """:func:`push_pull` of uint8 `colors` at half the resolution, which is enough for what has no detail."""
    size = len(weight)
    guess = push_pull(*_shrunk(colors, weight, max(size // 2, 1)))
    guess = cv2.convertScaleAbs(np.ascontiguousarray(guess))  # rounds to uint8; there are no negative ones
    return cv2.resize(guess, (size, size), interpolation=cv2.INTER_LINEAR)


def _shrunk(colors: np.ndarray, weight: np.ndarray, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Means float32 [s, s, 3] of the `colors` uint8 [S, S, 3] with any weight, and mean `weight` [s, s]."""
    sums = cv2.resize(colors, (size, size), interpolation=cv2.INTER_AREA).astype(np.float32)
    seen = cv2.compare(weight, 0, cv2.CMP_GT)  # colours of unseen texels are black
    seen = cv2.resize(seen, (size, size), interpolation=cv2.INTER_AREA)
    return _times(sums, 255 / np.maximum(seen, 1).astype(np.float32)), cv2.resize(
        weight, (size, size), interpolation=cv2.INTER_AREA
    )


def push_pull(values: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Smooth values everywhere: `values` [H, W, C] where `weight` [H, W] is 1, ever wider averages where it is 0."""
    return _filled(_with_weight(values, weight))[..., :-1]


def _filled(sums: np.ndarray) -> np.ndarray:
    """:func:`push_pull` of values times weight, and weight [H, W, C + 1]; the weight becomes 1 everywhere."""
    height, width = sums.shape[:2]
    missing = 1 - sums[..., -1]
    if min(height, width) <= 2 or missing.max() <= 0:
        total = sums.sum((0, 1))
        return sums + total / max(float(total[-1]), 1e-9) * missing[..., None]
    coarse = cv2.pyrDown(sums)
    # A coarse cell with one known texel in its reach is known: its weight w becomes min(4 w, 1).
    coarse = _times(coarse, np.minimum(1 / np.maximum(coarse[..., -1], 1e-6), 4))
    wide = cv2.pyrUp(_filled(coarse), dstsize=(width, height))
    return cv2.add(sums, _times(wide, missing))


def _with_weight(values: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """`values` [H, W, C] times `weight` [H, W], and `weight` as a last channel: blurring that averages by weight."""
    return cv2.merge([_times(values.astype(np.float32, copy=False), weight), weight])


def _times(values: np.ndarray, factor: np.ndarray) -> np.ndarray:
    """`values` [H, W, C] times `factor` [H, W]: numpy takes thrice as long to repeat a factor for few channels."""
    return cv2.multiply(values, cv2.merge([factor] * values.shape[2])).reshape(values.shape)


def _depth_window(projected, triangles, photo_size, backend) -> Window | None:
    """The face's depth at the photograph's resolution, finer for small faces, coarser for huge ones."""
    extent = float(np.ptp(projected[:, :2], axis=0).max())
    scale = float(np.clip(_MOST_CELLS_ACROSS / max(extent, 1), 0.05, 3.0))
    return render_window(projected, triangles, photo_size, scale=scale, margin=3, backend=backend)


def _weights(layout: UvLayout, window: Window, projected, triangles, photo_size, pixels_per_unit) -> np.ndarray:
    """How well the texels of `layout` were seen [S, S]."""
    normals = viewer_normals(projected, triangles, pixels_per_unit)
    texels = layout.interpolate(triangles, np.concatenate([projected - [window.left, window.top, 0], normals], 1))
    x, y, depth, right, up, towards = texels.T
    across = np.sqrt(right * right + up * up)
    length = np.sqrt(across * across + towards * towards) + np.float32(1e-9)
    # On a steep surface the neighbouring cell is nearer by its slope.
    slope = across / np.maximum(towards, np.float32(0.1) * length)
    cells = _nearest_cells(window, x, y)
    weights = _smoothstep((towards / length - _GRAZING) / (_FRONTAL - _GRAZING))
    weights *= _seen(window, cells, depth, slope, pixels_per_unit)
    weights *= _away_from_outline(window, cells)
    weights *= _inside(x, y, window, photo_size)
    return _feather(layout.picture(weights))


def _nearest_cells(window: Window, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Index [N] into the window's flattened pictures of the cells nearest to pixels `x`, `y` [N] of the window."""
    height, width = window.mask.shape
    column, row = (np.rint((value + np.float32(0.5)) * np.float32(window.scale) - np.float32(0.5)) for value in (x, y))
    return row.clip(0, height - 1).astype(np.int32) * width + column.clip(0, width - 1).astype(np.int32)


def _seen(window: Window, cells, depth, slope, pixels_per_unit) -> np.ndarray:
    """bool [N]: is the texel at `cells` [N] of the window, `depth` and `slope` the nearest surface there?"""
    # The nearest surface around: colours just beside what hides them are blurred with it by the lens.
    surface = cv2.erode(np.where(window.mask, window.depth, np.float32(1e30)), np.ones((3, 3), np.uint8))
    extent = max(window.width, window.height) / pixels_per_unit
    allowed = _DEPTH_TOLERANCE * extent + 2 / (window.scale * pixels_per_unit) * slope
    return depth <= surface.reshape(-1)[cells] + allowed


def _away_from_outline(window: Window, cells: np.ndarray) -> np.ndarray:
    """1 [N] in the middle of the face's picture, less near its outline."""
    padded = cv2.copyMakeBorder(window.mask.view(np.uint8), 1, 1, 1, 1, cv2.BORDER_REPLICATE)  # no outline there
    distance = cv2.distanceTransform(padded, cv2.DIST_L2, 3)[1:-1, 1:-1]
    reach = _OUTLINE * max(window.mask.shape)
    return _ON_OUTLINE + (1 - _ON_OUTLINE) * _smoothstep(distance.reshape(-1)[cells] / np.float32(reach))


def _inside(x: np.ndarray, y: np.ndarray, window: Window, size: tuple[int, int]) -> np.ndarray:
    """1 [N] inside the photograph of `size`, falling to 0 over the last two pixels; pixels `x`, `y` of the window."""
    right, bottom = size[1] - 1 - window.left, size[0] - 1 - window.top
    border = np.minimum(np.minimum(x + window.left, right - x), np.minimum(y + window.top, bottom - y))
    return np.clip((border + np.float32(0.5)) / 2, 0, 1)


def _smoothstep(x: np.ndarray) -> np.ndarray:
    x = np.clip(x, 0, 1, dtype=np.float32)
    return x * x * (3 - 2 * x)


def _feather(weight: np.ndarray) -> np.ndarray:
    """`weight` [S, S], falling softly to 0 at hard edges (where something hides the face); nothing unseen gets any."""
    reach = max(len(weight) // 64, 1)
    distance = cv2.distanceTransform((weight > 0).astype(np.uint8), cv2.DIST_L2, 3)
    return weight * _smoothstep((distance - 1) / reach)  # the outermost get 0, so that enlarging spreads nothing


def _pixels_per_texel(layout: UvLayout, in_photo: np.ndarray, in_uv: np.ndarray, weight: np.ndarray) -> float:
    """Photograph pixels per texel, the median over the well seen texels; triangles `in_photo`, `in_uv` [F, 3, 2 or 3].

    Every eighth texel tells enough.
    """
    seen = layout.face_index[::8][weight.reshape(-1)[layout.texels[::8]] > 0.5]
    ratio = _areas(in_photo) / np.maximum(_areas(in_uv) * layout.size**2, 1e-9)
    return float(np.sqrt(np.median(ratio[seen]))) if len(seen) else 1.0


def _areas(triangles: np.ndarray) -> np.ndarray:
    """Twice the areas [F] of `triangles` [F, 3, 2 or more] in their first two coordinates."""
    (ax, ay), (bx, by) = ((triangles[:, corner, :2] - triangles[:, 0, :2]).T for corner in (1, 2))
    return np.abs(ax * by - ay * bx)


def _photo_coordinates(layout: UvLayout, triangles, pixels: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Where the texels lie in the photograph float32 [S, S, 2], far outside for those without `weight` [S, S].

    Args:
        pixels: [V, 2] of the mesh's vertices.
    """
    if not layout.compiled:
        where = layout.picture(layout.interpolate(triangles, pixels))
        where[weight == 0] = _NOWHERE
        return where
    from facecli.render import loops

    where = np.full((layout.size, layout.size, 2), _NOWHERE, np.float32)
    corners = np.ascontiguousarray(pixels.astype(np.float32)[triangles])
    loops.lay_coordinates(
        layout.texels, layout.face_index, layout.bary, corners, weight.reshape(-1), where.reshape(-1, 2)
    )
    return where


def _sample(photo: np.ndarray, xy: np.ndarray, pixels_per_texel: float) -> np.ndarray:
    """Bicubic colours uint8 of `photo` at `xy` [S, S, 2], black at :data:`_NOWHERE`.

    A photograph finer than the texels is shrunk first.
    """
    height, width = photo.shape[:2]
    shrink = max(pixels_per_texel, 1.0)
    small = max(round(width / shrink), 1), max(round(height / shrink), 1)
    if shrink > 1.2:
        photo = cv2.resize(photo, small, interpolation=cv2.INTER_AREA)
        xy = (xy + 0.5) * np.float32([small[0] / width, small[1] / height]) - 0.5
    # What lies outside costs nothing with a constant border; bicubic weights reach two pixels beyond the photograph.
    photo = cv2.copyMakeBorder(photo, 2, 2, 2, 2, cv2.BORDER_REPLICATE)
    return cv2.remap(photo, xy + np.float32(2), None, cv2.INTER_CUBIC, borderMode=cv2.BORDER_CONSTANT)


def _add_mirrored_side(texture, weight, uv, uv_triangles, uv_mirror, backend) -> tuple[np.ndarray, np.ndarray]:
    """Colours uint8 [S, S, 3] and weight [S, S] where texels not seen well take their mirror twins' colours.

    Light differs between the sides of a face, so the twins' colours are shifted by the smooth difference between the
    sides, known where both were seen: at the seam they fit, and beyond it the shift goes on smoothly.
    """
    layout, twins = _twins(uv, uv_triangles, uv_mirror, len(texture), backend)
    shift = _difference_of_sides(texture, weight, uv, uv_triangles, uv_mirror, backend)
    if not layout.compiled:
        return _mirrored_slowly(texture, weight, layout, twins, shift)
    from facecli.render import loops

    colors, known = texture.copy(), weight.copy()
    loops.mirror(layout.texels, twins, texture, weight, shift, _CERTAIN, _CERTAIN_WITH_TWIN, colors, known)
    return colors, known


def _twins(uv, uv_triangles, uv_mirror, size, backend) -> tuple[UvLayout, np.ndarray]:
    """The layout at `size`, and column and row [N, 2] of its texels' mirror twins."""
    mirror = np.ascontiguousarray(uv_mirror, np.float32)
    uv, uv_triangles = np.ascontiguousarray(uv, np.float32), np.ascontiguousarray(uv_triangles, np.int64)
    return _twins_of_layout(uv.tobytes(), uv_triangles.tobytes(), mirror.tobytes(), size, backend)


@functools.lru_cache(maxsize=4)
def _twins_of_layout(
    uv: bytes, uv_triangles: bytes, uv_mirror: bytes, size: int, backend: str
) -> tuple[UvLayout, np.ndarray]:
    layout = _uv_layout(uv, uv_triangles, size, backend)
    triangles = np.frombuffer(uv_triangles, np.int64).reshape(-1, 3)
    coordinates = texel_coordinates(np.frombuffer(uv_mirror, np.float32).reshape(-1, 2), size)
    return layout, np.ascontiguousarray(layout.interpolate(triangles, coordinates))


def _mirrored_slowly(texture, weight, layout: UvLayout, twins, shift) -> tuple[np.ndarray, np.ndarray]:
    """:func:`_add_mirrored_side` without numba."""
    twin_colors, twin_weight = _at_twins(texture, weight, layout, twins)
    twin_colors += cv2.resize(shift, weight.shape, interpolation=cv2.INTER_LINEAR)
    np.clip(twin_colors, 0, 255, out=twin_colors)
    # The better its twin was seen, the less a poor view counts.
    share = _smoothstep(weight / (_CERTAIN + _CERTAIN_WITH_TWIN * twin_weight))
    twin_share = (1 - share) * twin_weight
    # blendLinear divides by the sum of its weights.
    blended = cv2.blendLinear(texture.astype(np.float32), twin_colors, share, twin_share)
    return np.rint(blended).astype(np.uint8), np.minimum(share + twin_share, 1)


def _at_twins(colors, weight, layout: UvLayout, twins) -> tuple[np.ndarray, np.ndarray]:
    """`colors` float32 [S, S, 3] and `weight` [S, S] at the mirror twins [N, 2] of the layout's texels."""
    # Colours of unseen texels are meaningless: average with weights, so that none bleeds in.
    both = cv2.remap(
        _with_weight(colors, weight), layout.picture(twins, _NOWHERE), None, cv2.INTER_LINEAR, borderValue=0
    )
    return both[..., :3] / np.maximum(both[..., 3:], 1e-6), both[..., 3] * layout.mask


def _difference_of_sides(texture, weight, uv, uv_triangles, uv_mirror, backend) -> np.ndarray:
    """What to add to the twins' colours: float32 [s, s, 3], at an eighth of the resolution, since it is smooth."""
    size = max(len(texture) // 8, 2)
    layout, twins = _twins(uv, uv_triangles, uv_mirror, size, backend)
    colors, weight = _shrunk(texture, weight, size)
    twin_colors, twin_weight = _at_twins(colors, weight, layout, twins)
    smooth = _smooth_difference(colors - twin_colors, np.minimum(weight, twin_weight) ** 2)
    return cv2.resize(smooth, (size, size), interpolation=cv2.INTER_CUBIC)


def _smooth_difference(difference: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """`difference` [S, S, 3] without its fine structure, continued to where `weight` [S, S] is 0: half the size."""
    cells = max(len(weight) // 2, 2)
    small = cv2.resize(_with_weight(difference, weight), (cells, cells), interpolation=cv2.INTER_AREA)
    small = cv2.GaussianBlur(small, (0, 0), 1.0)
    if small[..., 3].max() < 1e-3:
        return np.zeros((cells, cells, 3), np.float32)
    smooth = small[..., :3] / np.maximum(small[..., 3:], 1e-6)
    return push_pull(smooth, np.minimum(small[..., 3] * 4, 1))


def _bleed(texture: np.ndarray, layout: UvLayout) -> np.ndarray:
    """`texture` with each texel outside of the layout coloured as the nearest one inside."""
    if layout.mask.all() or not layout.mask.any():
        return texture
    return cv2.remap(texture, layout.nearest, None, cv2.INTER_NEAREST)
