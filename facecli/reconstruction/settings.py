"""What the user chose for a reconstruction, and what a model makes of it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from facecli.errors import FacecliError, PluginError, UsageError
from facecli.plugin import LayoutInfo, Option, Plugin

SAVE_CHOICES = {
    "obj": "mesh.obj with mesh.mtl and mesh.png (texture)",
    "glb": "mesh.glb with its texture; of a video, with its animation",
    "ply": "mesh.ply",
    "codes": "codes.npz: the model's numbers",
    "json": "face.json: box, pose, landmarks, camera",
    "overlay": "overlay.png or overlay.mp4: the mesh on the picture",
    "depth": "depth.png: 16-bit, hundredths of a millimetre behind the nearest point",
    "normals": "normals.png",
    "crop": "crop.png: what the model saw",
    "detail": "the surface with its wrinkles, where the model has them",
    "arkit": "arkit.csv (Live Link Face's layout) and arkit.json: 52 expression weights a frame, as ARKit names them",
}
DEFAULT_SAVE = ("obj", "glb", "codes", "json", "overlay")
DEFAULT_SAVE_VIDEO = ("glb", "codes", "json", "overlay")
"""A video's frames get files of their own only where the user asks for them by name."""

ALL, PICTURES = "all", "pictures"
"""Words for all of facecli's own files, and for all pictures of the model's own."""

SURFACE = ("obj", "glb", "ply", "depth", "normals", "detail", "arkit")
"""Words of what a model without a mesh can't give."""

FRAME_FOLDERS = {
    "obj": "meshes", "ply": "meshes", "depth": "depth", "normals": "normals", "crop": "crops", "detail": "detail",
}  # fmt: skip
"""Folders, below a person's, of files that a video has one of for each frame."""

_TAKEN = {*SAVE_CHOICES, *FRAME_FOLDERS.values(), ALL, PICTURES, "mesh", "face"}
"""What a model's own pictures can't be called."""

SMOOTHERS = ("one-euro", "savgol")
AUTO = "auto"


