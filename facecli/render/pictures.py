"""Pictures of reconstructed faces: overlays on the photograph, depth, normals, visibility, and views of the mesh.

Meshes come as in :mod:`facecli.render.window`. `pixels_per_unit` says how many pixels one unit of their depth is (1 if
depth is in pixels; :func:`facecli.render.window.pixels_per_unit` finds it), for directions to be right.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from facecli.geometry.mesh import TriangleMesh
from facecli.geometry.normals import face_normals, vertex_normals
from facecli.render.window import (
    Window,
    covered_rectangle,
    interpolate_cells,
    render_window,
    viewer_normals,
    viewer_points,
)

CLAY = (205, 214, 228)
GREEN = (60, 230, 120)
_KEY_LIGHT = np.array([-0.35, 0.45, 0.82]) / np.linalg.norm([-0.35, 0.45, 0.82])
_TO_VIEWER = np.array([0.0, 0.0, 1.0])
_HALFWAY = (_KEY_LIGHT + _TO_VIEWER) / np.linalg.norm(_KEY_LIGHT + _TO_VIEWER)
_LIGHTING = np.array([0.22, 0.16, 0.66, 0.2, 26], np.float32)
"""Brightness from all around, the sky and the lamp; how far the lamp's light wraps around; grey levels of shine."""
_FINE_CELLS, _MOST_CELLS = 1 << 18, 1 << 22
"""Cells up to which an overlay is drawn at twice the resolution, and at all: numpy shades a million in 0.2 s."""


def draw_overlay(
    photo: np.ndarray,
    projected: np.ndarray | Sequence[np.ndarray],
    triangles: np.ndarray,
    *,
    color: tuple[int, int, int] = CLAY,
    opacity: float = 0.7,
    pixels_per_unit: float | Sequence[float] = 1.0,
    backend: str = "auto",
) -> np.ndarray:
    """The photograph with softly lit meshes on it.

    Args:
        photo: uint8 [H, W, 3].
        projected: [V, 3] of one face, or several such that share `triangles`. Larger faces are taken to be nearer.
        color: of the mesh, RGB.
        opacity: 1 hides the skin.
        pixels_per_unit: one number, or one a face.
    """
    faces = [projected] if isinstance(projected, np.ndarray) and projected.ndim == 2 else list(projected)
    scales = np.broadcast_to(np.asarray(pixels_per_unit, np.float64), (len(faces),))
    picture = photo.copy()
    for index in sorted(range(len(faces)), key=lambda index: _extent(faces[index])):
        window = _smooth_window(faces[index], triangles, photo.shape[:2], backend)
        if window is not None:
            _lay_over(picture, photo, window, _clay_layer(window, faces[index], scales[index], color), opacity)
    return picture


def depth_picture(
    projected: np.ndarray,
    triangles: np.ndarray,
    size: tuple[int, int],
    *,
    mm_per_unit: float = 1.0,
    backend: str = "auto",
) -> tuple[np.ndarray, np.ndarray]:
    """Depth of one face in a picture of `size` (H, W).

    Returns:
        float32 [H, W] in millimetres, growing away from the camera, with the offset of `projected`; NaN where there is
        no face. :func:`depth_to_uint16` makes it fit for a 16-bit PNG.
        uint8 [H, W, 3] to look at: near is bright.
    """
    depth = np.full(size, np.nan, np.float32)
    window = render_window(projected, triangles, size, scale=1, backend=backend)
    if window is not None:
        depth[window.slices] = np.where(window.mask, window.depth * mm_per_unit, np.nan)
    return depth, color_depth(depth)


def color_depth(depth: np.ndarray) -> np.ndarray:
    """`depth` [H, W] (NaN: nothing) as uint8 [H, W, 3]: near is bright, nothing is black."""
    known = np.isfinite(depth)
    picture = np.zeros((*depth.shape, 3), np.uint8)
    if known.any():
        near, far = float(depth[known].min()), float(depth[known].max())
        nearness = (far - depth[known]) / max(far - near, 1e-9)
        levels = (40 + 215 * nearness).astype(np.uint8)
        picture[known] = cv2.applyColorMap(levels[:, None], cv2.COLORMAP_INFERNO)[:, 0, ::-1]
    return picture


