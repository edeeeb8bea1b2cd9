"""BFM_model_front.mat: read with its mistakes told, and made of BFM 2009 as the official recipe has it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import scipy.io
import torch

from facecli.assets import places
from facecli.errors import InputError
from facecli.morphable import bfm_files
from facecli.morphable.bfm import Bfm
from facecli.morphable.bfm_convert import Sources, bfm_front, read_expressions, read_spread
from facecli.morphable.bfm_files import KEYS, arrays_of, read_bfm
from facecli.morphable.bfm_head import NEEDED, read_whole_head, whole_head
from standins.bfm import EXPRESSIVE, crc, toy_bfm, toy_bfm09, write_bfm09

GOLDEN = Path(__file__).parents[1] / "golden/deep3d"


@pytest.fixture
def small(monkeypatch, tmp_path):
    """A file of 600 vertices, and the readers take it for whole."""
    content = toy_bfm(600)
    monkeypatch.setattr(bfm_files, "VERTICES", 600)
    monkeypatch.setattr(bfm_files, "TRIANGLES", len(content["tri"]))
    path = tmp_path / "BFM_model_front.mat"

    def write(**changed: np.ndarray | None) -> Path:
        kept = {key: value for key, value in (content | changed).items() if value is not None}
        scipy.io.savemat(path, kept)
        return path

    return write


def test_what_is_read(small):
    content, found = toy_bfm(600), read_bfm(small(exBase=toy_bfm(600)["exBase"].astype(np.float64)))
    assert np.abs(found.mean.mean(0)).max() < 1e-5
    offset = content["meanshape"].reshape(-1, 3) - found.mean
    assert np.abs(offset - offset[0]).max() < 1e-6 and np.abs(offset[0]).max() > 0.01
    for array, key in ((found.identity, "idBase"), (found.expression, "exBase"), (found.albedo_basis, "texBase")):
        assert array.dtype == np.float32 and np.array_equal(array, content[key])
    assert np.array_equal(found.triangles + 1, content["tri"]) and found.triangles.min() == 0
    assert np.array_equal(found.keypoints + 1, content["keypoints"][0])
    assert found.around.max() == len(found.triangles)
    for vertex in (0, 17, 599):
        incident = np.flatnonzero((found.triangles == vertex).any(1))
        assert set(incident) == set(found.around[vertex]) - {len(found.triangles)}
    assert found.skin.sum() == content["skinmask"].sum()
    inner = found.front[found.front_triangles]
    assert {tuple(row) for row in inner.tolist()} <= {tuple(row) for row in found.triangles.tolist()}


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"tri_mask2": None}, "lacks tri_mask2"),
        ({"tri": toy_bfm(600)["tri"] - 1}, "tri names what isn't there"),
        ({"keypoints": np.full((1, 68), 601.0)}, "keypoints names what isn't there"),
        ({"point_buf": toy_bfm(600)["point_buf"] + 0.5}, "point_buf names what isn't there"),
        ({"idBase": toy_bfm(600)["idBase"][:, :79]}, "idBase has the shape"),
        ({"exBase": toy_bfm(600)["exBase"][:-3]}, "exBase has the shape"),
        ({"texBase": np.full((1800, 80), np.nan)}, "not finite"),
        ({"meantex": np.array([["text"]], object)}, "holds no numbers"),
        ({"meanshape": np.zeros((1, 1797))}, "599 vertices"),
    ],
)
def test_what_is_refused(small, changed, words):
    with pytest.raises(InputError, match=words) as caught:
        read_bfm(small(**changed))
    assert "assets convert bfm" in str(caught.value) and "\n" not in str(caught.value)


def test_more_columns_than_are_used(small):
    """Files of other projects keep more of the bases."""
    wide = np.pad(toy_bfm(600)["idBase"], ((0, 0), (0, 119)))
    assert read_bfm(small(idBase=wide)).identity.shape == (1800, 80)


# --- made of its parts -----------------------------------------------------------------------------------------------


def _sources(parts: dict) -> Sources:
    indices = [parts[key].ravel().astype(int) - 1 for key in ("trim_index", "front_index")]
    return Sources(parts["morphable"], parts["exp_pc"], parts["std_exp"], *indices)


def test_the_official_conversion():
    parts = toy_bfm09()
    with np.load(GOLDEN / "bfm_convert.npz") as archive:
        wanted = {key: archive[key] for key in archive.files}
    if crc(parts["info"]["tri"]) != crc(toy_bfm(600, 1, 1, 1)["tri"]):
        pytest.skip("this SciPy's Delaunay triangles aren't those of the golden cases")
    found = bfm_front(_sources(parts), parts["info"])
    assert list(found) == list(KEYS) == wanted["keys"].tolist()
    assert [f"{value.shape} {value.dtype}" for value in found.values()] == wanted["shapes_dtypes"].tolist()
    for key in ("meanshape", "meantex"):
        assert np.allclose(found[key], wanted[key], rtol=1e-6)
    for key in ("idBase", "exBase", "texBase"):
        assert np.allclose(found[key][::37, ::7], wanted[f"{key}_s"], rtol=1e-6, atol=0)
        summary = [found[key].mean(dtype=float), found[key].std(ddof=1, dtype=float), np.abs(found[key]).max()]
        assert np.allclose(summary, wanted[f"{key}_summary_f64"][:3], rtol=1e-4)
    assert arrays_of(found).mean.shape == (600, 3)


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    """The six files of full size, with fewer modes than the official ones' 199, and what is in them."""
    folder = tmp_path_factory.mktemp("parts")
    return folder, write_bfm09(folder, 80)


