"""`facecli assets convert`: what comes out holds the same numbers, and models find it in the original's stead."""

from __future__ import annotations

import os
import pickle
from dataclasses import astuple

import numpy as np
import pytest
from typer.testing import CliRunner

from facecli.assets import convert, importing, places, store
from facecli.assets.catalogue import Asset
from facecli.cli.assets import app
from facecli.errors import InputError, MissingAssetError, PluginError, UsageError
from facecli.morphable import files
from facecli.morphable.albedo_files import convert_bfm_albedo, convert_flame_texture

NUMBERS = Asset("numbers", "numbers.txt", convert="test_assets_convert:to_npz", converted="numbers.npz")


def to_npz(source, target):
    """A converter of the tests' own."""
    text = source.read_text()
    if text == "nonsense":
        raise InputError(source, "holds nonsense")
    if text == "forgets":
        return target.write_bytes(b"no archive")
    return np.savez(target, numbers=np.array(text.split(), float))


def put(folder, text="1 2 3", name="numbers.txt"):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text)
    places.rescan()
    return folder / name


def age(path, seconds):
    """Set the time of change to `seconds` from now."""
    when = path.stat().st_mtime_ns + int(seconds * 1e9)
    os.utime(path, ns=(when, when))


@pytest.fixture(autouse=True)
def catalogue(known):
    known(NUMBERS)


def test_converted_file_is_found_and_the_original_stays(tmp_path):
    source = put(tmp_path / "work" / "assets")
    made = convert.convert(NUMBERS, source.parent)
    assert made == source.with_name("numbers.npz") and np.load(made)["numbers"].tolist() == [1, 2, 3]
    assert store.require(NUMBERS) == made and source.exists()
    assert {path.name for path in source.parent.iterdir()} == {"numbers.txt", "numbers.npz"}
    before = made.stat().st_mtime_ns
    assert convert.convert(NUMBERS, source.parent) == made and made.stat().st_mtime_ns == before
    source.unlink()
    places.rescan()
    assert store.require(NUMBERS) == made


def test_newer_original_beside_it_counts(tmp_path):
    source = put(places.data_folder())
    made = convert.convert(NUMBERS)
    source.write_text("4 5")
    age(source, 10)
    assert store.require(NUMBERS) == source
    assert convert.convert(NUMBERS) == made and np.load(made)["numbers"].tolist() == [4, 5]
    age(source, -20)
    assert store.require(NUMBERS) == made


def test_original_in_an_earlier_place_counts_and_that_is_said(tmp_path, monkeypatch):
    """Whoever names a folder in FACECLI_ASSETS means what lies there."""
    source = put(tmp_path / "shared")
    monkeypatch.setenv(places.FOLDERS_VARIABLE, str(source.parent))
    result = CliRunner().invoke(app, ["convert", "numbers"])
    assert result.exit_code == 0 and result.stdout == f"{places.data_folder() / 'numbers.npz'}\n"
    assert f"{source} comes before it: say --to {source.parent}" in result.stderr
    assert store.require(NUMBERS) == source
    result = CliRunner().invoke(app, ["convert", "--to", str(source.parent)])
    assert result.exit_code == 0 and not result.stderr
    assert store.require(NUMBERS) == source.with_name("numbers.npz")


@pytest.mark.parametrize(("text", "error"), [("nonsense", InputError), ("forgets", PluginError)])
def test_failed_conversion_leaves_nothing(text, error):
    put(places.data_folder(), text)
    with pytest.raises(error):
        convert.convert(NUMBERS)
    assert {path.name for path in places.data_folder().iterdir()} == {"numbers.txt"}


def test_what_cannot_be_converted(known):
    with pytest.raises(MissingAssetError, match=r"numbers\.txt is missing"):
        convert.convert(NUMBERS)
    plain = Asset("plain", "plain.bin")
    known(plain)
    with pytest.raises(UsageError, match="nothing to convert"):
        convert.convert(plain)
    broken = Asset("numbers", "numbers.txt", convert="test_assets_convert:nothing", converted="numbers.npz")
    put(places.data_folder())
    with pytest.raises(PluginError, match="can't be imported"):
        convert.convert(broken)
    with pytest.raises(ValueError, match="belong together"):
        Asset("x", "x", convert="a:b")


def test_nothing_here_is_said():
    result = CliRunner().invoke(app, ["convert"])
    assert result.exit_code == 0 and "none of the files" in result.stderr