def depth_to_uint16(depth: np.ndarray, step: float = 0.01) -> tuple[np.ndarray, float]:
    """`depth` [H, W] for a 16-bit picture: 0 is nothing, value 1 the nearest point, and one more is `step` farther.

    Returns:
        uint16 [H, W] and the depth of value 1 (0 if there is no face).
    """
    known = np.isfinite(depth)
    near = float(depth[known].min()) if known.any() else 0.0
    values = np.zeros(depth.shape, np.uint16)
    values[known] = np.clip(np.rint((depth[known].astype(np.float64) - near) / step) + 1, 1, 65535)
    return values, near


def normals_picture(
    projected: np.ndarray,
    triangles: np.ndarray,
    size: tuple[int, int],
    *,
    pixels_per_unit: float = 1.0,
    backend: str = "auto",
) -> np.ndarray:
    """Normals in camera space as uint8 [H, W, 3]: RGB = (n + 1) / 2, x right, y up, z to the viewer; black outside."""
    picture = np.zeros((*size, 3), np.uint8)
    window = render_window(projected, triangles, size, scale=1, backend=backend)
    if window is not None:
        normals = _cell_normals(window, projected, pixels_per_unit)
        picture[window.slices][window.mask] = np.rint((normals + 1) * 127.5).astype(np.uint8)
    return picture


def visible_vertices(
    projected: np.ndarray,
    triangles: np.ndarray,
    *,
    size: tuple[int, int] | None = None,
    pixels_per_unit: float = 1.0,
    min_cosine: float = 0.05,
    tolerance: float = 0.01,
    backend: str = "auto",
) -> np.ndarray:
    """Which vertices the camera sees: bool [V].

    Args:
        size: (H, W) of the photograph; what lies outside of it is not seen. None for no limit.
        min_cosine: least cosine between the normal and the direction to the viewer.
        tolerance: how far a vertex may lie behind the surface in front, as a fraction of the mesh's extent.
    """
    points = np.asarray(projected, np.float64)
    window = render_window(points, triangles, size, backend=backend)
    if window is None:
        return np.zeros(len(points), bool)
    finite = np.isfinite(points).all(1)
    points = np.where(finite[:, None], points, 0)
    in_front = np.where(window.mask, window.depth, np.inf)
    in_front = cv2.dilate(in_front, np.ones((3, 3), np.uint8))  # a vertex is seen if a cell beside it shows its depth
    column, row = np.rint(window.cells(points[:, :2])).astype(np.int64).T
    inside = (column >= 0) & (row >= 0) & (column < in_front.shape[1]) & (row < in_front.shape[0])
    surface = in_front[row.clip(0, in_front.shape[0] - 1), column.clip(0, in_front.shape[1] - 1)]
    allowed = tolerance * _extent(points[finite]) / pixels_per_unit
    cosine = viewer_normals(points, triangles, pixels_per_unit)[:, 2]
    return finite & inside & (points[:, 2] <= surface + allowed) & (cosine >= min_cosine)


def visible_triangles(
    projected: np.ndarray,
    triangles: np.ndarray,
    *,
    size: tuple[int, int] | None = None,
    pixels_per_unit: float = 1.0,
    backend: str = "auto",
) -> np.ndarray:
    """Which triangles face the camera and are seen by it, at least in part: bool [F]."""
    triangles = np.asarray(triangles, np.int64)
    corners = viewer_points(projected, pixels_per_unit)[triangles]
    (ax, ay), (bx, by) = (corners[:, 1, :2] - corners[:, 0, :2]).T, (corners[:, 2, :2] - corners[:, 0, :2]).T
    facing = ax * by - ay * bx > 0
    window = render_window(projected, triangles, size, longest=1024, backend=backend)
    shown = np.zeros(len(triangles), bool)
    if window is not None:
        shown[window.face_index[window.mask]] = True
    # Triangles smaller than a cell may be missed by all cell centres: their vertices tell.
    options = {"size": size, "pixels_per_unit": pixels_per_unit, "backend": backend}
    vertices = visible_vertices(projected, triangles, min_cosine=0.0, **options)
    return facing & (shown | vertices[triangles].all(1))


