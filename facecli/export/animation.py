"""A video's faces as one GLB whose animation plays: few morph targets, their weights, and the head's pose over time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pygltflib as gltf
import scipy.linalg
from scipy.spatial.transform import Rotation

from facecli.export.glb import Assembly, GlbBuilder, Shown, read_accessor, target_positions
from facecli.export.parts import Part, Turns, linear_turns, vertices_of, without
from facecli.export.rig import MINUS, driven_by, is_arkit
from facecli.geometry.mesh import TriangleMesh
from facecli.plugin import Rig

Positions = np.ndarray | Callable[[], Iterable[np.ndarray]]
"""[T, V, 3] (a np.memmap is read piecewise), or a function that gives those frames in chunks whenever it is called:
twice, and once where there are at most 2000 frames."""

_CHUNK_BYTES = 16 << 20
_SAMPLE_FRAMES = 2000
_SAMPLE_BYTES = 256 << 20
_STILL_PIVOT = 1e-4  # metres: what shapes may miss, too


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
        mean: [V, 3], or the face at rest. targets: [K, V, 3] offsets. weights: [T, K] float32; those of principal
            components are within -1..1 on the frames that they were fitted to.
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
    poses: np.ndarray | Callable[[], np.ndarray] | None = None,
    *,
    visible: np.ndarray | None = None,
    rig: Rig | None = None,
    weights: np.ndarray | None = None,
    parts: Sequence[Part] = (),
    turns: Mapping[str, Turns] | Callable[[], Mapping[str, Turns]] | None = None,
    max_targets: int = 32,
    tolerance_mm: float = 0.1,
) -> AnimationSummary:
    """Write a video's face as a GLB of one mesh with morph targets, one key a frame.

    As many principal components are kept as bring every vertex within `tolerance_mm`, at most `max_targets`. With a
    `rig`, its shapes come first and move by their own weights, and the components (``residual_00``, …) describe what
    they miss. The weights written lie within 0..1, see :func:`sliders`. The face is not there (scale 0, stepwise, as
    glTF hides nodes) in frames without one. Memory does not grow with the frames' shapes, only with times, poses and
    weights.

    Args:
        mesh: triangles, UV, texture and unit; its vertices are replaced by the mean shape, unless there is a `rig`:
            then they are the face at rest.
        times: [T] seconds, those of the video.
        positions: [T, V, 3] in the head frame, NaN where there is no face; see :data:`Positions`.
        poses: [T, 4, 4] head frame -> camera frame in the mesh's unit, NaN where there is no face, or None. A function
            is asked for them when all positions have been read.
        visible: [T] bool, where `positions` has a face, which saves reading it once more.
        weights: [T, K] of the rig's shapes, see :func:`facecli.export.rig.code_weights`.
        parts: what turns by its node, as it is at rest; its vertices among `positions` don't matter.
        turns: by their names, or a function as `poses`.

    Raises:
        ValueError: no frame has a face, or lengths differ.
    """
    times = increasing(times)
    millimetres = 1000 * mesh.metres_per_unit
    if visible is None:
        visible = _visible_frames(positions, len(mesh.vertices))
    if len(visible) != len(times):
        raise ValueError(f"{len(visible)} frames of positions for {len(times)} times")
    if not visible.any():
        raise ValueError("no frame has a face")
    kept = {"max_targets": max_targets, "tolerance": tolerance_mm / millimetres}
    if parts:
        positions = _without_turns(positions, np.asarray(mesh.vertices, np.float32), vertices_of(parts))
        rig = None if rig is None else without(rig, parts)
    if rig is None:
        track = compress_shapes(positions, visible, len(mesh.vertices), **kept)
        names = [f"component_{k:02d}" for k in range(len(track.targets))]
    else:
        track = compress_rigged(positions, visible, np.asarray(mesh.vertices, np.float32), rig, weights, **kept)
        names = [*rig.names, *(f"residual_{k:02d}" for k in range(len(track.targets) - len(rig.names)))]
    moving = sliders(track, names, whole=0 if rig is None else len(rig.names))
    builder = GlbBuilder(mesh.with_vertices(track.mean), parts=parts)
    if rig is None:  # programs that don't play the animation show the mean shape
        builder.add_targets(moving.names, moving.targets)
    else:  # or the first frame's expression
        codes = driven_by(rig, moving.names, moving.factors)
        first = moving.weights[int(track.visible.argmax())]
        builder.add_targets(moving.names, moving.targets, first, codes, sparse=is_arkit(rig))
    turns = turns() if callable(turns) else turns or {}
    _add_animation(builder, times, moving.weights, track.visible, poses, turns, mesh.metres_per_unit)
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
    """The animation of a GLB that facecli wrote for a mesh of `vertices` vertices, or None if it has none.

    Parts that turn by nodes of their own are told as further targets, which is exact (see
    :func:`facecli.export.parts.linear_turns`).
    """
    document = gltf.GLTF2.load_binary(str(path))
    if not document.animations:
        return None
    animation = document.animations[0]
    samplers = {(ch.target.node, ch.target.path): animation.samplers[ch.sampler] for ch in animation.channels}
    times = read_accessor(document, next(iter(samplers.values())).input)
    values = {key: read_accessor(document, sampler.output) for key, sampler in samplers.items()}
    found = Assembly.of(document)
    face, *parts = found.shown
    targets, weights = np.array(target_positions(document, face), np.float32), np.zeros((len(times), 0), np.float32)
    if len(targets):
        names = face.mesh.extras["targetNames"]
        targets, weights = _without_twins(names, targets, values[face.node, "weights"].reshape(len(times), -1))
    shapes = [_everywhere(found, face.node, target)[:vertices] for target in targets]
    for part in parts:
        turning = values.get((part.node, "rotation"))
        if turning is not None:
            points = read_accessor(document, part.attributes.POSITION)
            for offsets, way in linear_turns(points, Rotation.from_quat(turning).as_matrix()):
                shapes.append(_everywhere(found, part.node, offsets)[:vertices])
                weights = np.column_stack([weights, way.astype(np.float32)])
    rest = found.gathered(lambda shown: read_accessor(document, shown.attributes.POSITION) + _rest_of(shown, face))
    return Animation(
        times=times,
        mean=rest[:vertices].astype(np.float32),
        targets=np.array(shapes, np.float32).reshape(-1, vertices, 3),
        weights=weights,
        rotations=values.get((0, "rotation")),
        visible=values[0, "scale"].any(axis=1) if (0, "scale") in values else np.ones(len(times), bool),
    )


def _rest_of(shown: Shown, face: Shown) -> np.ndarray:
    return np.zeros(3, np.float32) if shown is face else shown.pivot.astype(np.float32)


def _everywhere(found: Assembly, node: int, offsets: np.ndarray) -> np.ndarray:
    """`offsets` [n, 3] of one node's mesh in the order of the whole, 0 elsewhere."""
    return found.gathered(lambda shown: offsets if shown.node == node else np.zeros((shown.count, 3), np.float32))