@dataclass(frozen=True)
class Settings:
    """One run's choices; the command line's flags by the same names.

    Args:
        model: None chooses: for pictures and videos :func:`default_model`, for codes the one that they are of.
        options: the model's own, by name; values as it takes them, or in words.
        save: what to write, keys of :data:`SAVE_CHOICES` and names of the model's pictures, ``"all"``, ``"pictures"``;
            empty means the defaults for each kind of source. With a layout, its words.
        layout: files named as the model's own program names them, instead of facecli's.
        in_photo: the model's pictures (and those of the layout) at the photograph's size, too: ``--render-orig``.
        faces: ``"all"``, ``"largest"`` or a number (as an int or in words); None is all, of one person the largest.
        crop: False takes each picture as the model's own crop.
        landmarker: another one than the model's own.
        detector: says which faces there are; the landmarker then looks within its boxes (not where boxes are enough).
        confidence: threshold of the detector (or of a landmarker without one); None leaves the model's own.
        texture_size: side of the texture in pixels; 0 chooses by the face's size in the photograph.
        smooth, smooth_with: smooth a video's faces over time; by one of :data:`SMOOTHERS`, the first if not said.
        smooth_window: seconds that Savitzky-Golay's polynomial spans.
        hold: names of codes that a person keeps through a video, or ``("auto",)``: the model's `constants`.
        same_person: all inputs show one person, who keeps these codes in all of them: see `same_person`.
        photo: the photograph or video that codes from a file belong on.
        batch_size: faces a batch; 0 leaves it to the model.
        workers: detecting threads; None means one a core.

    `implied` are the words of `save` that came by ``all`` or ``pictures``: what a model can't give is left out.
    """

    model: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    save: tuple[str, ...] = ()
    layout: str | None = None
    in_photo: bool = False
    faces: str | int | None = None
    crop: bool = True
    landmarker: str | None = None
    detector: str | None = None
    confidence: float | None = None
    device: str = "auto"
    rasterizer: str = "auto"
    texture_size: int = 0
    smooth: bool = False
    smooth_with: str | None = None
    smooth_window: float = 0.3
    hold: tuple[str, ...] = ()
    same_person: bool = False
    photo: str | None = None
    batch_size: int = 0
    workers: int | None = None
    implied: frozenset[str] = field(default=frozenset(), init=False)

    def __post_init__(self):
        for name in ("save", "hold"):
            words = getattr(self, name)
            object.__setattr__(self, name, split_words([words] if isinstance(words, str) else words))
        if self.faces is None:
            object.__setattr__(self, "faces", "largest" if self.same_person else "all")
        object.__setattr__(self, "faces", str(self.faces))
        if self.faces not in ("all", "largest") and not (self.faces.isdecimal() and int(self.faces) > 0):
            raise UsageError(f"--faces is all, largest or a number, not {self.faces!r}")
        if self.confidence is not None and not 0 < self.confidence <= 1:
            raise UsageError(f"--confidence lies between 0 and 1, not at {self.confidence}")
        if self.texture_size and not 16 <= self.texture_size <= 8192:
            raise UsageError(f"--texture-size is 16 to 8192 pixels, or 0, not {self.texture_size}")
        if self.same_person and self.photo is not None:
            raise UsageError("--photo goes with files of codes, which --same-person doesn't take")
        if self.smooth_with not in (None, *SMOOTHERS):
            raise UsageError(f"--smooth-with is {' or '.join(SMOOTHERS)}, not {self.smooth_with!r}")
        if not 0.02 <= self.smooth_window <= 10:
            raise UsageError(f"--smooth-window is 0.02 to 10 seconds, not {self.smooth_window}")

    # --- one model's -------------------------------------------------------------------------------------------------

    def of_model(self, plugin: Plugin) -> Settings:
        """These settings for one model: its name, its options as it takes them, all that is to be written by name.

        Raises:
            UsageError: it has no such option, layout or picture, or an option can't have the value.
            PluginError: its description doesn't keep the contract.
        """
        taken = sorted(_TAKEN & set(plugin.pictures))
        if taken:
            raise PluginError(f"plugin {plugin.name} has a picture {taken[0]!r}, which is a word of facecli's own")
        layout = None if self.layout is None else _layout(plugin, self.layout)
        chosen = replace(
            self,
            model=plugin.name,
            options=converted_options(plugin, self.options),
            save=_spelled_out(plugin, self.save) if layout is None else _words_of(layout, self.layout, self.save),
        )
        object.__setattr__(chosen, "implied", self.implied or frozenset(chosen.save) - set(self.save))
        return chosen

    def without_mesh(self, reason: FacecliError) -> Settings:
        """The same choices of a model that has no mesh just now. (Of settings that are a model's.)

        Raises:
            FacecliError: the user asks for one by name: `reason`, with the word before it.
        """
        if self.layout is not None:  # which knows itself what it can do
            return self
        wanted = [word for word in self.save if word in SURFACE and word not in self.implied]
        if wanted:
            raise type(reason)(f"--save {','.join(wanted)} needs a mesh: {reason}")
        chosen = replace(self, save=tuple(word for word in self.save or DEFAULT_SAVE if word not in SURFACE))
        object.__setattr__(chosen, "implied", self.implied & set(chosen.save))
        return chosen

    def with_model(self, name: str) -> Settings:
        """The same choices of another model."""
        return replace(self, model=name)

    def saves(self, video: bool) -> tuple[str, ...]:
        """Which of facecli's own files are written of a photograph or a video; none with a layout."""
        if self.layout is not None:
            return ()
        own = tuple(word for word in self.save if word in SAVE_CHOICES)
        if self.save:
            return own
        return DEFAULT_SAVE_VIDEO if video else DEFAULT_SAVE

    @property
    def pictures(self) -> tuple[str, ...]:
        """Names of the model's own pictures that are written. (Of settings that are a model's.)"""
        return () if self.layout is not None else tuple(word for word in self.save if word not in SAVE_CHOICES)

    @property
    def smoother(self) -> str | None:
        """One of :data:`SMOOTHERS`, or None."""
        return self.smooth_with or (SMOOTHERS[0] if self.smooth else None)

    @property
    def two_passes(self) -> bool:
        """Whether a video must be known to its end before its first frame can be drawn."""
        return bool(self.hold) or self.smoother == "savgol" or self.same_person

    def fingerprint(self, video: bool) -> dict[str, Any]:
        """What results depend on: with another one, finished items are done again."""
        known = {
            "model": self.model,
            "landmarker": self.landmarker,
            "confidence": self.confidence,
            "faces": self.faces,
            "save": sorted(self.save if self.layout else (*self.saves(video), *self.pictures)),
            "texture_size": self.texture_size,
        }
        further = {
            "detector": self.detector,
            "options": dict(sorted(self.options.items())),
            "layout": self.layout,
            "render_orig": self.in_photo,
            "no_crop": not self.crop,
        }
        if video:
            known["smooth"] = self.smooth or self.smooth_with is not None
            further |= {
                "smooth_with": self.smoother if self.smoother != SMOOTHERS[0] else None,
                "smooth_window": self.smooth_window if self.smoother == "savgol" else None,
                "hold": sorted(self.hold),
            }
        return known | {name: value for name, value in further.items() if value}

    @property
    def most_faces(self) -> int | None:
        """The number of faces that are kept, None for all."""
        if self.faces == "all":
            return None
        return 1 if self.faces == "largest" else int(self.faces)


def default_model() -> str:
    """The model for pictures and videos of which users name none: the open model as soon as its one free file is there,
    else MediaPipe's surface, which needs none. Codes are decoded by the model that they are of."""
    from facecli.assets.store import find
    from facecli.morphable.ict_assets import ICT_FACEKIT

    return "mediapipe" if find(ICT_FACEKIT) is None else "open"


