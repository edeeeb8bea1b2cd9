"""A folder shaped as the NoW data set, in its official file formats, of scans, photographs and boxes of a test."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

GOLDEN = Path(__file__).parents[1] / "golden/benchmarks"
DEEP = "NoW_Dataset/final_release_version"
BOX = (100.0, 80.0, 300.0, 320.0)
"""Left, top, right, bottom where a test has no picture."""


def golden_case(name: str) -> dict[str, np.ndarray]:
    """What the official program was given, and what it gave; scans and predictions have the same triangles in all."""
    return dict(np.load(GOLDEN / f"{name}.npz")) | dict(np.load(GOLDEN / "now_triangles.npz"))


@dataclass
class Subject:
    """One person.

    Args:
        vertices, triangles: of the scan, [n, 3] mm and [F, 3].
        landmarks: [7, 3] float32.
        pictures: ``challenge/file.jpg`` -> an RGB picture, or None where the test needs none.
        boxes: the same -> left, top, right, bottom; :data:`BOX` if not said.
    """

    vertices: np.ndarray
    triangles: np.ndarray
    landmarks: np.ndarray
    pictures: Mapping[str, np.ndarray | None]
    boxes: Mapping[str, tuple[float, float, float, float]] = field(default_factory=dict)


def write_now(root: Path, subjects: Mapping[str, Subject], *, deep: bool = True, image_set: str = "val") -> Path:
    """The data set's folder `root`.

    Args:
        deep: photographs and boxes below ``NoW_Dataset/final_release_version``, as they are unpacked; else in `root`.
        image_set: the test set has a list, photographs and boxes, but no scans.
    """
    lines = []
    below = root / DEEP if deep else root
    for name, subject in subjects.items():
        for line, picture in subject.pictures.items():
            lines.append(f"{name}/{line}")
            if picture is not None:
                write_picture(below / "iphone_pictures" / lines[-1], picture)
            box = subject.boxes.get(line, BOX)
            write_box((below / "detected_face" / lines[-1]).with_suffix(".npy"), box)
        if image_set == "val":
            write_scan(root / "scans" / name / f"{name}.000001.obj", subject.vertices, subject.triangles)
            write_pp(root / "scans_lmks_onlypp" / name / f"{name}.000001_picked_points.pp", subject.landmarks)
    words = {"val": "validation", "test": "test"}[image_set]
    (root / f"imagepaths{words}.txt").write_text("".join(f"{line}\n" for line in lines))
    return root


def write_picture(path: Path, picture: np.ndarray) -> None:
    from PIL import Image

    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture).save(path, quality=95)


def write_scan(path: Path, vertices: np.ndarray, triangles: np.ndarray) -> None:
    """An OBJ; 9 digits tell every float32 apart."""
    path.parent.mkdir(parents=True, exist_ok=True)
    vertices, triangles = np.asarray(vertices, np.float32), np.asarray(triangles, np.int64) + 1
    points = "v %.9g %.9g %.9g\n" * len(vertices) % tuple(vertices.ravel().tolist())
    faces = "f %d %d %d\n" * len(triangles) % tuple(triangles.ravel().tolist())
    path.write_text(points + faces)


def write_pp(path: Path, landmarks: np.ndarray) -> None:
    """Picked points as MeshLab writes them. Names count from 0 in the order in which they were picked."""
    path.parent.mkdir(parents=True, exist_ok=True)
    points = [
        f' <point x="{x!r}" y="{y!r}" z="{z!r}" active="1" name="{number}"/>'
        for number, (x, y, z) in enumerate(np.asarray(landmarks, np.float32).tolist())
    ]
    head = [
        "<!DOCTYPE PickedPoints>",
        "<PickedPoints>",
        " <DocumentData>",
        '  <DateTime time="10:00:00" date="2018-01-01"/>',
        '  <User name="x"/>',
        '  <DataFileName name="scan.obj"/>',
        '  <templateName name=""/>',
        " </DocumentData>",
    ]
    path.write_text("\n".join([*head, *points, "</PickedPoints>", ""]))


def write_box(path: Path, box: tuple[float, float, float, float]) -> None:
    """An `.npy` of a 0-d object array with a dictionary, byte by byte as Python 2's numpy writes it: protocol 2, names
    as 8-bit strings, numpy under its name of then."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = b"".join(_string(side) + _float(value) for side, value in zip(_SIDES, box, strict=True))
    pickled = (
        b"\x80\x02cnumpy.core.multiarray\n_reconstruct\nq\x01cnumpy\nndarray\nq\x02K\x00\x85q\x03U\x01bq\x04\x87q\x05R"
        b"q\x06(K\x01)cnumpy\ndtype\nq\x07U\x02O8q\x08K\x00K\x01\x87q\tRq\n(K\x03U\x01|q\x0bNNNJ\xff\xff\xff\xff"
        b"J\xff\xff\xff\xffK?tq\x0cb\x89]q\r}q\x0e(" + content + b"uatb."
    )
    header = b"{'descr': '|O', 'fortran_order': False, 'shape': (), }"
    header += b" " * (-(10 + len(header) + 1) % 16) + b"\n"
    path.write_bytes(b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + pickled)


_SIDES = ("left", "top", "right", "bottom")


def _string(text: str) -> bytes:
    """SHORT_BINSTRING"""
    return b"U" + bytes([len(text)]) + text.encode()


def _float(value: float) -> bytes:
    """BINFLOAT"""
    return b"G" + np.array(value, ">f8").tobytes()


def write_prediction(
    folder: Path,
    name: str,
    vertices: np.ndarray,
    triangles: np.ndarray,
    landmarks: np.ndarray,
    *,
    mesh: str = ".obj",
    points: str = ".npy",
) -> None:
    """``name.obj`` or ``.ply``, and ``.npy`` or ``.txt``, as other people's programs write them."""
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if mesh == ".obj":
        write_scan(path.with_name(path.name + mesh), vertices, triangles)
    else:
        import trimesh

        made = trimesh.Trimesh(vertices, np.asarray(triangles, np.int64), process=False)
        path.with_name(path.name + mesh).write_bytes(made.export(file_type="ply", vertex_normal=False))
    if points == ".npy":
        np.save(path.with_name(path.name + points), landmarks)
    else:
        rows = [" ".join(map(repr, row)) for row in np.asarray(landmarks, np.float32).tolist()]
        path.with_name(path.name + points).write_text("\n".join(rows) + "\n")
