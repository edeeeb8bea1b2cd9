"""Expressions among the Basel face's models, on stand-ins of the official files: within a model, between models whose
bases agree (:mod:`standins.basel`), and refusals where they don't."""

import dataclasses
import pickle

import numpy as np
import pytest
import torch

import facecli
from facecli import registry
from facecli.assets import places
from facecli.codes import Codes, load_codes, save_codes
from facecli.io.images import read_image, write_image
from facecli.io.video import VideoReader
from standins import tiny
from standins.basel import write_agreeing
from standins.write import WHITENING_V2

SIZES = {
    "synergynet": {"identity": 40, "expression": 10},
    "3ddfa_v2": {"identity": 40, "expression": 10},
    "deep3d": {"identity": 80, "expression": 64, "texture": 80},
}
FAMILIES = {"synergynet": "3ddfa", "3ddfa_v2": "3ddfa_v2", "deep3d": "deep3d"}
SCALES = {"synergynet": (1e5, 0.7), "3ddfa_v2": (1e5, 0.7), "deep3d": (0.7, 0.7)}
FACE = [(120, 80, 30, 38)]


@pytest.fixture(scope="module")
def models(standins, tmp_path_factory):
    """The three models, whose bases agree, as users get them from files."""
    folder = write_agreeing(standins, tmp_path_factory.mktemp("agreeing"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FACECLI_ASSETS", str(folder))
        places.rescan()
        loaded = {
            name: registry.reconstructor(name, **({"whitening": str(folder / WHITENING_V2)} if "v2" in name else {}))
            for name in SIZES
        }
        loaded["folder"] = folder
    places.rescan()
    return loaded


@pytest.fixture
def agreeing(models, official, monkeypatch):
    """facecli finds their files, and has them loaded already; it knows drawn faces, too."""
    monkeypatch.setenv("FACECLI_ASSETS", str(models["folder"]))
    places.rescan()
    known, make = registry.plugins() | tiny.plugins(), registry.reconstructor
    monkeypatch.setattr(registry, "plugins", lambda: known)
    monkeypatch.setattr(
        registry, "reconstructor", lambda name, **words: models[name] if name in SIZES else make(name, **words)
    )
    return models


def codes(model, seed, count=1):
    generator = torch.Generator().manual_seed(seed)
    values = {name: torch.randn(count, size, generator=generator) for name, size in SIZES[model].items()}
    for name, scale in zip(("identity", "expression"), SCALES[model], strict=True):
        values[name] *= scale / (1 if name == "expression" else 4)
    return Codes(values, model, FAMILIES[model])


@pytest.fixture
def stored(tmp_path):
    def write(model, seed, *, frames=None):
        path = tmp_path / f"{model}{seed}.npz"
        extras = {} if frames is None else {"time": np.arange(frames) / 25}
        save_codes(path, codes(model, seed, frames or 1), **extras)
        return path

    return write


@pytest.fixture
def photo(tmp_path):
    write_image(tmp_path / "one.png", tiny.picture(FACE, (240, 160)))
    return tmp_path / "one.png"


@pytest.fixture
def stills(tmp_path):
    """Words for two photographs that nobody gets to look at: there is nobody in them."""
    for name in ("a.png", "b.png"):
        write_image(tmp_path / name, tiny.picture([]))
    return tmp_path / "a.png", "-t", tmp_path / "b.png", "-o", tmp_path / "out"


@pytest.fixture
def clip(tmp_path):
    return tiny.write_clip(tmp_path / "clip.mp4", 3, lambda n: [(110 + 3 * n, 80, 30, 38)], (240, 160))


def frames_of(path):
    with VideoReader(path) as reader:
        return [frame.image for frame in reader]


# --- between models --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "target"), [("synergynet", "3ddfa_v2"), ("3ddfa_v2", "synergynet"), ("deep3d", "synergynet")]
)
def test_the_carried_expression_is_the_targets_surface(agreeing, stored, source, target):
    """Mean persons of both models with it lie on each other: whatever the unit, the origin, the number of coefficients,
    and the expression that is in the mean face."""
    ours, theirs = agreeing[source], agreeing[target]
    (face,) = facecli.transfer(stored(source, 1), stored(target, 2))
    own, taken, mixed = codes(source, 1), codes(target, 2), face.codes
    assert mixed.model == source
    for name, value in own.values.items():
        assert torch.equal(mixed[name], value) == (name != "expression"), name
    here = ours.decode(Codes({"identity": 0 * own["identity"], "expression": mixed["expression"]})).vertices[0]
    resting, there = (
        theirs.decode(Codes({"identity": torch.zeros(1, 40), "expression": share * taken["expression"]})).vertices[0]
        for share in (0, 1)
    )
    bases = [model.expression_basis().vertices for model in (ours, theirs)]
    _, rows, columns = np.intersect1d(*bases, return_indices=True)
    apart, moved = here[rows] - there[columns], float((there - resting).abs().max())
    assert moved > 0.5
    assert float((apart - apart.mean(0)).abs().max()) < 0.01 * moved


def test_targets_of_several_models_on_one_face(agreeing, cli, stored, tmp_path):
    """Codes alone. What agrees is told once; what doesn't is an error of its own pair, with numbers."""
    source, still, moving = stored("synergynet", 1), stored("3ddfa_v2", 2), stored("3ddfa_v2", 3, frames=3)
    further = stored("deep3d", 4)
    empty = tmp_path / "empty.npz"
    save_codes(empty, Codes({"identity": torch.zeros(1, 40)}, "3ddfa_v2", "3ddfa_v2"))
    words = [word for target in (still, moving, further, empty) for word in ("-t", target)]
    ran = cli("transfer", source, *words, "--save", "codes,animation", "-o", tmp_path / "out")
    assert ran.code == 1
    lines = [line for line in ran.err.splitlines() if "stays behind" in line]
    assert len(lines) == 1 and lines[0].startswith("expressions of 3ddfa_v2 on synergynet: 0.0% of the movement")
    assert len(ran.errors) == 2
    assert f"error: {source} with {empty}: codes of 3ddfa_v2 hold no expression" in ran.errors
    refusal = f"error: {source} with {further}: expressions of deep3d can't be carried over to synergynet: "
    (refused,) = [line for line in ran.errors if line.startswith(refusal)]
    assert refused.endswith("its 10 expressions can make, more than 25%")
    own = codes("synergynet", 1)
    for name, frames in (("3ddfa_v22", 1), ("3ddfa_v23", 3)):
        mixed = load_codes(tmp_path / f"out/synergynet1/{name}/face0/codes.npz").codes
        assert (mixed.model, mixed.family) == ("synergynet", "3ddfa")
        assert mixed["expression"].shape == (frames, 10) and not torch.equal(mixed["expression"], own["expression"])
        assert torch.equal(mixed["identity"], own["identity"].expand(frames, -1))
    taken = codes("3ddfa_v2", 3, 3)["expression"].numpy()
    moved = load_codes(tmp_path / "out/synergynet1/3ddfa_v23/face0/codes.npz").codes["expression"].numpy()
    matrix, *_ = np.linalg.lstsq(np.diff(taken, axis=0), np.diff(moved, axis=0), rcond=None)
    np.testing.assert_allclose(np.diff(taken, axis=0) @ matrix, np.diff(moved, axis=0), atol=1e-5)  # a linear map's
    picture = read_image(tmp_path / "out/synergynet1/3ddfa_v22/animation.jpg")
    assert picture.shape == (320, 4 * 320, 3)
    assert picture[:, 640:960].max() > 60  # the target's tile: by its own model


def test_photographs_of_two_models(agreeing, cli, photo, clip, tmp_path):
    """Each model finds and reads its own; Deep3D's light, colours and pose stay."""
    words = ("--model", "deep3d", "--target-model", "3ddfa_v2", "--landmarker", "blobs", "--save", "codes,animation")
    ran = cli("transfer", photo, "-t", photo, "-t", clip, *words, "-o", tmp_path / "out", "--quiet")
    assert ran.code == 0 and ran.err == ""
    cli("reconstruct", photo, "-m", "deep3d", "--landmarker", "blobs", "--save", "codes", "-o", tmp_path / "own")
    own = load_codes(tmp_path / "own/one/face0/codes.npz").codes
    for name, frames in (("one", 1), ("clip", 3)):
        mixed = load_codes(tmp_path / f"out/one/{name}/face0/codes.npz").codes
        assert mixed["expression"].shape == (frames, 64)
        for code in ("identity", "texture", "light", "pose", "camera"):
            np.testing.assert_allclose(mixed[code], own[code].expand_as(mixed[code]), atol=1e-5, err_msg=code)
        assert (mixed["expression"] - own["expression"]).abs().max() > 0.05
    assert len(frames_of(tmp_path / "out/one/clip/animation.mp4")) == 3


def test_only_expressions_go_over(agreeing, cli, stored, tmp_path):
    source, target = stored("3ddfa_v2", 1), stored("synergynet", 2)
    ran = cli("transfer", source, "-t", target, "--take", "expression,camera", "-o", tmp_path / "out")
    assert ran.code == 1 and len(ran.errors) == 1
    assert "of synergynet's codes 3ddfa_v2 can take the expression alone, not the camera" in ran.errors[0]
    assert not (tmp_path / "out").exists()


def test_a_basis_that_lacks_something_is_refused_before_anything_is_opened(agreeing, cli, stills):
    ran = cli("transfer", *stills, "--model", "3ddfa_v2", "--target-model", "deep3d")
    assert ran.code == 2 and len(ran.errors) == 1
    assert ran.errors[0].startswith("error: expressions of deep3d can't be carried over to 3ddfa_v2: ")
    ran = cli("transfer", *stills, "--model", "deep3d", "--target-model", "smirk")
    assert ran.code == 2 and ran.errors == [
        "error: deep3d and smirk can't be mixed: their codes are of different families, deep3d and flame (deep3d goes "
        "with 3ddfa_v2 and synergynet where their bases agree)"
    ]


def test_what_is_missing_is_told(agreeing, cli, stills, tmp_path, monkeypatch):
    """Which vertices the models' are, and 3DDFA_V2's face model."""
    from facecli_deep3d.reconstructor import bfm_assets
    from facecli_tddfa_v2 import files

    (tmp_path / "none").mkdir()
    monkeypatch.setenv("FACECLI_ASSETS", str(tmp_path / "none"))
    places.rescan()
    for model, asset in (("deep3d", bfm_assets.FRONT_VERTICES), ("3ddfa_v2", files.INDICES)):
        ran = cli("transfer", *stills, "--model", "synergynet", "--target-model", model)
        assert ran.code == 3 and len(ran.errors) == 1
        assert f"expressions of {model} can't be carried over to synergynet: {asset.filename} is missing" in ran.err
        assert f"facecli assets get {asset.name}" in ran.err
    from facecli.errors import UsageError

    monkeypatch.setattr(agreeing["3ddfa_v2"], "no_mesh", UsageError("geometry=no gives head poses alone"))
    ran = cli("transfer", *stills, "--model", "synergynet", "--target-model", "3ddfa_v2")
    assert ran.code == 2
    assert ran.errors == [
        "error: expressions of 3ddfa_v2 can't be carried over to synergynet: geometry=no gives head poses alone"
    ]


def test_unrelated_meshes_are_refused(agreeing, standins, cli, stills, monkeypatch):
    """The stand-ins as they are: other faces, that only number their vertices alike."""
    content = pickle.loads((standins / "configs/bfm_noneck_v3.pkl").read_bytes())
    model = agreeing["3ddfa_v2"]
    other = dataclasses.replace(model.expression_basis(), mean=content["u"].reshape(-1, 3))
    monkeypatch.setattr(model, "expression_basis", lambda: other)
    ran = cli("transfer", *stills, "--model", "synergynet", "--target-model", "3ddfa_v2")
    assert ran.code == 2 and len(ran.errors) == 1
    assert "faces at rest are" in ran.errors[0] and ran.errors[0].endswith("these aren't the same mesh")


# --- within a model --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("model", "finder"), [("deep3d", "--landmarker=blobs"), ("3ddfa_v2", "--detector=reds")])
def test_photographs_and_a_video_within_a_model(agreeing, cli, photo, clip, tmp_path, model, finder):
    words = ("--model", model, finder)
    ran = cli("transfer", photo, "-t", photo, "-t", clip, *words, "--save", "codes,animation", "-o", "out")
    assert ran.code == 0 and "stays behind" not in ran.err, ran.err
    made = cli("reconstruct", photo, clip, *words, "--save", "codes", "-o", "own")
    assert made.code == 0, made.err
    own = {name: load_codes(tmp_path / f"own/{name}/face0/codes.npz").codes for name in ("one", "clip")}
    for target in ("one", "clip"):
        mixed = load_codes(tmp_path / f"out/one/{target}/face0/codes.npz").codes
        for name, value in mixed.values.items():
            whose = own[target if name == "expression" else "one"][name]
            np.testing.assert_allclose(value, whose.expand_as(value), rtol=1e-4, atol=1e-4, err_msg=name)
    assert read_image(tmp_path / "out/one/one/animation.jpg").shape == (320, 1600, 3)
    assert len(frames_of(tmp_path / "out/one/clip/animation.mp4")) == 3


def test_the_teaser_needs_jaws(agreeing, cli, stills):
    ran = cli("transfer", *stills, "--model", "deep3d", "--teaser")
    assert ran.code == 2 and "opens jaws, which the model deep3d has no code for" in ran.errors[0]
