"""EMOCA's models on disk: the folder of a model, its settings, which of its checkpoints, and that into networks."""

from __future__ import annotations

import glob
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import yaml

from facecli.assets import places
from facecli.assets.store import require
from facecli.errors import InputError, MissingAssetError, UsageError
from facecli.io.filetypes import check_file, input_error
from facecli.nn.checkpoints import Checkpoint, State, system_of
from facecli.nn.fuse import fuse
from facecli_deca.encoder import N_DETAIL, SIZES
from facecli_emoca import files
from facecli_emoca.encoder import COARSE, DETAIL, EmocaNetworks, ExpressionOutputs

CFG = "cfg.yaml"
PREFIX = "deca."
CHECKPOINTS = "**/*.ckpt"
_STAGES = ("detail/checkpoints", "checkpoints", "")  # where a model's checkpoints may be; the official place first
# Classes that Lightning has for keys in its checkpoints. Nothing is made of them.
_LIGHTNING = (
    "pytorch_lightning.callbacks.model_checkpoint.ModelCheckpoint",
    "pytorch_lightning.callbacks.early_stopping.EarlyStopping",
)
_CLASSES = {"ExpDECA": True, "DECA": False}  # `deca_class` -> has an encoder for expressions
_BACKBONE = "deca_clone"
_SIZES = {
    **{f"n_{name}": size for name, size in SIZES.items()},
    "n_detail": N_DETAIL,
    "image_size": 224,
    "uv_size": 256,
}
_BACKGROUNDS = ("input", "black", "none")
_CONDITIONS = ("jawpose", "expression", "detail")
_HEAD = "E_expression.layers.2.weight"


# --- folders ---------------------------------------------------------------------------------------------------------


def available_models() -> list[str]:
    """Names of the models on this machine: folders with a cfg.yaml and a checkpoint, wherever models' files are looked
    for."""
    folders = [path.parent for place in places.candidates((CFG,)) for path in place]
    converted = {asset.converted: name for name, asset in files.MODELS.items()}
    return sorted({converted.get(folder.name, folder.name) for folder in folders if _has_checkpoint(folder)})


def find_model_folder(variant: str | Path) -> Path:
    """The folder of a model.

    Args:
        variant: one of :data:`facecli_emoca.files.MODELS`, the name of another folder below the places where models'
            files are looked for, or a folder.

    Raises:
        MissingAssetError: an official model isn't on this machine.
        UsageError: there is no model of this name.
    """
    asset = files.MODELS.get(str(variant))
    if asset is None and Path(variant).is_dir():
        return Path(variant)
    try:
        if asset is not None:
            return require(asset)
        known = ", ".join(dict.fromkeys([*files.MODELS, *available_models()]))
        raise UsageError(f"EMOCA has no model {str(variant)!r}, and there is no such folder; there are {known}")
    except (MissingAssetError, UsageError):
        folder = _any_folder(str(variant))
        if folder is None:
            raise
        return folder


def _any_folder(name: str) -> Path | None:
    """A folder called `name` with checkpoints, whatever its cfg.yaml: their shapes may say all that is needed."""
    if name != Path(name).name:
        return None
    for place in places.search_folders():
        for depth in range(places.DEPTH):
            for folder in sorted(place.glob("/".join(["*"] * depth + [glob.escape(name)]))):
                if folder.is_dir() and _has_checkpoint(folder):
                    return folder
    return None


def _has_checkpoint(folder: Path) -> bool:
    """Whether it is one model's folder; ``assets/EMOCA`` holds those of all models and has the first one's name."""
    stages = ("detail/checkpoints", "coarse/checkpoints", "checkpoints")
    below = any(next((folder / stage).glob(CHECKPOINTS), None) for stage in stages)
    return below or next(folder.glob("*.ckpt"), None) is not None


# --- settings --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Settings:
    """What a model's cfg.yaml says; None where it doesn't.

    Args:
        has_expression: whether it has an encoder for expressions.
        global_pose, jaw_pose: whether that gives the head's rotation and the jaw's, too.
        background: of its shaded pictures: ``"input"``, ``"black"`` or ``"none"``.
    """

    has_expression: bool | None = None
    global_pose: bool | None = None
    jaw_pose: bool | None = None
    background: str = "input"


