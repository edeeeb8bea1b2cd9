"""EMOCA's models on disk: folders, cfg.yaml, which checkpoint, and what is in it."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import torch

from facecli.assets import places
from facecli.errors import FacecliError, InputError, MissingAssetError, UsageError
from facecli_emoca import checkpoint as models
from facecli_emoca.convert import convert_model
from facecli_emoca.encoder import ExpressionOutputs
from facecli_emoca.files import DEFAULT_MODEL
from standins.checkpoints import flat_state
from standins.write import EMOCA_CFG, save_lightning

CHOICES = json.loads((Path(__file__).parents[1] / "golden/emoca/checkpoint_choice.json").read_text())
CHOICES = [case for case in CHOICES if case["files"]]  # without files upstream has no word for it
NAMED = "detail/checkpoints/deca-epoch=01-val_loss/dataloader_idx_0=3.25000000.ckpt"


@pytest.fixture
def place(own_assets) -> Path:
    return own_assets


def state(rows: int | None = 50, detail: bool = True) -> dict[str, torch.Tensor]:
    """A checkpoint's networks, with `rows` numbers from the encoder for expressions."""
    names = ["E_flame"] + ["E_expression"] * bool(rows) + ["E_detail", "D_detail"] * detail
    found = {}
    for name in names:
        found |= flat_state("emoca/manifest_expdeca_detail.json", start=f"deca.{name}.")
    if rows:
        found["deca.E_expression.layers.2.weight"] = torch.full((), 0.25).expand(rows, 1024)
        found["deca.E_expression.layers.2.bias"] = torch.full((), 0.25).expand(rows)
    return found


def write(folder: Path, content: dict, cfg: str | None = EMOCA_CFG, name: str = NAMED) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    save_lightning({"epoch": 1, "state_dict": content}, path)
    if cfg is not None:
        (folder / "cfg.yaml").write_text(cfg)
    places.rescan()
    return path


def refusal(call, *words) -> str:
    with pytest.raises(FacecliError) as caught:
        call()
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message
    return message


# --- which checkpoint ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", CHOICES, ids=lambda case: f"{len(case['files'])} files")
@pytest.mark.parametrize("word", ["best", "latest"])
def test_the_official_choice(word, case):
    paths = [Path(name) for name in case["files"]]
    if str(case[word]).startswith("error"):
        with pytest.raises(FileNotFoundError):
            models.choose(paths, word)
    else:
        assert str(models.choose(paths, word)) == case[word]


def touch(folder: Path, *names: str) -> list[Path]:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")
    return [folder / name for name in names]


def test_by_number_and_by_file(tmp_path):
    first, last = touch(tmp_path, "detail/checkpoints/a/x=2.0.ckpt", "detail/checkpoints/last.ckpt")
    assert models.find_checkpoint(tmp_path, 0) == models.find_checkpoint(tmp_path, "0") == first
    assert models.find_checkpoint(tmp_path, "-1") == models.find_checkpoint(tmp_path, "latest") == last
    assert models.find_checkpoint(tmp_path, str(last)) == last
    refusal(lambda: models.find_checkpoint(tmp_path, "2"), "there is no checkpoint 2: the model has 2")
    refusal(lambda: models.find_checkpoint(tmp_path, "newest"), "'newest' is neither best, latest, a number nor a file")


def test_the_only_one_is_taken_whatever_its_name(tmp_path):
    (only,) = touch(tmp_path, "checkpoints/last.ckpt")
    assert models.find_checkpoint(tmp_path) == only
    touch(tmp_path, "checkpoints/other.ckpt")
    refusal(lambda: models.find_checkpoint(tmp_path), str(tmp_path), "says its loss in its name", "latest")


def test_the_detail_stage_counts(tmp_path):
    (coarse,) = touch(tmp_path, "coarse/checkpoints/x=0.1.ckpt")
    refusal(lambda: models.find_checkpoint(tmp_path), "holds the coarse stage only")
    assert models.find_checkpoint(tmp_path, detail=False) == coarse
    (detail,) = touch(tmp_path, "detail/checkpoints/x=9.9.ckpt")
    assert models.find_checkpoint(tmp_path) == models.find_checkpoint(tmp_path, detail=False) == detail
    refusal(lambda: models.find_checkpoint(tmp_path / "none"), "holds no *.ckpt")


# --- cfg.yaml --------------------------------------------------------------------------------------------------------


