"""Faces of FLAME's models with expressions of others, on stand-ins of the official files."""

import itertools

import cv2
import numpy as np
import pytest
import torch

from facecli.codes import Codes, load_codes, save_codes
from facecli.export.glb import read_glb
from facecli.geometry.rotations import axis_angle_to_matrix
from facecli.io.images import read_image
from facecli.io.video import VideoReader
from facecli.reenactment.teaser import FRAMES, YAWS, acted, length, turned

SIZES = {"identity": 100, "expression": 50, "pose": 3, "jaw": 3, "camera": 3}
OF_MODELS = {
    "smirk": {"identity": 300, "eyelids": 2},
    "deca": {"texture": 50, "light": 27, "detail": 128},
    "emoca": {"texture": 50, "light": 27, "detail": 128},
}


def codes(model, seed, count=1):
    generator = torch.Generator().manual_seed(seed)
    sizes = SIZES | OF_MODELS[model]
    values = {name: 0.2 * torch.randn(count, size, generator=generator) for name, size in sizes.items()}
    values["pose"] *= 0.2
    values["jaw"] = values["jaw"] * torch.tensor([0.5, 0.05, 0.05])
    values["camera"] = torch.tensor([7.5, 0.0, 0.02]).expand(count, 3).clone()
    if "light" in values:
        values["light"] = values["light"].reshape(count, 9, 3) + torch.tensor([3.0] + [0.0] * 8)[:, None]
    values["warp"] = torch.eye(3).expand(count, 3, 3).clone()
    values["photo_size"] = torch.tensor([224.0, 224.0]).expand(count, 2).clone()
    return Codes(values, model, "flame")


@pytest.fixture
def stored(tmp_path):
    """Writes a file of codes."""

    def write(name, model, seed, *, frames=None):
        path = tmp_path / f"{name}.npz"
        extras = {} if frames is None else {"time": np.arange(frames) / 25}
        save_codes(path, codes(model, seed, frames or 1), **extras)
        return path

    return write


def test_a_smirk_face_with_decas_expressions(official, cli, stored, tmp_path):
    source = stored("source", "smirk", 1)
    still, moving = stored("still", "deca", 2), stored("moving", "deca", 3, frames=5)
    other, foreign = stored("other", "emoca", 4), tmp_path / "foreign.npz"
    save_codes(foreign, Codes({"surface": torch.zeros(1, 478, 3)}, "mediapipe", "mediapipe"))
    words = ("transfer", source, "-t", still, "-t", moving, "-t", other, "-t", foreign, "--save", "codes,glb,animation")
    ran = cli(*words, "-o", tmp_path / "out")
    assert ran.code == 1
    assert ran.errors == [
        f"error: {source} with {foreign}: smirk and mediapipe can't be mixed: their codes are of different families, "
        "flame and mediapipe (smirk goes with deca and emoca)"
    ]
    own = codes("smirk", 1)
    for name, model, seed, frames in (("still", "deca", 2, 1), ("moving", "deca", 3, 5), ("other", "emoca", 4, 1)):
        theirs = codes(model, seed, frames)
        mixed = load_codes(tmp_path / "out/source" / name / "face0/codes.npz").codes
        assert mixed.model == "smirk"
        for code, value in mixed.values.items():
            expected = theirs[code] if code in ("expression", "jaw") else own[code].expand_as(value)
            np.testing.assert_array_equal(value, expected, err_msg=f"{name} {code}")
    assert read_image(tmp_path / "out/source/still/animation.jpg").shape == (320, 1280, 3)
    with VideoReader(tmp_path / "out/source/moving/animation.mp4") as reader:
        assert len(list(reader)) == 5
    assert len(read_glb(tmp_path / "out/source/moving/face0/mesh.glb").vertices) >= 5023
    again = cli("transfer", source, "-t", still, "--take", "light", "-o", tmp_path / "light")
    assert again.errors == [
        f"error: {source} with {still}: the source's model has no code 'light'; it has identity, expression, pose, "
        "jaw, eyelids, camera"
    ]


