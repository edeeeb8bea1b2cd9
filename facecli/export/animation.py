"""A video's faces as one GLB whose animation plays: few morph targets, their weights, and the head's pose over time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pygltflib as gltf
import scipy.linalg
from scipy.spatial.transform import Rotation

from facecli.export.glb import GlbBuilder
from facecli.geometry.mesh import TriangleMesh

Positions = np.ndarray | Callable[[], Iterable[np.ndarray]]
"""[T, V, 3] (a np.memmap is read piecewise), or a function that gives those frames in chunks whenever it is called."""

_CHUNK_BYTES = 16 << 20
_SAMPLE_FRAMES = 2000
_SAMPLE_BYTES = 256 << 20


@dataclass(frozen=True)
class AnimationSummary:
    """How well an animation keeps its frames. Errors are distances of vertices, over all frames with a face."""

    frames: int
    frames_with_face: int
    targets: int
    rms_error_mm: float
    max_error_mm: float


@dataclass(frozen=True)
class ShapeTrack:
    """Shapes over time as ``mean + weights @ targets``, in the unit of the positions.

    Args:
        mean: [V, 3]. targets: [K, V, 3] offsets. weights: [T, K] float32, -1..1 on the frames it was fitted to.
        visible: [T] bool, frames with a face; the others repeat their neighbour's weights.
        rms_error, max_error: distances over all visible frames.
    """

    mean: np.ndarray
    targets: np.ndarray
    weights: np.ndarray
    visible: np.ndarray
    rms_error: float
    max_error: float


def write_animated_glb(
    path: str | Path,
    mesh: TriangleMesh,
    times: np.ndarray,
    positions: Positions,
    poses: np.ndarray | None = None,
    *,
    max_targets: int = 32,
    tolerance_mm: float = 0.1,
) -> AnimationSummary:
    """Write a video's face as a GLB of one mesh with morph targets, one key a frame.

    As many principal components are kept as bring every vertex within `tolerance_mm`, at most `max_targets`. The face
    is not there (scale 0, stepwise, as glTF hides nodes) in frames without one. Memory does not grow with the frames'
    shapes, only with times, poses and weights.

    Args:
        mesh: triangles, UV, texture and unit; its vertices are replaced by the mean shape.
        times: [T] seconds, those of the video.
        positions: [T, V, 3] in the head frame, NaN where there is no face; see :data:`Positions`.
        poses: [T, 4, 4] head frame -> camera frame in the mesh's unit, NaN where there is no face, or None.

    Raises:
        ValueError: no frame has a face, or lengths differ.
    """
    times = increasing(times)
    millimetres = 1000 * mesh.metres_per_unit
    track = compress_shapes(
        positions, len(times), len(mesh.vertices), max_targets=max_targets, tolerance=tolerance_mm / millimetres
    )
    builder = GlbBuilder(mesh.with_vertices(track.mean))
    _add_targets(builder, track.targets)
    _add_animation(builder, times, track, poses, mesh.metres_per_unit)
    builder.write(path)
    return AnimationSummary(
        frames=len(times),
        frames_with_face=int(track.visible.sum()),
        targets=len(track.targets),
        rms_error_mm=track.rms_error * millimetres,
        max_error_mm=track.max_error * millimetres,
    )


@dataclass(frozen=True)
class Animation:
    """What :func:`write_animated_glb` put into a file, read back; V vertices in the mesh's order, before splitting.

    Args:
        times: [T] seconds. mean: [V, 3] metres. targets: [K, V, 3] metres. weights: [T, K].
        rotations: [T, 4] quaternions (x, y, z, w) or None. visible: [T] bool.
    """

    times: np.ndarray
    mean: np.ndarray
    targets: np.ndarray
    weights: np.ndarray
    rotations: np.ndarray | None
    visible: np.ndarray


def read_animation(path: str | Path, vertices: int) -> Animation | None:
    """The animation of a GLB that facecli wrote for a mesh of `vertices` vertices, or None if it has none."""
    document = gltf.GLTF2.load_binary(str(path))
    if not document.animations:
        return None
    animation = document.animations[0]
    samplers = {channel.target.path: animation.samplers[channel.sampler] for channel in animation.channels}
    times = _read(document, next(iter(samplers.values())).input)
    values = {name: _read(document, sampler.output) for name, sampler in samplers.items()}
    primitive = document.meshes[0].primitives[0]
    targets = [_read(document, _position(target))[:vertices] for target in primitive.targets or []]
    return Animation(
        times=times,
        mean=_read(document, primitive.attributes.POSITION)[:vertices],
        targets=np.array(targets, np.float32).reshape(-1, vertices, 3),
        weights=values["weights"].reshape(len(times), -1) if targets else np.zeros((len(times), 0), np.float32),
        rotations=values.get("rotation"),
        visible=values["scale"].any(axis=1) if "scale" in values else np.ones(len(times), bool),
    )


def _position(target: gltf.Attributes | dict) -> int:
    return target["POSITION"] if isinstance(target, dict) else target.POSITION  # as read, and as made


def _read(document: gltf.GLTF2, number: int) -> np.ndarray:
    """A float32 accessor as [N] or [N, C]."""
    accessor = document.accessors[number]
    view = document.bufferViews[accessor.bufferView]
    width = {gltf.SCALAR: 1, gltf.VEC3: 3, gltf.VEC4: 4}[accessor.type]
    values = np.frombuffer(document.binary_blob(), np.float32, accessor.count * width, view.byteOffset)
    return values if width == 1 else values.reshape(-1, width)


def increasing(times: np.ndarray) -> np.ndarray:
    """`times` [T] as float32 that strictly increase, as glTF asks; equal or late ones move by the least step."""
    times = np.asarray(times, np.float32).copy()
    for i in np.flatnonzero(np.diff(times) <= 0) + 1:
        while i < len(times) and times[i] <= times[i - 1]:
            times[i] = np.nextafter(times[i - 1], np.float32(np.inf))
            i += 1
    return times


def compress_shapes(
    positions: Positions, frames: int, vertices: int, *, max_targets: int, tolerance: float
) -> ShapeTrack:
    """Fit the principal components of at most 2000 frames, then describe every frame by them, chunk by chunk."""
    visible = _visible_frames(positions, frames, vertices)
    mean, targets = _fit(_sample(positions, visible, vertices), max_targets, tolerance)
    weights, rms_error, max_error = _project(positions, visible, mean, targets)
    return ShapeTrack(mean, targets, weights, visible, rms_error, max_error)


def _chunks(positions: Positions, vertices: int) -> Iterator[tuple[slice, np.ndarray]]:
    """(frames, their positions [n, V, 3]) from start to end."""
    start = 0
    for chunk in positions() if callable(positions) else _slices(positions, vertices):
        if chunk.shape[1:] != (vertices, 3):
            raise ValueError(f"positions {chunk.shape} for a mesh of {vertices} vertices")
        yield slice(start, start + len(chunk)), chunk
        start += len(chunk)


def _slices(positions: np.ndarray, vertices: int) -> Iterator[np.ndarray]:
    step = max(_CHUNK_BYTES // (24 * vertices), 1)
    for start in range(0, len(positions), step):
        yield np.asarray(positions[start : start + step])


def _visible_frames(positions: Positions, frames: int, vertices: int) -> np.ndarray:
    parts = [np.isfinite(chunk).all(axis=(1, 2)) for _, chunk in _chunks(positions, vertices)]
    visible = np.concatenate(parts) if parts else np.zeros(0, bool)
    if len(visible) != frames:
        raise ValueError(f"{len(visible)} frames of positions for {frames} times")
    if not visible.any():
        raise ValueError("no frame has a face")
    return visible


def _sample(positions: Positions, visible: np.ndarray, vertices: int) -> np.ndarray:
    """Evenly spread visible frames [n, V, 3] float32."""
    limit = int(np.clip(_SAMPLE_BYTES // (12 * vertices), 2, _SAMPLE_FRAMES))
    candidates = np.flatnonzero(visible)
    chosen = candidates[np.unique(np.linspace(0, len(candidates) - 1, limit).round().astype(np.int64))]
    picked = np.zeros(len(visible), bool)
    picked[chosen] = True
    return np.concatenate([chunk[picked[at]].astype(np.float32) for at, chunk in _chunks(positions, vertices)])


def _fit(sample: np.ndarray, max_targets: int, tolerance: float) -> tuple[np.ndarray, np.ndarray]:
    """Mean [V, 3] and as few principal components [K, V, 3] as keep every vertex of `sample` within `tolerance`.

    A component is scaled by its largest weight, so that weights stay within -1..1, where editors' sliders end.
    """
    mean = sample.mean(0, dtype=np.float64).astype(np.float32)
    rest = (sample - mean).reshape(len(sample), -1)
    targets = []
    for component in _components(rest, max_targets):
        if np.square(rest.reshape(sample.shape)).sum(-1).max() <= tolerance**2:
            break
        weights = rest @ component
        rest -= np.outer(weights, component)
        targets.append(component * max(np.abs(weights).max(), 1e-12))
    return mean, np.array(targets, np.float32).reshape(-1, *mean.shape)


def _components(centred: np.ndarray, count: int) -> np.ndarray:
    """The first principal directions [<= count, D] of `centred` [n, D], by the n x n Gram matrix: D may be large."""
    gram = (centred @ centred.T).astype(np.float64)
    size = len(gram)
    count = min(count, size)
    if count == 0:
        return np.zeros((0, centred.shape[1]), np.float32)
    values, vectors = scipy.linalg.eigh(gram, subset_by_index=[size - count, size - 1])
    kept = values[::-1] > 1e-10 * max(values[-1], 1e-30)
    directions = vectors[:, ::-1][:, kept].T.astype(np.float32) @ centred
    return directions / np.linalg.norm(directions, axis=1, keepdims=True)


def _project(
    positions: Positions, visible: np.ndarray, mean: np.ndarray, targets: np.ndarray
) -> tuple[np.ndarray, float, float]:
    """Weights [T, K] of all frames, and the rms and largest distance that they leave."""
    weights = np.zeros((len(visible), len(targets)), np.float32)
    basis = targets.reshape(len(targets), mean.size).astype(np.float64)
    inverse = np.linalg.pinv(basis) if len(basis) else np.zeros((mean.size, 0))
    squares = largest = 0.0
    for at, chunk in _chunks(positions, len(mean)):
        seen = visible[at]
        offsets = (chunk[seen] - mean).reshape(int(seen.sum()), mean.size).astype(np.float64)
        fitted = (offsets @ inverse).astype(np.float32)
        weights[at][seen] = fitted
        distances = np.square((offsets - fitted @ basis).reshape(len(offsets), *mean.shape)).sum(-1)
        squares += float(distances.sum())
        largest = max(largest, float(distances.max(initial=0)))
    rms = np.sqrt(squares / (visible.sum() * len(mean)))
    return weights[_hold(visible)], float(rms), float(np.sqrt(largest))


def _hold(visible: np.ndarray) -> np.ndarray:
    """[T] the frame whose values each frame shows: itself, else the last visible one, else the first."""
    last = np.maximum.accumulate(np.where(visible, np.arange(len(visible)), -1))
    return np.where(last >= 0, last, np.argmax(visible))


def _add_targets(builder: GlbBuilder, targets: np.ndarray) -> None:
    if not len(targets):
        return
    builder.primitive.targets = [gltf.Attributes(POSITION=builder.add_positions(target)) for target in targets]
    face = builder.document.meshes[0]
    face.weights = [0.0] * len(targets)
    face.extras = {"targetNames": [f"component_{k:02d}" for k in range(len(targets))]}


def _add_animation(
    builder: GlbBuilder, times: np.ndarray, track: ShapeTrack, poses: np.ndarray | None, metres_per_unit: float
) -> None:
    clock = builder.add(times, bounds=True)
    animation = gltf.Animation(name="video", samplers=[], channels=[])

    def animate(path: str, values: np.ndarray, interpolation: str = gltf.ANIM_LINEAR) -> None:
        output = builder.add(np.asarray(values, np.float32))
        animation.samplers.append(gltf.AnimationSampler(input=clock, output=output, interpolation=interpolation))
        target = gltf.AnimationChannelTarget(node=0, path=path)
        animation.channels.append(gltf.AnimationChannel(sampler=len(animation.samplers) - 1, target=target))

    if len(track.targets):
        animate("weights", track.weights.ravel())
    scale = np.ones(len(times))
    if poses is not None:
        if len(poses) != len(times):
            raise ValueError(f"{len(poses)} poses for {len(times)} times")
        rotation, translation, scale = _decompose(np.asarray(poses, np.float64), track.visible)
        animate("rotation", rotation)
        animate("translation", translation * metres_per_unit)
    if poses is not None or not track.visible.all():
        hidden = np.where(track.visible, scale, 0.0)
        animate("scale", np.repeat(hidden[:, None], 3, axis=1), gltf.ANIM_STEP)
    if animation.channels:
        builder.document.animations = [animation]


def _decompose(poses: np.ndarray, visible: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Quaternions [T, 4] (x, y, z, w), translations [T, 3] and uniform scales [T] of `poses` [T, 4, 4].

    Neighbouring quaternions have the same sign, or the head would turn the long way round between two frames.
    """
    known = visible & np.isfinite(poses).all(axis=(1, 2))
    if not known.any():
        raise ValueError("no frame has a pose")
    held = poses[_hold(known)]
    scale = np.cbrt(np.linalg.det(held[:, :3, :3]))
    quaternions = Rotation.from_matrix(held[:, :3, :3] / scale[:, None, None]).as_quat()
    flips = np.sign((quaternions[1:] * quaternions[:-1]).sum(1))
    quaternions[1:] *= np.cumprod(np.where(flips < 0, -1, 1))[:, None]
    return quaternions, held[:, :3, 3], scale