def test_scalars_as_they_are_meant():
    values = {"1e-4": 1e-4, "5e-05": 5e-5, "True": True, "no": False, "null": None, "gt": "gt", "nan": "nan", 3: 3}
    assert {key: models.plain(key) for key in values} == values


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("true", "input"),
        ("false", "black"),
        ("input", "input"),
        ("'black'", "black"),
        ("none", "none"),
        ("null", "input"),
    ],
)
def test_background(text, wanted, tmp_path):
    path = tmp_path / "cfg.yaml"
    path.write_text(EMOCA_CFG.replace("background_from_input: true", f"background_from_input: {text}"))
    assert models.read_settings(path).background == wanted


def test_switches_and_class(tmp_path):
    path = tmp_path / "cfg.yaml"
    path.write_text(EMOCA_CFG.replace("jaw_pose: false", "jaw_pose: 'true'"))
    assert models.read_settings(path) == models.Settings(True, False, True, "input")
    path.write_text("detail: {model: {deca_class: DECA, expression_backbone: deca_parallel, n_exp: 5e1}}")
    assert models.read_settings(path) == models.Settings(has_expression=False)
    path.write_text("model: {}")
    assert models.read_settings(path) == models.Settings()


@pytest.mark.parametrize(
    ("cfg", "words"),
    [
        ("", "is empty (0 bytes)"),
        ("detail: [", "is no YAML"),
        ("a: 1", "has no entry detail.model"),
        ("just text", "has no entry detail.model"),
        ("detail: {model: {deca_class: EmicaModule}}", "is a model of class EmicaModule; facecli has ExpDECA and DECA"),
        (EMOCA_CFG.replace("deca_clone", "emonet_trainable"), "has expression_backbone emonet_trainable; facecli has"),
        (EMOCA_CFG.replace("n_shape: 100", "n_shape: 300"), "its model has n_shape 300; facecli has EMOCA with 100"),
        (EMOCA_CFG + "    detail_conditioning: [jawpose, identity]\n", "its wrinkles depend on jawpose, identity;"),
        (EMOCA_CFG + "    detail_conditioning_type: adain\n", "detail_conditioning_type adain"),
        ("model: {background_from_input: blue}", "its background_from_input is blue"),
        ("a: !!python/object/apply:os.mkdir [ran]", "is no YAML"),
    ],
)
def test_settings_that_are_refused(cfg, words, tmp_path):
    path = tmp_path / "cfg.yaml"
    path.write_text(cfg)
    refusal(lambda: models.read_settings(path), str(path), words)
    assert not (tmp_path / "ran").exists() and not Path("ran").exists()


# --- folders ---------------------------------------------------------------------------------------------------------


def test_the_folder_of_all_models_is_not_the_first_model(official):
    """Of EMOCA/models/EMOCA_v2_lr_mse_20 the outermost is called as version 1 is."""
    assert (official / "EMOCA").is_dir()
    refusal(lambda: models.find_model_folder("EMOCA"), "EMOCA is missing", "facecli assets get emoca_v1")


def test_the_official_model_is_found_and_loaded(official):
    assert models.available_models() == [DEFAULT_MODEL]
    model = models.load_model(fused=False)
    assert (model.name, model.background, model.path.name) == (
        DEFAULT_MODEL,
        "input",
        "dataloader_idx_0=3.25273848.ckpt",
    )
    raw = models.network_state(models.read_checkpoint(model.path))
    found = model.networks.state_dict()
    assert set(found) == set(raw) and all(torch.equal(found[key], value) for key, value in raw.items())
    assert not model.networks.training and model.networks.wrinkles is model.networks.D_detail


def test_folders_by_name_and_by_path(place, tmp_path):
    write(place / "zips/my_model", state(detail=False))
    write(tmp_path / "elsewhere", state(detail=False))
    assert models.available_models() == ["my_model"]
    for variant, name in (("my_model", "my_model"), (tmp_path / "elsewhere", "elsewhere"), ("elsewhere", "elsewhere")):
        assert models.load_model(variant, detail=False).name == name


def test_models_that_are_not_here(place):
    refusal(models.load_model, f"{DEFAULT_MODEL} is missing", "facecli assets get emoca_v2_lr_mse_20")
    with pytest.raises(MissingAssetError):
        models.load_model("EMOCA")
    message = refusal(lambda: models.load_model("EMOKA"), "no model 'EMOKA'", "EMOCA_v2_mp")
    assert "my_model" not in message
    with pytest.raises(UsageError):
        models.load_model("/no/such/folder")


@pytest.mark.parametrize("cfg", [None, ""])
def test_without_settings_the_shapes_decide(cfg, place):
    write(place / DEFAULT_MODEL, state(56, detail=False), cfg)
    model = models.load_model(detail=False)
    assert model.networks.outputs == ExpressionOutputs(True, True) and model.background == "input"


def test_without_settings_a_single_rotation_stays_unclear(place):
    path = write(place / DEFAULT_MODEL, state(53, detail=False), None)
    refusal(lambda: models.load_model(detail=False), str(path), "only cfg.yaml can tell which", "exp_deca_jaw_pose")


