"""OBJ files in the forms that only some readers want: polygons as they are, with UV, or vertices alone."""

from __future__ import annotations

import numpy as np
import pytest

from facecli.errors import InputError
from facecli.io.wavefront import parse_obj, parse_obj_polygons, parse_obj_vertices, parse_textured_obj

SQUARE = b"""# v 9 9 9
v 0 0 0
v 1 0 0 0.5 0.5 0.5
v 1 1 0
v 0 1 0
vt 0.25 0
vt 1 0 0
vt 1 1
vn 0 0 1
f 1/3/1 2/1/1 3/2 4/3 # a quad
f 1/1 2/2 3/3
"""


def test_polygons_with_uv():
    mesh = parse_textured_obj("x.obj", SQUARE)
    assert mesh.vertices.tolist() == [[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]]
    assert mesh.uv.tolist() == [[0.25, 0], [1, 0], [1, 1]]
    assert mesh.corners.tolist() == [0, 1, 2, 3, 0, 1, 2] and mesh.counts.tolist() == [4, 3]
    assert mesh.uv_corners.tolist() == [2, 0, 1, 2, 0, 1, 2]


def test_from_the_last_one_so_far():
    mesh = parse_textured_obj("x.obj", SQUARE + b"v 5 5 5\nvt 0 0\nf -1/-1 -2/-2 -5/-4\n")
    assert mesh.corners[-3:].tolist() == [4, 3, 0] and mesh.uv_corners[-3:].tolist() == [3, 2, 0]


def test_the_readers_agree():
    vertices, corners, counts = parse_obj_polygons("x.obj", SQUARE)
    mesh = parse_textured_obj("x.obj", SQUARE)
    assert np.array_equal(corners, mesh.corners) and np.array_equal(counts, mesh.counts)
    alone, faces = parse_obj_vertices("x.obj", SQUARE)
    assert np.array_equal(alone, vertices) and np.array_equal(alone, parse_obj("x.obj", SQUARE)[0])
    assert faces == b"f 1/3/1 2/1/1 3/2 4/3 # a quad\nf 1/1 2/2 3/3"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (b"f 1 2 3", "faces without UV"),
        (b"f 1//1 2//1 3//1", "faces without UV"),
        (b"f 1/1 2/2 3/", "faces without UV"),
        (b"f 1/1 2/2 3/x", "faces without UV"),
        (b"f 1/1 2/2 3/9", "faces of 9 UV and holds 3"),
        (b"f 1/1 2/2 9/3", "faces of 9 vertices and holds 4"),
        (b"f 1/1 2/2 3/-9", "broken at line 12: vertex -9"),
        (b"vt 1", "broken at line 12, 'vt 1': 1 numbers where 2 belong"),
        (b"vt 1 x", "broken at line 12, 'vt 1 x'"),
    ],
)
def test_what_is_wrong_is_named(line, words):
    with pytest.raises(InputError, match=words):
        parse_textured_obj("x.obj", SQUARE + line + b"\n")