def increasing(times: np.ndarray) -> np.ndarray:
    """`times` [T] as float32 that strictly increase, as glTF asks; equal or late ones move by the least step."""
    times = np.asarray(times, np.float32).copy()
    for i in np.flatnonzero(np.diff(times) <= 0) + 1:
        while i < len(times) and times[i] <= times[i - 1]:
            times[i] = np.nextafter(times[i - 1], np.float32(np.inf))
            i += 1
    return times


def compress_shapes(
    positions: Positions, visible: np.ndarray, vertices: int, *, max_targets: int, tolerance: float
) -> ShapeTrack:
    """Fit the principal components of at most 2000 frames, then describe every frame by them, chunk by chunk."""
    sample = _sample(positions, visible, vertices)
    mean = sample.mean(0, dtype=np.float64).astype(np.float32)
    targets = _fit(sample - mean, max_targets, tolerance)
    weights, rms_error, max_error = _project(_once(sample, positions, visible), visible, mean, targets)
    return ShapeTrack(mean, targets, weights, visible, rms_error, max_error)


def compress_rigged(
    positions: Positions,
    visible: np.ndarray,
    neutral: np.ndarray,
    rig: Rig,
    weights: np.ndarray,
    *,
    max_targets: int,
    tolerance: float,
) -> ShapeTrack:
    """Every frame as `neutral` [V, 3] and the rig's shapes by `weights` [T, K], and components of what these miss.

    The components have no mean of their own: with all weights at zero, the face is at rest.
    """
    vertices, weights = len(neutral), np.asarray(weights, np.float32)
    shapes = np.asarray(rig.shapes, np.float32).reshape(len(rig.names), -1)

    def missed() -> Iterator[np.ndarray]:
        for at, chunk in _chunks(positions, vertices):
            yield chunk - (neutral + (weights[at] @ shapes).reshape(-1, vertices, 3))

    sample = _sample(missed, visible, vertices)
    residuals = _fit(sample.copy(), max_targets, tolerance)
    further, rms_error, max_error = _project(_once(sample, missed, visible), visible, np.zeros_like(neutral), residuals)
    targets = np.concatenate([shapes.reshape(-1, vertices, 3), residuals])
    both = np.concatenate([weights[held_frames(visible)], further], axis=1)
    return ShapeTrack(neutral, targets, both, visible, rms_error, max_error)