def read_settings(path: str | Path) -> Settings:
    """The settings of the detail stage, or the only one.

    Raises:
        InputError: missing, empty, no YAML, or a model that facecli doesn't have.
    """
    model = _model_section(check_file(path))
    kind = model.get("deca_class")
    if kind is not None and kind not in _CLASSES:
        raise InputError(path, f"is a model of class {kind}; facecli has {' and '.join(_CLASSES)} only")
    has_expression = None if kind is None else _CLASSES[kind]
    wanted = {**_SIZES, "detail_conditioning_type": "concat"}
    if has_expression:
        wanted["expression_backbone"] = _BACKBONE
    for key, value in wanted.items():
        found = plain(model.get(key))
        if found is not None and found != value:
            raise InputError(path, f"its model has {key} {found}; facecli has EMOCA with {value} only")
    conditions = model.get("detail_conditioning")
    if conditions is not None and sorted(conditions) != sorted(_CONDITIONS):
        words = (", ".join(map(str, names)) for names in (conditions, _CONDITIONS))
        raise InputError(path, "its wrinkles depend on {}; facecli has those that depend on {} only".format(*words))
    return Settings(
        has_expression,
        plain(model.get("exp_deca_global_pose")),
        plain(model.get("exp_deca_jaw_pose")),
        _background(path, plain(model.get("background_from_input"))),
    )


def _model_section(path: Path) -> Mapping[str, Any]:
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise input_error(path, error) from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise InputError(path, f"is no YAML: {' '.join(str(error).split())[:200]}", "get the model again") from error
    for names in (("detail", "model"), ("coarse", "model"), ("model",)):
        section = content
        for name in names:
            section = section.get(name) if isinstance(section, Mapping) else None
        if isinstance(section, Mapping):
            return section
    raise InputError(path, "has no entry detail.model: it is no configuration of EMOCA", "get the model again")


def plain(value: Any) -> Any:
    """A scalar as it is meant: YAML 1.1 takes ``1e-4`` for text, and people write truth in many words."""
    if not isinstance(value, str):
        return value
    words = {"true": True, "yes": True, "false": False, "no": False, "null": None, "": None}
    text = value.strip()
    if text.lower() in words:
        return words[text.lower()]
    try:
        number = float(text)
    except ValueError:
        return text
    return number if math.isfinite(number) else text


def _background(path: Path, value: Any) -> str:
    """``background_from_input`` in words: the released models have it on."""
    if value is None or isinstance(value, bool):
        return "black" if value is False else "input"
    if value not in _BACKGROUNDS:
        raise InputError(path, f"its background_from_input is {value}, none of {', '.join(_BACKGROUNDS)}")
    return value


# --- which checkpoint ------------------------------------------------------------------------------------------------


def find_checkpoint(folder: str | Path, choice: str | int = "best", detail: bool = True) -> Path:
    """The checkpoint of a model's `folder`. The only one is taken whatever its name.

    Args:
        choice: ``"best"`` (least loss), ``"latest"``, the number of one in the order of their paths, or a file.
        detail: of the detail stage only: in the coarse one the networks for wrinkles aren't trained yet.

    Raises:
        InputError: there is none.
        UsageError: `choice` is none of these.
    """
    if Path(str(choice)).is_file():
        return Path(str(choice))
    folder = Path(folder)
    paths = _stage_checkpoints(folder)
    if not paths:
        paths = sorted(folder.glob(f"coarse/checkpoints/{CHECKPOINTS}"))
        if paths and detail:
            raise InputError(folder, "holds the coarse stage only, which has no wrinkles", "use mode coarse")
    if not paths:
        raise InputError(folder, "holds no *.ckpt", "unpack the model's whole archive")
    try:
        return choose(paths, choice)
    except FileNotFoundError as error:
        if len(paths) == 1:
            return paths[0]
        raise InputError(folder, str(error), "say which: checkpoint latest, a number, or a file") from error


def _stage_checkpoints(folder: Path) -> list[Path]:
    for stage in _STAGES:
        paths = sorted((folder / stage).glob(CHECKPOINTS))
        paths = [path for path in paths if "coarse" not in path.relative_to(folder).parts]
        if paths:
            return paths
    return []


def choose(paths: Sequence[Path], choice: str | int = "best") -> Path:
    """One of the checkpoints `paths`, by upstream's rules.

    Raises:
        FileNotFoundError: none has a loss in its name, so there is no best one.
        UsageError: `choice` is no such word, or no such number.
    """
    paths = sorted(paths)
    if choice == "latest":
        return paths[-1]
    if choice == "best":
        losses = [(_loss(path), path) for path in paths]
        best = min((loss for loss, _ in losses if loss is not None), default=None)
        if best is None:
            raise FileNotFoundError("none of its checkpoints says its loss in its name")
        return [path for loss, path in losses if loss == best][-1]
    try:
        return paths[int(choice)]
    except ValueError:
        raise UsageError(f"checkpoint {choice!r} is neither best, latest, a number nor a file") from None
    except IndexError:
        raise UsageError(f"there is no checkpoint {choice}: the model has {len(paths)}, counted from 0") from None


