"""Makes the compact ``.npz`` of ICT-FaceKit's light face model from the OBJ files that its authors publish.

Kept are face, head and neck, and the eyeballs with their corneas: 14,388 of 26,719 vertices. Teeth, sockets, lashes
and the rest are left out.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from facecli.assets.archives import Archive, ArchiveError, check_folder, is_archive, open_archive
from facecli.errors import InputError, OutputError
from facecli.io.arrays import write_npz
from facecli.io.polygons import fans
from facecli.io.wavefront import TexturedPolygons, parse_obj_polygons, parse_obj_vertices, parse_textured_obj
from facecli.morphable.ict import EYE_PARTS, HEAD_END
from facecli.morphable.ict_assets import FOLDER, NEUTRAL
from facecli.morphable.ict_files import FULL_VERTICES

IDENTITIES = 100
"""``identity000.obj`` and so on: the mean face with one of them at one standard deviation."""
EXPRESSIONS = (
    "PupilDilate_L", "PupilDilate_R", "browDown_L", "browDown_R", "browInnerUp_L", "browInnerUp_R", "browOuterUp_L",
    "browOuterUp_R", "cheekPuff_L", "cheekPuff_R", "cheekRaiser_L", "cheekRaiser_R", "cheekSquint_L", "cheekSquint_R",
    "eyeBlink_L", "eyeBlink_R", "eyeLookDown_L", "eyeLookDown_R", "eyeLookIn_L", "eyeLookIn_R", "eyeLookOut_L",
    "eyeLookOut_R", "eyeLookUp_L", "eyeLookUp_R", "eyeSquint_L", "eyeSquint_R", "eyeWide_L", "eyeWide_R", "jawForward",
    "jawLeft", "jawOpen", "jawRight", "mouthClose", "mouthDimple_L", "mouthDimple_R", "mouthFrown_L", "mouthFrown_R",
    "mouthFunnel", "mouthLeft", "mouthLowerDown_L", "mouthLowerDown_R", "mouthPress_L", "mouthPress_R", "mouthPucker",
    "mouthRight", "mouthRollLower", "mouthRollUpper", "mouthShrugLower", "mouthShrugUpper", "mouthSmile_L",
    "mouthSmile_R", "mouthStretch_L", "mouthStretch_R", "mouthUpperUp_L", "mouthUpperUp_R", "noseSneer_L",
    "noseSneer_R",
)  # fmt: skip
"""The mean face with each of them at 1; in the order of the ``.npz``. Further files are left alone."""

_EYES_APART, _HEAD_TALL = (5.0, 8.0), (25.0, 45.0)
"""Centimetres between the eyeballs' middles, and of head and neck. The mean face: 6.4 and 33.8."""
_FARTHEST = 10.0
"""Centimetres that a shape may move a vertex; of the published ones none moves one by 4."""
_LARGEST_FILE = 64 << 20
"""Bytes; one of the OBJ files has about 3 million."""
_NAMED = 3
_MEND = f"get ICT-FaceKit again: its folder {FOLDER} is wanted, whole"
_LFS = b"version https://git-lfs"


def convert_ict(source: str | Path, target: str | Path) -> None:
    """Write `target`, the ``.npz``, of `source`: see :func:`ict_content`.

    Raises:
        InputError: files are missing, damaged, or something else.
        OutputError: `target` can't be written.
    """
    write_npz(target, ict_content(source))


def ict_content(
    source: str | Path, identities: int = IDENTITIES, expressions: Sequence[str] = EXPRESSIONS
) -> dict[str, np.ndarray]:
    """What the ``.npz`` holds, see :class:`facecli.morphable.ict_files.IctArrays`; centimetres, as in the files.

    Shapes are differences to the neutral face, taken in double precision and rounded to half (0.001 cm for the
    largest; the files have six digits). Polygons become fans, in the files' order; UV are numbered as faces use them.

    Args:
        source: the folder ``FaceXModel``, one around it (a clone), or an archive (zip, tar) that holds it.

    Raises:
        InputError: files are missing, damaged, or something else; the file is named.
    """
    with _open(source) as folder:
        names = [f"identity{number:03d}" for number in range(identities)]
        _check_names(folder, [*names, *expressions])
        neutral = _read_neutral(folder)
        return {
            "mean": neutral.mean.astype(np.float32),
            "identity": _shapes(folder, names, neutral),
            "expression": _shapes(folder, expressions, neutral),
            "expression_names": np.array(expressions),
            "faces": neutral.triangles.astype(np.int32),
            "uv": neutral.uv.astype(np.float32),
            "uv_faces": neutral.uv_triangles.astype(np.int32),
            "source_vertex": kept_vertices().astype(np.int32),
        }