def test_decas_wrinkles_follow_and_lids_are_left_out(official, cli, stored, tmp_path):
    source, target = stored("source", "deca", 5), stored("target", "smirk", 6)
    words = ("--save", "codes,detail", "-o", tmp_path / "out")
    ran = cli("transfer", source, "-t", source, "-t", target, *words)
    assert ran.code == 0, ran.err
    own, moved = (tmp_path / f"out/source/{name}/face0" for name in ("source", "target"))
    mixed = load_codes(moved / "codes.npz").codes
    assert "eyelids" not in mixed
    np.testing.assert_array_equal(mixed["detail"], codes("deca", 5)["detail"])
    np.testing.assert_array_equal(mixed["jaw"], codes("smirk", 6)["jaw"])
    for name, value in load_codes(own / "codes.npz").codes.values.items():  # with itself: as it was
        np.testing.assert_array_equal(value, codes("deca", 5)[name])
    wrinkles = [cv2.imread(str(folder / "mesh_displacement.tif"), cv2.IMREAD_UNCHANGED) for folder in (own, moved)]
    assert wrinkles[0].dtype == np.float32
    assert np.abs(wrinkles[0] - wrinkles[1]).max() > 0.001  # millimetres: the stand-in's are small


# --- the teaser ------------------------------------------------------------------------------------------------------


def test_heads_turn_as_in_decas_teaser():
    assert YAWS[:8] == (0, 5, 10, 15, 20, 25, 30, 25)
    assert YAWS[17:] == (-25, -30, -25, -20, -15, -10, -5)
    assert len(YAWS) == FRAMES == 24
    found = turned(codes("deca", 1), 26)
    assert found["camera"].tolist() == [[8, 0, 0]] * 26
    turns = axis_angle_to_matrix(found["pose"]).numpy()
    angles = np.rad2deg(np.arctan2(turns[:, 0, 2], turns[:, 0, 0]))  # about y
    np.testing.assert_allclose(angles, [*YAWS, 0, 5], atol=1e-4)
    for name in ("identity", "expression", "jaw", "detail"):
        assert torch.equal(found[name], codes("deca", 1)[name].expand_as(found[name]))


@pytest.mark.parametrize(("count", "frames"), [(1, 24), (4, 24), (9, 24), (12, 27)])
def test_any_number_of_expressions(count, frames):
    """DECA's own program crashes with more than nine, and leaves frames empty with fewer."""
    own, given = codes("deca", 1), [codes("deca", 10 + n) for n in range(count)]
    assert length(count) == frames
    found = acted(own, given, frames)
    assert len(found) == frames
    assert not found["pose"].any()
    np.testing.assert_allclose(np.rad2deg(found["jaw"][:15, 0]), np.arange(15) * 2, atol=1e-4)
    assert not found["jaw"][:15, 1:].any()
    assert torch.equal(found["expression"][:15], own["expression"].expand(15, -1))
    seen = [[torch.equal(row, one["expression"][0]) for one in given].index(True) for row in found["expression"][15:]]
    assert sorted(set(seen)) == list(range(count))
    assert seen == sorted(seen)
    if count == 9:
        assert seen == list(range(9))


def test_the_teaser_is_written_once(official, cli, stored, tmp_path):
    source = stored("me", "smirk", 1)
    targets = [stored("a", "deca", 3), stored("b", "smirk", 4)]
    words = ("transfer", source, "--teaser", "-t", targets[0], "-t", targets[1], "-o", tmp_path / "out", "--json")
    ran = cli(*words)
    assert ran.code == 0, ran.err
    folder = tmp_path / "out/teaser"
    with VideoReader(folder / "teaser.mp4") as reader:
        frames = [frame.image.astype(int) for frame in reader]
    assert len(frames) == 24
    assert frames[0].shape == (224, 896, 3)
    tiles = [[frame[:, start : start + 224] for frame in frames] for start in (0, 224, 448, 672)]
    changes = [[np.abs(a - b).mean() for a, b in itertools.pairwise(tile)] for tile in tiles]
    assert max(changes[0]) < 1
    assert max(changes[1]) < 1
    assert min(changes[2]) > 0.3  # it turns all the time
    assert max(changes[3][15:19]) < 0.3 < changes[3][19] + changes[3][14]  # two expressions, of five and four frames
    assert (folder / "teaser.gif").read_bytes()[:6] == b"GIF89a"
    assert sorted(path.name for path in folder.iterdir()) == ["faces.jsonl", "run.json", "teaser.gif", "teaser.mp4"]
    time = (folder / "teaser.mp4").stat().st_mtime_ns
    again = cli(*words)
    assert again.out == ran.out
    assert (folder / "teaser.mp4").stat().st_mtime_ns == time