def test_converted_file_can_be_imported(tmp_path):
    put(tmp_path)
    made = convert.convert(NUMBERS, tmp_path / "made") if put(places.data_folder()) else None
    (places.data_folder() / "numbers.txt").unlink()
    (taken,) = importing.import_file(made)
    assert taken.path == places.data_folder() / "numbers.npz" and store.require(NUMBERS) == taken.path


# ------------------------------------------------------------------------------------------------ FLAME's files


def test_flame_keeps_every_number(known):
    from facecli.morphable.flame_files import read_flame
    from standins.flame import toy_flame

    known(files.FLAME)
    source = places.data_folder() / "generic_model.pkl"
    source.parent.mkdir()
    source.write_bytes(pickle.dumps(toy_flame(), protocol=2))
    made = convert.convert(files.FLAME)
    assert store.require(files.FLAME) == made and made.name == "flame2020.npz"
    assert made.stat().st_size < 0.5 * source.stat().st_size
    for before, after in zip(astuple(read_flame(source)), astuple(read_flame(made)), strict=True):
        assert before is after is None or np.array_equal(before, after)


def test_something_else_is_no_flame(known):
    known(files.FLAME)
    put(places.data_folder(), name="generic_model.pkl", text="")
    (places.data_folder() / "generic_model.pkl").write_bytes(pickle.dumps({"v_template": np.zeros((5023, 3))}))
    with pytest.raises(InputError, match=r"generic_model\.pkl: is not FLAME"):
        convert.convert(files.FLAME)
    assert {path.name for path in places.data_folder().iterdir()} == {"generic_model.pkl"}


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("columns", [70, 20])
def test_albedo_keeps_the_components_that_are_used(tmp_path, order, columns, monkeypatch):
    monkeypatch.setattr("facecli.morphable.albedo_files._BLOCK", 5000)  # several blocks
    rng = np.random.default_rng(5)
    mean, components = rng.random((16, 16, 3)), np.asarray(rng.random((16, 16, 3, columns)), order=order)
    np.savez(tmp_path / "bfm.npz", MU=mean, PC=components, specMU=mean)
    convert_bfm_albedo(tmp_path / "bfm.npz", tmp_path / "made.npz")
    with np.load(tmp_path / "made.npz") as made:
        assert set(made.files) == {"MU", "PC"} and made["PC"].dtype == np.float32
        np.testing.assert_array_equal(made["MU"], mean.astype(np.float32))
        np.testing.assert_array_equal(made["PC"], components[..., :50].astype(np.float32))
    np.savez_compressed(tmp_path / "flame.npz", mean=mean.ravel(), tex_dir=components.reshape(-1, columns))
    convert_flame_texture(tmp_path / "flame.npz", tmp_path / "made.npz")
    with np.load(tmp_path / "made.npz") as made:
        np.testing.assert_array_equal(made["tex_dir"], components.reshape(-1, columns)[:, :50].astype(np.float32))


def test_albedo_of_something_else_is_one_line(tmp_path):
    rng = np.random.default_rng(5)
    np.savez(tmp_path / "other.npz", MU=np.zeros(3))
    np.savez(tmp_path / "misfit.npz", MU=np.zeros((4, 4, 3)), PC=np.zeros((5, 4, 3, 2)))
    np.savez(tmp_path / "whole.npz", MU=np.zeros((4, 4, 3)), PC=rng.random((4, 4, 3, 60)))
    (tmp_path / "cut.npz").write_bytes((tmp_path / "whole.npz").read_bytes()[:9000])
    (tmp_path / "text.npz").write_text("no archive")
    for name in ("other", "misfit", "cut", "text", "absent"):
        with pytest.raises(InputError, match=rf"{name}\.npz: ") as caught:
            convert_bfm_albedo(tmp_path / f"{name}.npz", tmp_path / "made.npz")
        assert "\n" not in str(caught.value) and not (tmp_path / "made.npz").exists()


# ------------------------------------------------------------------------------------------------ EMOCA's folders