def _loss(path: Path) -> float | None:
    """The number after the last ``=``, as in ``deca-epoch=01-val_loss/dataloader_idx_0=3.25.ckpt``."""
    if path.stem == "last":
        return None
    try:
        loss = float(path.stem.rpartition("=")[2])
    except ValueError:
        return None
    return loss if math.isfinite(loss) else None


# --- into networks ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class EmocaModel:
    """A model, loaded.

    Args:
        name: the model's, which its folder has.
        networks: in evaluation mode.
        background: of its shaded pictures, see :class:`Settings`.
        path: the checkpoint.
    """

    name: str
    networks: EmocaNetworks
    background: str
    path: Path


def load_model(
    variant: str | Path = files.DEFAULT_MODEL,
    checkpoint: str | int = "best",
    *,
    detail: bool = True,
    device: Any = "cpu",
    fused: bool = True,
) -> EmocaModel:
    """A model by its name or folder.

    Args:
        variant: see :func:`find_model_folder`.
        checkpoint: see :func:`find_checkpoint`.
        detail: with the networks for wrinkles.
        device: where it goes.
        fused: faster, without official names and not to be trained: see :mod:`facecli.nn.fuse`.

    Raises:
        MissingAssetError: an official model isn't on this machine.
        UsageError: there is no such model or checkpoint.
        InputError: a file is damaged, unsafe, or another system's.
    """
    folder = find_model_folder(variant)
    cfg = folder / CFG
    # An unpacking that broke off leaves it out, or empty. The checkpoint's shapes tell nearly all.
    settings = read_settings(cfg) if cfg.is_file() and cfg.stat().st_size else None
    path = find_checkpoint(folder, checkpoint, detail)
    networks = load_networks(path, settings, detail, device, fused)
    converted = {asset.converted: name for name, asset in files.MODELS.items()}
    name = converted.get(folder.name, folder.resolve().name)
    return EmocaModel(name, networks, (settings or Settings()).background, path)


def load_networks(
    path: Path, settings: Settings | None = None, detail: bool = True, device: Any = "cpu", fused: bool = True
) -> EmocaNetworks:
    """The networks of the checkpoint `path`; everything else in it is left alone.

    Raises:
        InputError: it is damaged, unsafe, another system's, or `settings` are needed and don't say enough.
    """
    checkpoint = read_checkpoint(path)
    state = network_state(checkpoint, (*COARSE, *(DETAIL if detail else ())))
    outputs = _expression_outputs(checkpoint, state, settings or Settings())
    networks = checkpoint.build(partial(EmocaNetworks, outputs, detail), state, device, "networks")
    return fuse(networks) if fused else networks


def read_checkpoint(path: Path) -> Checkpoint:
    """A Lightning checkpoint of EMOCA. Raises InputError where it can't be one that facecli has."""
    checkpoint = Checkpoint(path, "EMOCA", "get the model again", inert=_LIGHTNING)
    if system_of(checkpoint.content) == "EMICA":
        raise checkpoint.error("holds EMICA, whose shape comes from MICA: facecli has EMOCA only")
    return checkpoint


def network_state(checkpoint: Checkpoint, names: Sequence[str] = (*COARSE, *DETAIL)) -> State:
    """The tensors of the networks `names`."""
    prefixes = tuple(f"{name}." for name in names)
    return {key: value for key, value in checkpoint.state(prefix=PREFIX).items() if key.startswith(prefixes)}


def _expression_outputs(checkpoint: Checkpoint, state: State, settings: Settings) -> ExpressionOutputs | None:
    """What the encoder for expressions gives, decided by its last layer, and where that leaves two ways by cfg.yaml."""
    keys = [key for key in state if key.startswith("E_expression.")]
    if not keys:
        if settings.has_expression and state:
            raise checkpoint.error("holds no encoder for expressions, though cfg.yaml says so")
        return None
    if foreign := [key for key in keys if key.split(".")[1] not in ("encoder", "layers")]:
        raise checkpoint.error(f"its encoder for expressions isn't {_BACKBONE}: it has {foreign[0]}")
    rows = len(state[_HEAD]) if _HEAD in state else 0
    ways = (ExpressionOutputs(), ExpressionOutputs(True, True))
    if found := [way for way in ways if sum(way.sizes) == rows]:
        return found[0]
    one = ExpressionOutputs(jaw_pose=True)
    if rows != sum(one.sizes):
        return ExpressionOutputs()  # what doesn't fit is said when it is put into the network
    if bool(settings.jaw_pose) == bool(settings.global_pose):
        raise checkpoint.error(
            "its encoder for expressions gives a rotation, too, and only cfg.yaml can tell which: "
            "exp_deca_jaw_pose or exp_deca_global_pose"
        )
    return one if settings.jaw_pose else ExpressionOutputs(global_pose=True)