def kept_vertices() -> np.ndarray:
    """[V] int64, ascending: which of the full mesh's vertices the ``.npz`` has."""
    ranges = [(0, HEAD_END), *(part for side in EYE_PARTS.values() for part in side)]
    return np.concatenate([np.arange(*one) for one in sorted(ranges)])


def converted_folder(folder: str | Path) -> Path | None:
    """The ``.npz`` of a folder of OBJ files, made once in the user's cache; None where that can't be written.

    It is made again when one of the files has changed. One process makes it, others wait for it.

    Raises:
        InputError: as :func:`ict_content`.
    """
    import filelock

    from facecli.assets.verify import cache_folder

    with _open(folder) as opened:
        target = cache_folder() / f"ict_facekit-{_state(opened)}.npz"
    if target.is_file():
        return target
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with filelock.FileLock(target.with_suffix(".lock")):
            if not target.is_file():
                convert_ict(folder, target)
    except (OSError, OutputError):
        return None
    return target


# ------------------------------------------------------------------------------------------------------ the files


@dataclass(frozen=True)
class _Folder:
    """``FaceXModel``, in the file system or in an archive.

    Args:
        where: what errors name it by.
        names: of its files. read: the bytes of one. path: None in an archive.
    """

    where: str
    names: frozenset[str]
    reader: Callable[[str], bytes]
    path: Path | None = None

    def file(self, name: str) -> str:
        """What errors name a file by."""
        return f"{self.where}{name}"

    def read(self, shape: str) -> bytes:
        """The OBJ of one shape."""
        name = f"{shape}.obj"
        try:
            data = self.reader(name)
        except OSError as error:
            raise InputError(self.file(name), f"can't be read: {error.strerror or error}") from error
        if data.startswith(_LFS):
            raise InputError(
                self.file(name), "is git-LFS's placeholder, not the file", "run `git lfs pull` where it comes from"
            )
        return data


@contextlib.contextmanager
def _open(source: str | Path) -> Iterator[_Folder]:
    source = Path(source)
    if source.is_dir():
        yield _on_disk(source)
    elif not source.exists():
        raise InputError(source, "no such file or folder")
    elif not is_archive(source):
        raise InputError(source, "is no folder and no archive of OBJ files", _MEND)
    else:
        try:
            with open_archive(source) as archive:
                yield _in_archive(source, archive)
        except ArchiveError as error:
            raise InputError(source, str(error), _MEND) from error


def _on_disk(source: Path) -> _Folder:
    try:
        folder = next((one for one in (source, source / FOLDER) if (one / NEUTRAL).is_file()), None)
        if folder is None:
            raise InputError(source, f"holds no {NEUTRAL}", _MEND)
        names = frozenset(path.name for path in folder.iterdir() if path.is_file())
    except OSError as error:
        raise InputError(source, f"can't be read: {error.strerror or error}") from error
    return _Folder(f"{folder}/", names, lambda name: (folder / name).read_bytes(), folder)


def _in_archive(source: Path, archive: Archive) -> _Folder:
    """The folder of the neutral face that is the least deep."""
    found = [name for name in archive.names if PurePosixPath(name).name == NEUTRAL]
    if not found:
        raise ArchiveError(f"holds no {FOLDER}/{NEUTRAL}")
    root = min(found, key=lambda name: (name.count("/"), name)).removesuffix(NEUTRAL)
    if ".." in root.split("/"):
        raise ArchiveError(f"is not to be trusted: {root} in it leads out of its folder")
    names = frozenset(check_folder(archive, root).values())

    def read(name: str) -> bytes:
        if archive.sizes[root + name] > _LARGEST_FILE:
            raise ArchiveError(f"is not to be trusted: {root}{name} has {archive.sizes[root + name]:,} bytes")
        with archive.read(root + name) as stream:
            return stream.read()

    return _Folder(f"{source}:{root}", names, read)


def _check_names(folder: _Folder, shapes: Sequence[str]) -> None:
    missing = [f"{shape}.obj" for shape in shapes if f"{shape}.obj" not in folder.names]
    if missing:
        more = f" and {len(missing) - _NAMED} more" if len(missing) > _NAMED else ""
        raise InputError(folder.where, f"lacks {', '.join(missing[:_NAMED])}{more}", _MEND)