def split_words(words: Iterable[str]) -> tuple[str, ...]:
    """``["obj,glb", "depth"]`` -> ``("obj", "glb", "depth")``, each once."""
    return tuple(dict.fromkeys(word.strip() for text in words for word in text.split(",") if word.strip()))


def _spelled_out(plugin: Plugin, save: tuple[str, ...]) -> tuple[str, ...]:
    """Words for ``--save`` with ``all`` and ``pictures`` replaced by what they mean.

    Raises:
        UsageError: there is nothing of such a name.
    """
    if PICTURES in save and not plugin.pictures:
        raise UsageError(f"the model {plugin.name} has no pictures of its own to save")
    unknown = [word for word in save if word not in (*SAVE_CHOICES, *plugin.pictures, ALL, PICTURES)]
    if unknown:
        choices = ", ".join((*SAVE_CHOICES, *plugin.pictures, ALL, *([PICTURES] if plugin.pictures else [])))
        raise UsageError(f"can't save {', '.join(unknown)} with the model {plugin.name}; choose from {choices}")
    meant = {ALL: tuple(SAVE_CHOICES), PICTURES: tuple(plugin.pictures)}
    return tuple(dict.fromkeys(word for given in save for word in meant.get(given, (given,))))


def _layout(plugin: Plugin, name: str) -> LayoutInfo:
    if name not in plugin.layouts:
        known = f"it has {', '.join(plugin.layouts)}" if plugin.layouts else "it has none"
        raise UsageError(f"the model {plugin.name} has no layout {name!r}; {known}")
    return plugin.layouts[name]


def _words_of(layout: LayoutInfo, name: str, save: tuple[str, ...]) -> tuple[str, ...]:
    unknown = [word for word in save if word not in (*layout.saves, ALL)]
    if unknown:
        choices = ", ".join((*layout.saves, ALL))
        raise UsageError(f"the layout {name} can't save {', '.join(unknown)}; choose from {choices}")
    return tuple(layout.saves) if ALL in save else save or tuple(layout.default)


# --- options of a model ----------------------------------------------------------------------------------------------


def parse_options(words: Iterable[str]) -> dict[str, str]:
    """``["mode=coarse"]`` -> ``{"mode": "coarse"}``.

    Raises:
        UsageError: a word without ``=``, or an option twice.
    """
    options: dict[str, str] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals or not name.strip():
            raise UsageError(f"--option is NAME=VALUE, not {word!r}")
        if name.strip() in options:
            raise UsageError(f"--option {name.strip()} is given twice")
        options[name.strip()] = value.strip()
    return options


def converted_options(plugin: Plugin, options: Mapping[str, Any]) -> dict[str, Any]:
    """`options` as the reconstructor takes them.

    Raises:
        UsageError: it has no such option, or not such a value.
    """
    unknown = [name for name in options if name not in plugin.options]
    if unknown:
        near = difflib.get_close_matches(unknown[0], plugin.options, 1)
        guess = f" Did you mean {near[0]}?" if near else ""
        known = f"It has: {', '.join(plugin.options)}" if plugin.options else "It has none"
        raise UsageError(f"the model {plugin.name} has no option {unknown[0]!r}.{guess} {known}")
    return {name: _converted(name, plugin.options[name], value) for name, value in options.items()}


_YES, _NO = ("yes", "true", "on", "1"), ("no", "false", "off", "0")


def _converted(name: str, option: Option, value: Any) -> Any:
    kind = option.kind
    try:
        if kind is bool and isinstance(value, str):
            value = _yes_or_no(value)
        elif kind is not bool and isinstance(value, bool):
            raise ValueError
        value = kind(value)
    except (TypeError, ValueError):
        words = {bool: "yes or no", int: "a whole number", float: "a number"}.get(kind, f"a {kind.__name__}")
        raise UsageError(f"--option {name} is {words}, not {value!r}") from None
    if option.choices and str(value) not in option.choices:
        raise UsageError(f"--option {name} is one of {', '.join(option.choices)}, not {value!r}")
    return value


def _yes_or_no(word: str) -> bool:
    if word.lower() not in (*_YES, *_NO):
        raise ValueError(word)
    return word.lower() in _YES


# --- devices ---------------------------------------------------------------------------------------------------------


def choose_device(name: str) -> str:
    """``auto`` -> the best device of this machine; others are checked.

    Raises:
        UsageError: torch doesn't know it, or it isn't there.
    """
    import torch

    if name == "auto":
        if torch.cuda.is_available():
            return "cuda"
        return "cpu"  # MPS must be asked for: some operations differ there
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except Exception as error:
        reason = " ".join(str(error).split()).split(". ")[0]
        raise UsageError(
            f"no device {name!r} on this machine: {reason} (choose auto, cpu, cuda, cuda:1 or mps)"
        ) from None
    return name