def draw_landmarks(
    photo: np.ndarray,
    points: np.ndarray,
    *,
    color: tuple[int, int, int] = GREEN,
    radius: float | None = None,
    lines: Sequence[tuple[int, int]] = (),
) -> np.ndarray:
    """The photograph with `points` [K, 2 or 3] as dots, and `lines` between pairs of them; NaN points are left out."""
    picture = photo.copy()
    xy = np.asarray(points, np.float64)[:, :2]
    finite = np.isfinite(xy).all(1) & (np.abs(xy) < 1 << 15).all(1)
    if not finite.any():
        return picture
    spread = float(np.ptp(xy[finite], axis=0).max())
    radius = max(spread / (90 if len(xy) < 200 else 180), 1.0) if radius is None else radius
    cells = np.rint(np.where(finite[:, None], xy, 0) * 16).astype(int)  # cv2 draws at 1/16 pixel
    for first, second in lines:
        if finite[first] and finite[second]:
            thickness = max(round(radius * 0.7), 1)
            cv2.line(picture, tuple(cells[first]), tuple(cells[second]), color, thickness, cv2.LINE_AA, 4)
    for centre in cells[finite]:
        cv2.circle(picture, tuple(centre), round(radius * 16), color, -1, cv2.LINE_AA, 4)
    return picture


def draw_pose_axes(photo: np.ndarray, head_pose: np.ndarray, origin: np.ndarray, length: float) -> np.ndarray:
    """The head's axes on the photograph: x red, y green, z (towards the viewer of a frontal face) blue.

    Args:
        head_pose: [3, 3] or [4, 4], head frame -> camera frame (x right, y up, z towards the viewer); scale is ignored.
        origin: [2] pixels at which the axes start.
        length: of an axis parallel to the picture, in pixels.
    """
    picture = photo.copy()
    axes = np.asarray(head_pose, np.float64)[:3, :3]
    axes = axes / np.linalg.norm(axes, axis=0)
    start = np.asarray(origin, np.float64)[:2]
    colors = (235, 64, 52), (60, 190, 75), (50, 110, 240)
    thickness = max(round(length / 30), 2)
    for axis in np.argsort(axes[2]):  # the farthest first
        end = start + length * axes[:2, axis] * [1, -1]
        from_cell, to_cell = (tuple(int(value) for value in np.rint(point * 16)) for point in (start, end))
        tip = 0.16 * length / max(np.linalg.norm(end - start), 0.16 * length)
        cv2.arrowedLine(picture, from_cell, to_cell, colors[axis], thickness, cv2.LINE_AA, 4, tip)
    return picture


def render_textured_view(
    mesh: TriangleMesh,
    size: int | tuple[int, int] = 512,
    yaw_degrees: float = 0.0,
    pitch_degrees: float = 0.0,
    *,
    background: tuple[int, int, int] = (255, 255, 255),
    shading: float = 0.0,
    textured: bool = True,
    backend: str = "auto",
) -> np.ndarray:
    """A picture of `mesh` from any side, without perspective; the scale doesn't depend on the angles.

    Args:
        size: (H, W), or one number for both.
        yaw_degrees: positive turns the mesh to the picture's right.
        pitch_degrees: positive turns it down.
        shading: 0 shows the plain texture, 1 lights it.
        textured: False shows clay whatever the mesh has.

    Returns:
        uint8 [H, W, 3].
    """
    size = (size, size) if isinstance(size, int) else size
    projected = _turned_into_picture(mesh.vertices, size, yaw_degrees, pitch_degrees)
    picture = np.empty((*size, 3), np.uint8)
    picture[:] = background
    window = _smooth_window(projected, mesh.triangles, size, backend)
    if window is None:
        return picture
    normals = _cell_normals(window, projected, 1.0)
    surface = _surface_colors(mesh, window) if textured else None
    if surface is None:
        colors = _clay(normals, CLAY)
    else:
        colors = surface * (1 - shading + shading * _brightness(normals)[:, None])
    _lay_over(picture, picture.copy(), window, _shrunk_layer(window, _colored(window, colors)), 1.0)
    return picture


