"""Every file that Basel-face models read, replaced by what it isn't: one line each that names the file and says what to
do, and nothing that a file asks for is run."""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import scipy.io
import torch

from facecli.errors import InputError
from facecli.io.images import read_image
from facecli.morphable import bfm_assets, bfm_convert, bfm_files, tddfa_files
from facecli.nn import checkpoints
from facecli_deep3d.detections import read_points
from facecli_deep3d.weights import load_network as load_deep3d
from facecli_synergynet.weights import load_backbone, open_checkpoint
from facecli_tddfa_v2.weights import load_network as load_tddfa_v2
from standins import tddfa as standin

VERTICES, V2_VERTICES = 1000, 700


class Evil:
    """Runs code when it is unpickled freely."""

    def __reduce__(self):
        return (print, ("executed",))


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """The files of small face models."""
    made = tmp_path_factory.mktemp("models")
    standin.write_v2(made, "small")
    standin.write_3dmm(made / "3dmm_data", "small")
    return made


def _of_3dmm(name: str) -> Callable[[Path, Path], object]:
    def read(path: Path, folder: Path) -> object:
        paths = {other: folder / "3dmm_data" / other for other in tddfa_files.DATA_FILES}
        return tddfa_files.read_3dmm_data(paths | {name: path}, folder / "3dmm_data/tri.mat")

    return read


def _part(asset) -> Callable[[Path, Path], object]:
    return lambda path, folder: bfm_convert.read_vertices(asset, path)


def _head(path: Path, folder: Path) -> object:
    return bfm_convert.read_sources({bfm_assets.BFM09.name: path})


DATA = "3dmm_data/"
READERS: dict[str, Callable[[Path, Path], object]] = {
    # 3DDFA_V2
    "mb1_120x120.pth": lambda path, folder: load_tddfa_v2(path),
    "bfm_noneck_v3.pkl": lambda path, folder: tddfa_files.read_bfm_noneck(path),
    "tri.pkl": lambda path, folder: tddfa_files.read_tri_pkl(path, V2_VERTICES),
    "param_mean_std_62d_120x120.pkl": lambda path, folder: tddfa_files.read_whitening(path),
    "BFM_UV.mat": lambda path, folder: tddfa_files.read_bfm_uv(path),
    "indices.npy": lambda path, folder: tddfa_files.read_indices(path, V2_VERTICES),
    "ncc_code.npy": lambda path, folder: tddfa_files.read_ncc_code(path, V2_VERTICES),
    # SynergyNet
    "best.pth.tar": lambda path, folder: load_backbone(open_checkpoint(path)),
    f"{DATA}tri.mat": lambda path, folder: tddfa_files.read_tri_mat(path, VERTICES),
    f"{DATA}BFM_UV.npy": lambda path, folder: tddfa_files.read_bfm_uv(path),
    f"{DATA}keptInd.npy": lambda path, folder: tddfa_files.read_cut(path, folder / DATA / "deletedTri.npy", VERTICES),
    f"{DATA}deletedTri.npy": lambda path, folder: tddfa_files.read_cut(folder / DATA / "keptInd.npy", path, VERTICES),
    f"{DATA}param_whitening.pkl": lambda path, folder: tddfa_files.read_whitening(path),
    **{DATA + name: _of_3dmm(name) for name in tddfa_files.DATA_FILES},
    "NAME_fake_B.png": lambda path, folder: read_image(path),
    # FaceBoxes
    "FaceBoxesProd.pth": lambda path, folder: checkpoints.Checkpoint.of(path, "FaceBoxes").state(),
    # Deep3D
    "epoch_20.pth": lambda path, folder: load_deep3d(source=path),
    "BFM_model_front.mat": lambda path, folder: bfm_files.read_bfm(path),
    "01_MorphableModel.mat": _head,
    "Exp_Pca.bin": lambda path, folder: bfm_convert.read_expressions(path, 53215),
    "std_exp.txt": lambda path, folder: bfm_convert.read_spread(path),
    "BFM_exp_idx.mat": _part(bfm_assets.EXPRESSION_VERTICES),
    "BFM_front_idx.mat": _part(bfm_assets.FRONT_VERTICES),
    "detections/NAME.txt": lambda path, folder: read_points(path),
}


def _saved(save: Callable[[io.BytesIO], object]) -> bytes:
    stream = io.BytesIO()
    save(stream)
    return stream.getvalue()