def _state(folder: _Folder) -> str:
    """16 digits that change when a file does."""
    digest = hashlib.sha256(str(folder.path.resolve()).encode("utf-8", "surrogateescape"))
    for name in sorted(name for name in folder.names if name.endswith(".obj")):
        status = (folder.path / name).stat()
        digest.update(f"{name} {status.st_size} {status.st_mtime_ns}\n".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()[:16]


# ----------------------------------------------------------------------------------------------------- the numbers


@dataclass(frozen=True)
class _Neutral:
    """The mean face, and the mesh that all files must have.

    Args:
        mean: [V, 3] float64, the kept vertices. triangles, uv_triangles: [F, 3] int64 of them. uv: [T, 2] float64.
        full: [26719, 3] all vertices. faces: the lines of the faces. valence: [26719] how many faces each vertex is in,
            by which the mesh is known in whatever order and form another file has the faces.
    """

    mean: np.ndarray
    triangles: np.ndarray
    uv: np.ndarray
    uv_triangles: np.ndarray
    full: np.ndarray
    faces: bytes
    valence: np.ndarray


def _read_neutral(folder: _Folder) -> _Neutral:
    shape = NEUTRAL.removesuffix(".obj")
    file, data = folder.file(NEUTRAL), folder.read(shape)
    mesh = parse_textured_obj(file, data)
    _check_vertices(file, mesh.vertices)
    kept = kept_vertices()
    triangles, uv, uv_triangles = _cut(mesh, kept)
    if len(np.unique(triangles)) != len(kept):
        raise InputError(file, "is another mesh: its faces leave out vertices of the head or the eyes", _MEND)
    _check_size(file, mesh.vertices)
    _, faces = parse_obj_vertices(file, data)
    return _Neutral(mesh.vertices[kept], triangles, uv, uv_triangles, mesh.vertices, faces, _valence(mesh.corners))


def _valence(corners: np.ndarray) -> np.ndarray:
    return np.bincount(corners, minlength=FULL_VERTICES)


def _cut(mesh: TexturedPolygons, kept: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Triangles [F, 3] between `kept` vertices, numbered among them; the UV [T, 2] that they use, in the order in which
    they do; and its triangles [F, 3]."""
    number = np.full(len(mesh.vertices), -1)
    number[kept] = np.arange(len(kept))
    triangles = number[fans(mesh.corners, mesh.counts)]
    uv_triangles = fans(mesh.uv_corners, mesh.counts)
    # A polygon stays or goes as a whole: parts of the mesh have no vertex in common.
    inside = (triangles >= 0).all(1)
    used, first, which = np.unique(uv_triangles[inside], return_index=True, return_inverse=True)
    order = np.argsort(first)
    place = np.empty(len(used), np.int64)
    place[order] = np.arange(len(used))
    return triangles[inside], mesh.uv[used[order]], place[which].reshape(-1, 3)


def _shapes(folder: _Folder, names: Sequence[str], neutral: _Neutral) -> np.ndarray:
    """[N, V, 3] float16."""
    kept = kept_vertices()
    shapes = np.empty((len(names), len(kept), 3), np.float16)
    for shape, name in zip(shapes, names, strict=True):
        shape[:] = (_read_shape(folder, name, neutral) - neutral.full)[kept]
    return shapes


def _read_shape(folder: _Folder, name: str, neutral: _Neutral) -> np.ndarray:
    """[26719, 3] of one file, checked to be the neutral face's mesh, moved."""
    file, data = folder.file(f"{name}.obj"), folder.read(name)
    vertices, faces = parse_obj_vertices(file, data)
    _check_vertices(file, vertices)
    if faces != neutral.faces and not np.array_equal(_valence(parse_obj_polygons(file, data)[1]), neutral.valence):
        raise InputError(file, f"has other faces than {NEUTRAL}: it was cut off, or is another mesh", _MEND)
    farthest = np.abs(vertices - neutral.full).max()
    if not 0 < farthest <= _FARTHEST:
        words = f"moves vertices by {farthest:.3g} cm" if farthest else f"is the same as {NEUTRAL}"
        raise InputError(file, f"can't be a shape of ICT-FaceKit: it {words}", _MEND)
    return vertices


def _check_vertices(file: str, vertices: np.ndarray) -> None:
    if len(vertices) != FULL_VERTICES:
        raise InputError(file, f"has {len(vertices):,} vertices, not {FULL_VERTICES:,}", _MEND)
    if not np.isfinite(vertices).all():
        raise InputError(file, f"holds numbers that are not finite, at vertex {_first_bad(vertices)}", _MEND)


def _first_bad(vertices: np.ndarray) -> int:
    """Counted from 1, as in the file."""
    return int(np.argmax(~np.isfinite(vertices).all(1))) + 1


def _check_size(file: str, vertices: np.ndarray) -> None:
    """Whether it is a head in centimetres that looks to the viewer."""
    left, right = (vertices[slice(*EYE_PARTS[side][1])].mean(0) for side in "LR")
    tall = np.ptp(vertices[:HEAD_END, 1])
    apart = left[0] - right[0]
    if not (_EYES_APART[0] < apart < _EYES_APART[1] and _HEAD_TALL[0] < tall < _HEAD_TALL[1]):
        problem = f"is no head in centimetres: eyes {apart:.3g} apart (6.4 expected), {tall:.3g} tall (33.8 expected)"
        raise InputError(file, problem, _MEND)