def draw_textured(photo: np.ndarray, projected: np.ndarray, mesh: TriangleMesh, *, backend: str = "auto") -> np.ndarray:
    """The photograph with `mesh` on it, in its own texture, unlit; `projected` [V, 3] is where its vertices land."""
    picture = photo.copy()
    window = _smooth_window(projected, mesh.triangles, photo.shape[:2], backend)
    surface = None if window is None else _surface_colors(mesh, window)
    if surface is not None:
        _lay_over(picture, photo, window, _shrunk_layer(window, _colored(window, surface)), 1.0)
    return picture


def _clay_layer(window: Window, projected: np.ndarray, pixels_per_unit: float, color) -> np.ndarray:
    """The mesh in clay of `color`, as :func:`_shrunk_layer` gives it."""
    if not window.compiled:
        return _shrunk_layer(window, _colored(window, _clay(_cell_normals(window, projected, pixels_per_unit), color)))
    from facecli.render import loops

    normals, backs = _corner_normals(window, projected, pixels_per_unit)
    corners = np.ascontiguousarray((normals[window.triangles] * backs[:, None, None]).astype(np.float32))
    layer = np.zeros((*window.face_index.shape, 4), np.float32)
    lights = np.stack([_KEY_LIGHT, _HALFWAY]).astype(np.float32)
    loops.shade_clay(window.face_index, window.bary, corners, lights, _LIGHTING, np.asarray(color, np.float32), layer)
    return _shrunk_layer(window, layer)


def _colored(window: Window, colors: np.ndarray) -> np.ndarray:
    """Colours [N, 3] of the window's covered cells and their coverage as a picture float32 [h, w, 4]."""
    return window.picture(np.concatenate([colors, np.ones((len(colors), 1), np.float32)], 1))


def _shrunk_layer(window: Window, layer: np.ndarray) -> np.ndarray:
    """`layer` [h, w, 4] of the window's cells at the photograph's resolution: RGB times coverage, and coverage."""
    if window.scale == 1:
        return cv2.GaussianBlur(layer, (3, 3), 0.5)  # takes the steps out of the edge
    shape = (window.height, window.width)
    return cv2.resize(layer, shape[::-1], interpolation=cv2.INTER_AREA if window.scale > 1 else cv2.INTER_LINEAR)


def _lay_over(picture, photo, window: Window, layer: np.ndarray, opacity: float) -> None:
    """Put `layer` on the window of `picture`; what shines through is the photograph, not a mesh farther away."""
    target = picture[window.slices]
    if window.compiled:
        from facecli.render import loops

        loops.lay_over(target, photo[window.slices], layer, np.float32(opacity))
        return
    coverage = layer[..., 3:]
    shown = (1 - opacity) * photo[window.slices] * coverage + opacity * layer[..., :3]
    target[:] = np.clip(np.rint(target * (1 - coverage) + shown), 0, 255).astype(np.uint8)


def _smooth_window(projected, triangles, size, backend) -> Window | None:
    """The mesh at twice the resolution, so that edges come out smooth; a large one at the photograph's, or coarser."""
    rectangle = covered_rectangle(projected, triangles, size)
    if rectangle is None:
        return None
    area = rectangle[2] * rectangle[3]
    scale = 2.0 if 4 * area <= _FINE_CELLS else min(1.0, (_MOST_CELLS / area) ** 0.5)
    return render_window(projected, triangles, size, scale=scale, backend=backend)