def _npy(array: np.ndarray) -> bytes:
    return _saved(lambda stream: np.save(stream, array, allow_pickle=True))


def _mat(**arrays: object) -> bytes:
    return _saved(lambda stream: scipy.io.savemat(stream, arrays))


WRONG = {
    "empty": b"",
    "a web page": b"<!DOCTYPE html><html>please log in</html>",
    "zeros": bytes(5000),
    "noise": np.random.default_rng(0).bytes(5000),
    "a folder": None,
    "no file": None,
    "a pickle that runs code": pickle.dumps(Evil(), 2),
    "one in a dictionary": pickle.dumps({key: Evil() for key in ("u", "mean", "std", "param_mean", "param_std")}, 4),
    "an array that runs code": _npy(np.array([Evil()], object)),
    "a checkpoint that runs code": _saved(
        lambda stream: torch.save({"net_recon": Evil(), "state_dict": Evil()}, stream)
    ),
    "an old checkpoint that runs code": _saved(
        lambda stream: torch.save({"state_dict": Evil()}, stream, _use_new_zipfile_serialization=False)
    ),
    "a list": pickle.dumps([1, 2, 3], 2),
    "numbers that are none": pickle.dumps({"mean": np.full(62, np.nan), "std": np.ones(62)}, 2),
    "nothing in it": pickle.dumps(dict.fromkeys(("u", "w_shp", "w_exp", "keypoints", "tri", "mean", "std")), 2),
    "a number": _npy(np.array(3.0)),
    "an empty array": _npy(np.zeros((0, 3), np.float32)),
    "words": _npy(np.array(["a"])),
    "complex numbers": _npy(np.zeros((3, 3), complex)),
    "numbers that aren't finite": _npy(np.full((3, V2_VERTICES), np.nan, np.float32)),
    "words in MATLAB": _mat(UV=np.array([["a"]], object), tri=scipy.sparse.eye(3), idx="a", trimIndex="b"),
    "nothing in MATLAB": _mat(UV=np.zeros((0, 2)), tri=np.zeros((0, 3)), idx=np.zeros((0, 1)), trimIndex=np.zeros(0)),
    "no numbers in MATLAB": _mat(**dict.fromkeys(("UV", "tri", "idx", "trimIndex"), np.full((5, 2), np.nan))),
}


def _refusals(name: str, folder: Path, place: Path) -> Iterator[tuple[str, str]]:
    read, path = READERS[name], place / Path(name).name
    original = folder / name
    cut = {}
    if original.is_file():
        read(original, folder)
        content = original.read_bytes()
        cut = {f"{share} of it": content[: int(len(content) * share)] for share in (0.1, 0.5, 0.97)}
    for what, content in (WRONG | cut).items():
        if what == "a folder":
            path.mkdir()
        elif what != "no file":
            path.write_bytes(content)
        with pytest.raises(InputError) as caught:
            read(path, folder)
            pytest.fail(f"{name} is taken though it is {what}")
        yield what, str(caught.value)
        if what == "a folder":
            path.rmdir()
        else:
            path.unlink(missing_ok=True)


@pytest.mark.parametrize("name", READERS)
def test_what_a_file_is_not_is_told_in_one_line(name, folder, tmp_path, capsys):
    for what, words in _refusals(name, folder, tmp_path):
        assert "\n" not in words and words.startswith(f"{tmp_path / Path(name).name}: "), (what, words)
        says_it_all = what in ("a folder", "no file") or name.endswith(".png")
        assert words.endswith(")") or says_it_all, f"{what}: no mend in {words!r}"
        assert len(words) < len(str(tmp_path)) + 400, what
    assert "executed" not in capsys.readouterr().out


def test_the_table_knows_all_files():
    """Every file that the catalogue has of these models is in the table, or is of a kind that is."""
    from facecli import registry

    known = {Path(name).name for name in READERS}
    same = {"mb05_120x120.pth", "resnet22.pth", "facemodel_info.mat"}  # facemodel_info.mat: test_morphable_bfm.py
    for plugin in ("deep3d", "synergynet", "3ddfa_v2", "faceboxes"):
        described = registry.plugin(plugin)
        for asset in (*described.assets, *described.optional_assets):
            assert asset.filename in known | same, asset.filename
