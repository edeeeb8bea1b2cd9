"""Stand-ins of ICT-FaceKit's OBJ files: the official vertex count, names and form, and shapes that are a formula; or
the content of a ``.npz``, written back as the files that it could have been made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from facecli.morphable.ict import EYE_PARTS, FACE_END, HEAD_END
from facecli.morphable.ict_convert import EXPRESSIONS, IDENTITIES, kept_vertices
from facecli.morphable.ict_files import FULL_VERTICES

_TEETH = (HEAD_END, EYE_PARTS["L"][0][0])
"""The part between the head and the eyes, which stands for all that the ``.npz`` leaves out."""
_LASHES = (EYE_PARTS["R"][1][1], FULL_VERTICES)


def formula(identities: int = IDENTITIES, expressions: Sequence[str] = EXPRESSIONS) -> dict[str, np.ndarray]:
    """A ``.npz``'s content, by formula: two spheres for face and head, two for each eye, in rows of quads."""
    kept = kept_vertices()
    parts = [(0, FACE_END), (FACE_END, HEAD_END), *(part for side in "LR" for part in EYE_PARTS[side])]
    middles = [(0, 0, 4), (0, -4, 0), *(((3.2, 3.6, 8.4),) * 2), *(((-3.2, 3.6, 8.4),) * 2)]
    radii = [(9, 14, 8), (12, 15, 11), *((1.4,) * 3, (1.2,) * 3) * 2]
    mean, quads = [], []
    for (first, end), middle, radius in zip(parts, middles, radii, strict=True):
        mean.append(_spiral(end - first) * radius + middle)
        quads.append(_strip(int(np.searchsorted(kept, first)), end - first))
    mean = np.concatenate(mean)
    turns = np.arange(1, identities + len(expressions) + 1)[:, None, None] * 0.37
    shapes = (np.sin(mean[None] * 0.2 + turns) * 0.5).astype(np.float16)
    triangles = _fans(np.concatenate(quads))
    return {
        "mean": _rounded(mean).astype(np.float32),
        "identity": shapes[:identities],
        "expression": shapes[identities:],
        "expression_names": np.array(expressions),
        "faces": triangles.astype(np.int32),
        **_uv(triangles),
        "source_vertex": kept.astype(np.int32),
    }


def _spiral(count: int) -> np.ndarray:
    """[count, 3] on the unit sphere, from bottom to top."""
    y = np.linspace(-1, 1, count)
    angle = np.arange(count) * (2 * np.pi / 40)
    return np.stack([np.sqrt(1 - y**2) * np.cos(angle), y, np.sqrt(1 - y**2) * np.sin(angle)], 1)


def _strip(first: int, count: int) -> np.ndarray:
    """[Q, 4] a row of quads, neighbours with a corner in common, through `count` vertices: few, to be read quickly."""
    corner = first + np.append(np.arange(0, count - 4, 3), count - 4)
    return corner[:, None] + np.arange(4)


def _fans(quads: np.ndarray) -> np.ndarray:
    return quads[:, [0, 1, 2, 0, 2, 3]].reshape(-1, 3)


def _uv(triangles: np.ndarray) -> dict[str, np.ndarray]:
    """A UV a vertex, numbered as triangles use them."""
    used, first, which = np.unique(triangles, return_index=True, return_inverse=True)
    place = np.argsort(np.argsort(first))
    uv = np.stack([np.arange(len(used)) / 20_000, np.arange(len(used)) % 100 / 100], 1)
    return {"uv": uv.astype(np.float32), "uv_faces": place[which].reshape(-1, 3).astype(np.int32)}


def _rounded(numbers: np.ndarray) -> np.ndarray:
    """As they are when they are written with six digits, as the official files have them."""
    return np.char.mod("%.6g", numbers).astype(np.float64)


def obj_files(content: Mapping[str, np.ndarray]) -> dict[str, bytes]:
    """File name -> OBJ of each shape of a ``.npz``'s `content`: all 26,719 vertices, quads where two triangles were
    one, UV; polygons and UV of parts that the ``.npz`` doesn't have lie between them."""
    mean = _full(_rounded(content["mean"].astype(np.float64)))
    rest = _faces(content)
    shapes = {"generic_neutral_mesh": np.zeros_like(content["mean"])}
    shapes |= {f"identity{number:03d}": shape for number, shape in enumerate(content["identity"])}
    shapes |= dict(zip(map(str, content["expression_names"]), content["expression"], strict=True))
    files = {}
    for name, shape in shapes.items():
        offsets = np.zeros((FULL_VERTICES, 3))
        # Half precision's -0 was a small number once.
        offsets[content["source_vertex"]] = np.where((shape == 0) & np.signbit(shape), -1e-9, shape.astype(float))
        files[f"{name}.obj"] = _vertices(mean + offsets) + rest
    return files


def write_folder(folder: Path, content: Mapping[str, np.ndarray]) -> Path:
    """The files of :func:`obj_files` and the folder's other one, below the new folder `folder`."""
    folder.mkdir(parents=True)
    for name, data in obj_files(content).items():
        (folder / name).write_bytes(data)
    (folder / "vertex_indices.json").write_text("{}")
    return folder


def _full(kept: np.ndarray) -> np.ndarray:
    """[26719, 3]: what isn't kept lies in the mouth."""
    full = np.tile([0.0, -4.0, 8.0], (FULL_VERTICES, 1))
    full[kept_vertices()] = kept
    return full


def _vertices(vertices: np.ndarray) -> bytes:
    """With as many digits as differences to the mean need to come back as they were."""
    return b"# a stand-in\nmtllib face.mtl\n" + b"".join(b"v %r %r %r\n" % tuple(v) for v in vertices.tolist())


def _faces(content: Mapping[str, np.ndarray]) -> bytes:
    """UV, normals and polygons of all files. UV count from the end of the list: the official order isn't known."""
    source, uv = content["source_vertex"], content["uv"]
    lines = ["vt 0.5 0.5", *(f"vt {u:.6f} {v:.6f}" for u, v in uv[::-1].tolist()), "vn 0 0 1"]
    polygons = _polygons(content["faces"], content["uv_faces"])
    for number, polygon in enumerate(polygons):
        lines.append("f " + " ".join(f"{source[v] + 1}/{len(uv) - t + 1}/1" for v, t in polygon))
        if number in (0, len(polygons) // 2):
            for first, end in (_TEETH, _LASHES):
                lines += [f"f {v + 1}/1/1 {v + 2}/1/1 {v + 3}/1/1" for v in range(first, end - 2, 300)]
    return ("\n".join(lines) + "\n").encode()


def _polygons(faces: np.ndarray, uv_faces: np.ndarray) -> list[list[tuple[int, int]]]:
    """Quads where a triangle goes on with the one before it, else triangles; corners are (vertex, UV)."""
    corners = np.stack([faces, uv_faces], 2).tolist()
    found, number = [], 0
    while number < len(corners):
        a, b, c = corners[number]
        further = corners[number + 1] if number + 1 < len(corners) else [None, None, None]
        goes_on = [a, c] == further[:2]
        found.append([a, b, c, further[2]] if goes_on else [a, b, c])
        number += 2 if goes_on else 1
    return found