@pytest.mark.parametrize("switch", ["jaw_pose", "global_pose"])
def test_with_settings_it_is_clear(switch, place):
    cfg = EMOCA_CFG.replace(f"{switch}: false", f"{switch}: true")
    write(place / DEFAULT_MODEL, state(53, detail=False), cfg)
    assert models.load_model(detail=False).networks.outputs == ExpressionOutputs(**{switch: True})


def test_deca_in_emocas_form(place):
    write(place / "DECA", state(None, detail=False), "detail: {model: {deca_class: DECA}}")
    model = models.load_model("DECA", detail=False)
    assert model.name == "DECA" and model.networks.E_expression is None
    codes = model.networks.encode(torch.rand(1, 3, 224, 224))
    assert codes["expression"].shape == (1, 50) and "detail" not in codes


# --- what is in it ---------------------------------------------------------------------------------------------------


def test_the_rest_of_a_checkpoint_is_left_alone(place):
    content = state(detail=False)
    content |= {
        "deca.flame.v_template": torch.ones(5, 3),
        "emonet_loss.x": torch.ones(1),
        "deca.id_loss.y": torch.ones(2),
    }
    write(place / DEFAULT_MODEL, content)
    assert models.load_model(detail=False).networks.E_flame.layers[2].bias.eq(0.25).all()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda s: {"E_flame": s}, "holds DECA's weights, not EMOCA's"),
        (lambda s: {"smirk_encoder.x": torch.ones(1)}, "holds SMIRK's weights, not EMOCA's"),
        (lambda s: {"state_dict": {**s, "deca.E_mica.x": torch.ones(1)}}, "holds EMICA, whose shape comes from MICA"),
        (lambda s: {"x": 1}, "holds no weights of EMOCA's networks"),
    ],
)  # fmt: skip
def test_other_systems(change, words, tmp_path):
    path = tmp_path / "x.ckpt"
    torch.save(change(state(detail=False)), path)
    refusal(lambda: models.load_networks(path, detail=False), str(path), words)


def test_other_backbones_and_what_does_not_fit(tmp_path):
    def refused(content, *words, settings=None):
        save_lightning({"state_dict": content}, path := tmp_path / "x.ckpt")
        refusal(lambda: models.load_networks(path, settings), str(path), *words)

    content = state()
    refused(content | {"deca.E_expression.resnet.encoder.conv1.weight": torch.ones(1)}, "isn't deca_clone", "resnet")
    refused(state(60), "E_expression.layers.2.weight has the shape [60, 1024], not [50, 1024]")
    lacking = {key: value for key, value in content.items() if not key.startswith("deca.D_detail.conv_blocks.21")}
    refused(lacking, "doesn't fit EMOCA's networks: it lacks 2 of the network's", "D_detail.conv_blocks.21.weight")
    says_so = models.Settings(has_expression=True)
    refused(state(None), "holds no encoder for expressions, though cfg.yaml says so", settings=says_so)


def test_cut_empty_and_hostile_checkpoints(tmp_path):
    class Hostile:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "ran"),)

    path = tmp_path / "x.ckpt"
    save_lightning({"state_dict": state(detail=False)}, path)
    path.write_bytes(path.read_bytes()[:-1000])
    refusal(lambda: models.load_networks(path), str(path), "is cut")
    path.write_bytes(b"")
    refusal(lambda: models.load_networks(path), str(path), "is empty (0 bytes)")
    save_lightning({"state_dict": state(detail=False), "x": Hostile()}, path)
    refusal(lambda: models.load_networks(path), str(path), "is refused: besides weights it asks for posix.mkdir")
    assert not (tmp_path / "ran").exists()


# --- conversion ------------------------------------------------------------------------------------------------------


def test_conversion_keeps_the_networks_alone(tmp_path):
    content = state() | {"deca.flame.v_template": torch.ones(5, 3)}
    write(tmp_path / "model", content)
    convert_model(tmp_path / "model", tmp_path / "small")
    assert (tmp_path / "small/cfg.yaml").read_text() == EMOCA_CFG
    found = torch.load(tmp_path / "small" / NAMED, weights_only=True, mmap=True)
    assert list(found) == ["state_dict"] and set(found["state_dict"]) == set(state())
    assert all(torch.equal(found["state_dict"][key], value) for key, value in state().items())


def test_conversion_of_something_else(tmp_path):
    write(tmp_path / "model", {"x": torch.ones(1)})
    with pytest.raises(InputError, match="holds no networks of EMOCA"):
        convert_model(tmp_path / "model", tmp_path / "small")