def test_emoca_keeps_its_networks_and_drops_what_training_left(known, tmp_path):
    import torch

    from facecli_emoca.checkpoint import network_state, read_checkpoint
    from facecli_emoca.files import EMOCA_V2_LR_MSE
    from standins.write import EMOCA_CFG, save_lightning

    known(EMOCA_V2_LR_MSE)
    networks = {f"deca.{name}.layers.0.weight": torch.rand(64, 64) for name in ("E_flame", "E_expression", "E_detail")}
    rest = {"deca.flame.shapedirs": torch.rand(64, 64), "emonet_loss.fc.weight": torch.rand(64, 64)}
    folder = tmp_path / "work" / "assets" / "EMOCA" / "models" / "EMOCA_v2_lr_mse_20"
    path = "detail/checkpoints/deca-epoch=03-val_loss/dataloader_idx_0=3.25.ckpt"
    (folder / path).parent.mkdir(parents=True)
    (folder / "cfg.yaml").write_text(EMOCA_CFG)
    content = {"state_dict": networks | rest, "optimizer_states": [{"state": {0: torch.rand(400, 400)}}]}
    save_lightning(content, folder / path)
    assert convert.original(EMOCA_V2_LR_MSE) == folder

    result = CliRunner().invoke(app, ["convert", "emoca_v2_lr_mse_20", "--to", str(tmp_path / "work" / "assets")])
    assert result.exit_code == 0 and not result.stderr, result.output
    made = tmp_path / "work" / "assets" / "EMOCA_v2_lr_mse_20_networks"
    assert result.stdout == f"{made}\n" and store.require(EMOCA_V2_LR_MSE) == made
    assert (made / "cfg.yaml").read_text() == EMOCA_CFG
    assert (made / path).stat().st_size < 0.2 * (folder / path).stat().st_size
    kept = torch.load(made / path, weights_only=True)["state_dict"]
    assert set(kept) == set(networks) and all(torch.equal(kept[key], networks[key]) for key in networks)
    before, after = (network_state(read_checkpoint(where / path)) for where in (folder, made))
    assert set(before) == set(after)
    taken = [item for item in importing.import_path(made, tmp_path / "again") if isinstance(item, importing.Imported)]
    assert [item.path.name for item in taken] == ["EMOCA_v2_lr_mse_20_networks"]


def test_emoca_without_networks_is_one_line(known, tmp_path):
    import torch

    from facecli_emoca.files import EMOCA_V1

    known(EMOCA_V1)
    folder = places.data_folder() / "EMOCA"
    folder.mkdir(parents=True)
    (folder / "cfg.yaml").write_text("detail: {model: {deca_class: ExpDECA}}")
    torch.save({"state_dict": {"smirk_encoder.x": torch.zeros(3)}}, folder / "a.ckpt")
    places.rescan()
    with pytest.raises(InputError, match=r"a\.ckpt: "):
        convert.convert(EMOCA_V1)
    assert {path.name for path in places.data_folder().iterdir()} == {"EMOCA"}


# --- made of several files -------------------------------------------------------------------------------------------

LEFT, RIGHT = Asset("left", "left.txt", license="MIT", url="https://example.org/left.txt"), Asset("right", "right.txt")
BOTH = Asset("both", "both.txt", make="test_assets_convert:join", parts=(LEFT, RIGHT))


def join(parts, target):
    """A maker of the tests' own."""
    target.write_text(" ".join(parts[name].read_text() for name in ("left", "right")))


def test_a_file_is_made_of_its_parts(known, tmp_path):
    known(BOTH)
    left, right = put(tmp_path, "1", "left.txt"), put(places.data_folder(), "2", "right.txt")
    assert convert.make(BOTH, [left]).read_text() == "1 2"
    assert store.require(BOTH) == places.data_folder() / "both.txt" and left.exists() and right.exists()
    put(tmp_path / "new", "3", "right.txt")  # what is named counts more than what lies about
    made = CliRunner().invoke(app, ["convert", "both", str(left), str(tmp_path / "new"), "--to", str(tmp_path / "out")])
    assert made.exit_code == 0 and (tmp_path / "out/both.txt").read_text() == "1 3"


def test_parts_that_are_missing_or_none_are_told(known, tmp_path):
    known(BOTH)
    with pytest.raises(
        MissingAssetError, match=r"can't be made without right\.txt .*; left\.txt \(`facecli assets get left`\)"
    ):
        convert.make(BOTH)
    with pytest.raises(InputError, match="is no part of both"):
        convert.make(BOTH, [put(tmp_path, "1", "middle.txt")])
    with pytest.raises(InputError, match="no such file"):
        convert.make(BOTH, [tmp_path / "left.txt"])
    with pytest.raises(InputError, match=r"is empty"):
        convert.make(BOTH, [put(tmp_path, "", "left.txt"), put(tmp_path, "2", "right.txt")])
    with pytest.raises(UsageError, match="isn't made of other files"):
        convert.make(NUMBERS, [tmp_path])
    with pytest.raises(ValueError, match="belong together"):
        Asset("x", "x", make="a:b")
    assert "assets convert both" in store.how_to_get(BOTH)
    assert not places.data_folder().exists() or not list(places.data_folder().iterdir())