def _extent(projected: np.ndarray) -> float:
    """The longer side of the box around a mesh, in pixels."""
    xy = np.asarray(projected)[:, :2]
    xy = xy[np.isfinite(xy).all(1)]
    return float(np.ptp(xy, axis=0).max()) if len(xy) else 0.0


def _cell_normals(window: Window, projected: np.ndarray, pixels_per_unit: float) -> np.ndarray:
    """Smooth unit normals [N, 3] of the window's covered cells, turned to the viewer.

    What is seen of a triangle from behind is its other side; on a triangle seen from the front, the smooth normal of a
    vertex beyond the silhouette is bent back to it.
    """
    vertices, backs = _corner_normals(window, projected, pixels_per_unit)
    normals = window.interpolate(vertices)
    normals *= backs[window.face_index[window.mask]][:, None]
    normals[:, 2] = np.maximum(normals[:, 2], 0)
    return normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-9)


def _corner_normals(window: Window, projected: np.ndarray, pixels_per_unit: float) -> tuple[np.ndarray, np.ndarray]:
    """Normals [V, 3] of the vertices, and of which triangles the back is seen: -1, else 1 [F]."""
    points = viewer_points(projected, pixels_per_unit)
    return vertex_normals(points, window.triangles), np.sign(face_normals(points, window.triangles)[:, 2])


def _brightness(normals: np.ndarray) -> np.ndarray:
    """Soft light [N] on unit `normals`: a lamp from above left, and the sky."""
    ambient, sky, strength, wrap, _ = _LIGHTING
    lamp = np.maximum((normals @ _KEY_LIGHT) * (1 - wrap) + wrap, 0)
    return ambient + sky * (normals[:, 1] + 1) / 2 + strength * lamp


def _clay(normals: np.ndarray, color: tuple[int, int, int]) -> np.ndarray:
    """Colours [N, 3] of a matt surface with a faint shine."""
    shine = _LIGHTING[-1] * np.maximum(normals @ _HALFWAY, 0) ** 30
    return np.clip(_brightness(normals)[:, None] * np.asarray(color, np.float32) + shine[:, None], 0, 255)


def _surface_colors(mesh: TriangleMesh, window: Window) -> np.ndarray | None:
    """Colours [N, 3] of the mesh's texture, or of its vertices; None if it has neither."""
    if mesh.texture is not None and mesh.uv is not None:
        triangles = mesh.triangles if mesh.uv_triangles is None else np.asarray(mesh.uv_triangles)
        face_index, bary = window.face_index[window.mask], window.bary[window.mask]
        u, v = interpolate_cells(face_index, bary, np.asarray(triangles, np.int64), mesh.uv).T
        height, width = mesh.texture.shape[:2]
        x, y = window.picture(np.stack([u * width - 0.5, (1 - v) * height - 0.5], 1), -1).transpose(2, 0, 1)
        colors = cv2.remap(mesh.texture, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        return colors[window.mask].astype(np.float32)
    return None if mesh.vertex_colors is None else window.interpolate(mesh.vertex_colors)


def _turned_into_picture(vertices, size, yaw_degrees, pitch_degrees) -> np.ndarray:
    """`vertices` [V, 3] (y up, z to the viewer) as `projected` of a picture of `size` with the mesh in its middle."""
    yaw, pitch = np.deg2rad([yaw_degrees, pitch_degrees])
    turn_y = np.array([[np.cos(yaw), 0, np.sin(yaw)], [0, 1, 0], [-np.sin(yaw), 0, np.cos(yaw)]])
    turn_x = np.array([[1, 0, 0], [0, np.cos(pitch), -np.sin(pitch)], [0, np.sin(pitch), np.cos(pitch)]])
    points = np.asarray(vertices, np.float64)
    points = points - (points.min(0) + points.max(0)) / 2
    radius = np.linalg.norm(points, axis=1).max()
    points = points @ (turn_x @ turn_y).T * (0.49 * min(size) / max(radius, 1e-9))
    return points * [1, -1, -1] + [(size[1] - 1) / 2, (size[0] - 1) / 2, 0]