@dataclass(frozen=True)
class Sliders:
    """Morph targets as editors take them.

    Args:
        names: [M]. targets: [M, V, 3]. weights: [T, M] within 0..1.
        factors: [M] what of the shape's own weight (a rig's code) a weight of 1 is.
    """

    names: list[str]
    targets: np.ndarray
    weights: np.ndarray
    factors: np.ndarray


def sliders(track: ShapeTrack, names: Sequence[str], *, whole: int = 0) -> Sliders:
    """The shapes of `track` such that all weights lie within 0..1.

    glTF allows any weights, but editors don't: Blender cuts an animation off at its sliders' ends, 0 and 1, and Unity
    does unless told otherwise. So shapes are made longer where weights go beyond 1, the first `whole` ones (a rig's) by
    a whole number, and a shape that also moves backwards gets a twin, ``…_minus``, that does so; between two frames,
    too, the twins move as the one shape did.
    """
    largest = np.abs(track.weights).max(axis=0, initial=0)
    scale = np.where(largest > 1, largest, 1)
    scale[:whole] = np.ceil(scale[:whole])
    weights = track.weights / scale
    backwards = np.flatnonzero(weights.min(axis=0, initial=0) < 0)
    targets = track.targets * scale[:, None, None]
    return Sliders(
        [*names, *(f"{names[k]}{MINUS}" for k in backwards)],
        np.concatenate([targets, -targets[backwards]]).astype(np.float32),
        np.concatenate([np.maximum(weights, 0), np.maximum(-weights[:, backwards], 0)], axis=1).astype(np.float32),
        np.concatenate([scale, -scale[backwards]]),
    )