def test_from_the_command_line(cli, own_assets, parts):
    """Two parts are named, the others lie where models' files are; then the model's file is found."""
    folder, content = parts
    for name in ("std_exp.txt", "BFM_exp_idx.mat", "facemodel_info.mat"):
        (own_assets / name).symlink_to(folder / name)
    named = [folder / "01_MorphableModel.mat", folder / "Exp_Pca.bin"]
    ran = cli("assets", "convert", "bfm", *named, "--to", own_assets)
    assert ran.code == 3 and len(ran.errors) == 1 and "without BFM_front_idx.mat" in ran.errors[0]
    assert "facecli assets get bfm_front_vertices" in ran.errors[0]
    (own_assets / "BFM_front_idx.mat").symlink_to(folder / "BFM_front_idx.mat")
    places.rescan()
    ran = cli("assets", "convert", "bfm", *named, "--to", own_assets)
    assert ran.code == 0, ran.err
    assert ran.out.strip() == str(own_assets / "BFM_model_front.mat")
    found = read_bfm(own_assets / "BFM_model_front.mat")
    front = content["front_index"].ravel().astype(int) - 1
    vertex = content["trim_index"].ravel().astype(int)[front[1234]] - 1
    head = content["morphable"]
    row, third = 3 * 1234 + 1, 3 * vertex + 1
    assert found.identity[row, 7] == pytest.approx(head["shapePC"][third, 7] * head["shapeEV"][7, 0] / 1e5, rel=1e-5)
    assert found.albedo_basis[row, 7] == pytest.approx(head["texPC"][third, 7] * head["texEV"][7, 0], rel=1e-5)
    moved = content["exp_pc"][5, 3 * front[1234] + 1] * content["std_exp"][5] / 1e5
    assert found.expression[row, 5] == pytest.approx(moved, rel=1e-5)
    assert found.albedo[1234, 1] == head["texMU"][third, 0]
    listed = cli("assets", "check", "bfm")
    assert listed.code == 0 and "ok" in listed.out


def test_from_a_folder_of_parts(cli, own_assets, parts, tmp_path):
    """Which one is wrong is told; nothing half-made is left."""
    folder, _ = parts
    below = tmp_path / "mine"
    below.mkdir()
    for path in folder.iterdir():
        (below / path.name).symlink_to(path)
    (below / "std_exp.txt").unlink()
    (below / "std_exp.txt").write_text("1 2 3")
    ran = cli("assets", "convert", "bfm", below, "--to", own_assets)
    assert ran.code == 1 and len(ran.errors) == 1 and "std_exp.txt: holds 3 numbers, not 79" in ran.errors[0]
    assert not list(own_assets.iterdir())
    ran = cli("assets", "convert", "bfm", below / "nothing.txt")
    assert ran.code == 1 and "nothing.txt: is no part of BFM_model_front.mat" in ran.errors[0]
    ran = cli("assets", "convert", "bfm", tmp_path / "weights")
    assert ran.code == 1 and "holds none of 01_MorphableModel.mat" in ran.errors[0]


def test_other_models_arent_taken_for_2009s(cli, own_assets, parts, tmp_path):
    folder, _ = parts
    (tmp_path / "01_MorphableModel.mat").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
    ran = cli("assets", "convert", "bfm", folder, tmp_path / "01_MorphableModel.mat")
    assert ran.code == 1 and len(ran.errors) == 1 and "2017" in ran.errors[0]
    scipy.io.savemat(tmp_path / "01_MorphableModel.mat", {key: np.zeros((6, 1)) for key in (
        "shapeMU", "shapePC", "shapeEV", "texMU", "texPC", "texEV")})  # fmt: skip
    ran = cli("assets", "convert", "bfm", folder, tmp_path / "01_MorphableModel.mat")
    assert ran.code == 1 and len(ran.errors) == 1 and "shapeMU holds 6 numbers" in ran.errors[0]