def _without_twins(names: Sequence[str], targets: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Targets and signed weights behind :class:`Sliders`."""
    kept = [k for k, name in enumerate(names) if not name.endswith(MINUS)]
    weights = weights.copy()
    for k, name in enumerate(names):
        if name.endswith(MINUS):
            weights[:, names.index(name.removesuffix(MINUS))] -= weights[:, k]
    return targets[kept], weights[:, kept]


def _without_turns(positions: Positions, rest: np.ndarray, turning: np.ndarray) -> Positions:
    """`positions` where the vertices `turning` stay as in `rest` [V, 3]."""

    def chunks() -> Iterator[np.ndarray]:
        for _, chunk in _chunks(positions, len(rest)):
            held = np.array(chunk, np.float32)
            held[:, turning] = rest[turning]
            yield held

    return chunks


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


def _visible_frames(positions: Positions, vertices: int) -> np.ndarray:
    parts = [np.isfinite(chunk).all(axis=(1, 2)) for _, chunk in _chunks(positions, vertices)]
    return np.concatenate(parts) if parts else np.zeros(0, bool)


def _sample(positions: Positions, visible: np.ndarray, vertices: int) -> np.ndarray:
    """Evenly spread visible frames [n, V, 3] float32."""
    limit = int(np.clip(_SAMPLE_BYTES // (12 * vertices), 2, _SAMPLE_FRAMES))
    candidates = np.flatnonzero(visible)
    chosen = candidates[np.unique(np.linspace(0, len(candidates) - 1, limit).round().astype(np.int64))]
    picked = np.zeros(len(visible), bool)
    picked[chosen] = True
    return np.concatenate([chunk[picked[at]].astype(np.float32) for at, chunk in _chunks(positions, vertices)])


def _once(sample: np.ndarray, positions: Positions, visible: np.ndarray) -> Positions:
    """`positions`, from memory where the `sample` has all visible frames: decoding them again would take its time."""
    if len(sample) < visible.sum():
        return positions
    row = np.cumsum(visible) - 1

    def chunks() -> Iterator[np.ndarray]:
        step = max(_CHUNK_BYTES // sample[0].nbytes, 1)
        for start in range(0, len(visible), step):
            part = slice(start, start + step)
            yield np.where(visible[part, None, None], sample[row[part]], np.float32(np.nan))

    return chunks


def _fit(sample: np.ndarray, max_targets: int, tolerance: float) -> np.ndarray:
    """As few principal components [K, V, 3] as keep every vertex of `sample` [n, V, 3] within `tolerance`.

    A component is scaled by its largest weight, so that weights stay within -1..1, where editors' sliders end.
    `sample` is used up.
    """
    rest, targets = sample.reshape(len(sample), -1), []

    def done() -> bool:
        return np.square(sample).sum(-1).max() <= tolerance**2

    for component in () if done() else _components(rest, max_targets):
        if done():
            break
        weights = rest @ component
        rest -= np.outer(weights, component)
        targets.append(component * max(np.abs(weights).max(), 1e-12))
    return np.array(targets, np.float32).reshape(-1, *sample.shape[1:])


def _components(rows: np.ndarray, count: int) -> np.ndarray:
    """The first principal directions [<= count, D] of `rows` [n, D], by the n x n Gram matrix: D may be large."""
    gram = (rows @ rows.T).astype(np.float64)
    size = len(gram)
    count = min(count, size)
    if count == 0:
        return np.zeros((0, rows.shape[1]), np.float32)
    values, vectors = scipy.linalg.eigh(gram, subset_by_index=[size - count, size - 1])
    kept = values[::-1] > 1e-10 * max(values[-1], 1e-30)
    directions = vectors[:, ::-1][:, kept].T.astype(np.float32) @ rows
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
    return weights[held_frames(visible)], float(rms), float(np.sqrt(largest))


def held_frames(visible: np.ndarray) -> np.ndarray:
    """[T] the frame whose values each frame shows: itself, else the last visible one, else the first."""
    last = np.maximum.accumulate(np.where(visible, np.arange(len(visible)), -1))
    return np.where(last >= 0, last, np.argmax(visible))


def _add_animation(
    builder: GlbBuilder,
    times: np.ndarray,
    weights: np.ndarray,
    visible: np.ndarray,
    poses: np.ndarray | Callable[[], np.ndarray] | None,
    turns: Mapping[str, Turns],
    metres_per_unit: float,
) -> None:
    clock = builder.add(times, bounds=True)
    animation = gltf.Animation(name="video", samplers=[], channels=[])

    def animate(path: str, values: np.ndarray, interpolation: str = gltf.ANIM_LINEAR, node: int = 0) -> None:
        output = builder.add(np.asarray(values, np.float32))
        animation.samplers.append(gltf.AnimationSampler(input=clock, output=output, interpolation=interpolation))
        target = gltf.AnimationChannelTarget(node=node, path=path)
        animation.channels.append(gltf.AnimationChannel(sampler=len(animation.samplers) - 1, target=target))

    if weights.size:
        animate("weights", weights.ravel(), node=builder.nodes["face"])
    scale = np.ones(len(times))
    poses = poses() if callable(poses) else poses
    if poses is not None:
        if len(poses) != len(times):
            raise ValueError(f"{len(poses)} poses for {len(times)} times")
        rotation, translation, scale = _decompose(np.asarray(poses, np.float64), visible)
        animate("rotation", rotation)
        animate("translation", translation * metres_per_unit)
    if poses is not None or not visible.all():
        hidden = np.where(visible, scale, 0.0)
        animate("scale", np.repeat(hidden[:, None], 3, axis=1), gltf.ANIM_STEP)
    for name, turn in turns.items():
        if name in builder.nodes:
            _animate_turn(animate, turn, visible, metres_per_unit, builder.nodes[name])
    if animation.channels:
        builder.document.animations = [animation]


def _animate_turn(
    animate: Callable[..., None], turn: Turns, visible: np.ndarray, metres_per_unit: float, node: int
) -> None:
    """Of one part; where its pivot stays, as eyes' do, its node's own translation says where."""
    poses = np.tile(np.eye(4), (len(visible), 1, 1))
    poses[:, :3, :3], poses[:, :3, 3] = turn.rotations, turn.pivots
    rotation, pivots, _ = _decompose(poses, visible)
    animate("rotation", rotation, node=node)
    if np.ptp(pivots, axis=0).max() * metres_per_unit > _STILL_PIVOT:
        animate("translation", pivots * metres_per_unit, node=node)


def _decompose(poses: np.ndarray, visible: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Quaternions [T, 4] (x, y, z, w), translations [T, 3] and uniform scales [T] of `poses` [T, 4, 4].

    Neighbouring quaternions have the same sign, or the head would turn the long way round between two frames.
    """
    known = visible & np.isfinite(poses).all(axis=(1, 2))
    if not known.any():
        raise ValueError("no frame has a pose")
    held = poses[held_frames(known)]
    scale = np.cbrt(np.linalg.det(held[:, :3, :3]))
    quaternions = Rotation.from_matrix(held[:, :3, :3] / scale[:, None, None]).as_quat()
    return same_side(quaternions), held[:, :3, 3], scale


def same_side(quaternions: np.ndarray) -> np.ndarray:
    """`quaternions` [T, 4] of which neighbours have the same sign."""
    flips = np.sign((quaternions[1:] * quaternions[:-1]).sum(1))
    quaternions = quaternions.copy()
    quaternions[1:] *= np.cumprod(np.where(flips < 0, -1, 1))[:, None]
    return quaternions