def test_the_expression_basis(tmp_path):
    path = tmp_path / "Exp_Pca.bin"
    content = np.arange(80 * 12, dtype="<f4")
    path.write_bytes(np.array([79], "<i4").tobytes() + content.tobytes())
    assert np.array_equal(read_expressions(path, 4), content.reshape(80, 12)[1:])
    for broken in (path.read_bytes()[:-4], b"", b"<html>" + bytes(100), path.read_bytes() + b"1"):
        path.write_bytes(broken)
        with pytest.raises(InputError, match="is not the expression basis"):
            read_expressions(path, 4)
    content[100] = np.inf
    path.write_bytes(np.array([79], "<i4").tobytes() + content.tobytes())
    with pytest.raises(InputError, match="not finite"):
        read_expressions(path, 4)
    assert EXPRESSIVE * 3 * 80 * 4 + 4 == 51_086_404


@pytest.mark.parametrize("text", ["", "1 2 three", "nan " * 79, "\xe9" * 3])
def test_the_spread(tmp_path, text):
    path = tmp_path / "std_exp.txt"
    path.write_text(text, "latin-1")
    with pytest.raises(InputError, match=r"std_exp\.txt"):
        read_spread(path)
    path.write_text(" ".join(map(str, range(79))))
    assert np.array_equal(read_spread(path), np.arange(79))


# --- the whole head --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def whole():
    """A head of 900 vertices whose face is part of it: sources, triangles from 0, and the face's arrays."""
    parts, shape = toy_bfm09(), toy_bfm(900)
    parts = parts | {"morphable": parts["morphable"] | {"shapeMU": shape["meanshape"].T * 1e5}}
    sources = _sources(parts)
    return sources, shape["tri"].astype(int) - 1, arrays_of(bfm_front(sources, parts["info"]))


def test_the_face_is_part_of_the_whole_head(whole):
    sources, triangles, face = whole
    head = Bfm(whole_head(sources, triangles, face))
    assert head.mean.shape == (2700,)
    random = torch.Generator().manual_seed(3)
    identity, expression, texture = (torch.randn(2, n, generator=random) for n in (80, 64, 80))
    shape, face = head.shape(identity, expression), Bfm(face)
    vertex = torch.from_numpy(sources.expression_vertices[sources.front])
    assert (shape[:, vertex] - face.shape(identity, expression)).abs().max() < 1e-5
    assert (head.albedo(texture)[:, vertex] - face.albedo(texture)).abs().max() < 1e-4
    assert torch.equal(head.landmarks(shape), shape[:, vertex][:, face.keypoints])
    still = np.setdiff1d(np.arange(900), sources.expression_vertices)
    moved = head.shape(0 * identity, expression) - head.shape(0 * identity, 0 * expression)
    assert len(still) == 50 and not moved[:, still].any()


def test_either_orientation_comes_out_outward(whole):
    sources, triangles, face = whole
    for given in (triangles, triangles[:, ::-1]):
        head = Bfm(whole_head(sources, given, face))
        vertices = head.shape(torch.zeros(1, 80), torch.zeros(1, 64))
        assert head.normals(vertices)[0, :, 2].median() > 0.3
        assert torch.allclose(head.normals(vertices)[0, 10], _mean_normal(vertices[0], head.triangles, 10), atol=1e-5)


def _mean_normal(vertices: torch.Tensor, triangles: torch.Tensor, vertex: int) -> torch.Tensor:
    a, b, c = (vertices[triangles[(triangles == vertex).any(1), corner]] for corner in range(3))
    normals = torch.nn.functional.normalize(torch.linalg.cross(b - a, c - a), dim=1)
    return torch.nn.functional.normalize(normals.sum(0), dim=0)


def test_another_models_face_is_refused(whole):
    sources, triangles, face = whole
    with pytest.raises(ValueError, match="isn't that of BFM_model_front"):
        whole_head(sources, triangles, replace(face, mean=face.mean[::-1].copy()))


def test_the_whole_head_from_its_files(parts):
    folder, content = parts
    face = arrays_of(bfm_front(_sources(content), content["info"]))
    paths = {asset.name: folder / asset.filename for asset in NEEDED}
    found = read_whole_head(paths, face)
    assert found.mean.shape == (53490, 3) and found.identity.shape == (160470, 80)
    with pytest.raises(InputError, match=r"01_MorphableModel\.mat: .*isn't that of BFM_model_front"):
        read_whole_head(paths, replace(face, mean=face.mean + face.mean**2))
