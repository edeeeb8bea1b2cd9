"""From names to plugins: the entry points of the group ``facecli.plugins``."""

from __future__ import annotations

import difflib
import functools
import importlib
import inspect
import os
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from facecli.errors import FacecliError, MissingAssetError, PluginError, UsageError
from facecli.plugin import Detector, Landmarker, Layout, Plugin, Reconstructor, TrainingInfo

GROUP = "facecli.plugins"


@dataclass(frozen=True)
class BrokenPlugin:
    """An entry point that could not be loaded, and why, in one line."""

    name: str
    distribution: str
    reason: str

    def __str__(self) -> str:
        return f"plugin {self.name} (of {self.distribution}) can't be used: {self.reason}"


@functools.cache
def _discover() -> tuple[dict[str, Plugin], dict[str, BrokenPlugin]]:
    plugins: dict[str, Plugin] = {}
    broken: dict[str, BrokenPlugin] = {}
    for entry in sorted(entry_points(group=GROUP), key=_precedence):
        if entry.name in plugins or entry.name in broken:
            other = _distribution(entry)
            reason = "there is another plugin of this name, which is used"
            broken[f"{entry.name} of {other}"] = BrokenPlugin(entry.name, other, reason)
            continue
        loaded = _load(entry)
        if isinstance(loaded, BrokenPlugin):
            broken[entry.name] = loaded
        else:
            plugins[entry.name] = loaded
    return plugins, broken


def _precedence(entry: EntryPoint) -> tuple[str, bool, str]:
    """By name; of two with one name, facecli's own comes first: nobody else can take its place."""
    distribution = _distribution(entry)
    return entry.name, distribution != "facecli", distribution


def _distribution(entry: EntryPoint) -> str:
    return entry.dist.name if entry.dist else "an unknown package"


def _load(entry: EntryPoint) -> Plugin | BrokenPlugin:
    distribution = _distribution(entry)
    try:
        plugin = entry.load()
    except (Exception, SystemExit) as error:  # whatever a stranger's module does at import, the others go on
        return BrokenPlugin(entry.name, distribution, _one_line(error))
    if not isinstance(plugin, Plugin):
        return BrokenPlugin(entry.name, distribution, f"{entry.value} is a {type(plugin).__name__}, not a Plugin")
    if plugin.name != entry.name:
        return BrokenPlugin(entry.name, distribution, f"its entry point says {entry.name}, itself {plugin.name}")
    return plugin


def _one_line(error: BaseException) -> str:
    text = " ".join(str(error).split()) or "no reason given"
    return f"{type(error).__name__}: {text}"


def plugins() -> dict[str, Plugin]:
    """All usable plugins by name."""
    return _discover()[0]


def broken_plugins() -> dict[str, BrokenPlugin]:
    """Entry points that failed to load, by name."""
    return _discover()[1]


def reload() -> None:
    """Forget what was discovered (after installing a plugin into the running process)."""
    _discover.cache_clear()


def plugin(name: str) -> Plugin:
    """The plugin called `name`.

    Raises:
        PluginError: it is installed but can't be loaded.
        UsageError: there is none; the message offers the nearest names.
    """
    if name in plugins():
        return plugins()[name]
    if name in broken_plugins():
        raise PluginError(str(broken_plugins()[name]))
    raise UsageError(_unknown("model", name, plugins()))


def reconstructor(name: str, **options: Any) -> Reconstructor:
    """A new reconstructor of the plugin `name`; `options` go to its constructor (``device`` among them)."""
    found = plugin(name)
    if not found.reconstructor:
        models = [p.name for p in plugins().values() if p.reconstructor]
        raise UsageError(f"{name} doesn't reconstruct; models that do: {', '.join(models)}")
    return _make(found, found.reconstructor, options)


def layout(name: str, layout: str, model: Reconstructor, **options: Any) -> Layout:
    """A new `layout` of the plugin `name` for its reconstructor `model`; `options` go to its constructor."""
    found = plugin(name)
    return _make(found, found.layouts[layout].target, options, model)


def landmarker(name: str, **options: Any) -> Landmarker:
    """A new landmarker called `name`, whichever plugin offers it (of several, the first by name)."""
    offering = _offering("landmarkers")
    if name in offering:
        return _make(*offering[name], options)
    if finds_boxes_alone(name):
        raise UsageError(f"{name} finds boxes, no landmarks: --detector {name} puts it before a landmarker")
    raise UsageError(_unknown("landmarker", name, offering))


def detector(name: str, **options: Any) -> Detector:
    """A new detector called `name`, as :func:`landmarker`."""
    offering = _offering("detectors")
    if name in offering:
        return _make(*offering[name], options)
    if name in _offering("landmarkers"):
        known = ", ".join(offering) or "none"
        raise UsageError(f"{name} is a landmarker (--landmarker {name}), no detector. Detectors installed: {known}")
    raise UsageError(_unknown("detector", name, offering))


def training(name: str) -> tuple[Plugin, TrainingInfo]:
    """The plugin that trains `name`, and what it says of it.

    Raises:
        UsageError: there is no such training.
    """
    offering = _offering("trainings")
    if name not in offering:
        raise UsageError(_unknown("training", name, offering))
    return offering[name]


def face_finder(name: str, **options: Any) -> Landmarker | Detector:
    """A new landmarker, else a new detector, called `name`: for whom boxes are enough."""
    landmarkers, detectors = _offering("landmarkers"), _offering("detectors")
    found = landmarkers.get(name) or detectors.get(name)
    if found is None:
        names = {**landmarkers, **detectors}
        known = f"landmarkers {', '.join(landmarkers) or 'none'}; detectors {', '.join(detectors) or 'none'}"
        raise UsageError(_unknown("landmarker or detector", name, names, known))
    return _make(*found, options)


def finds_boxes_alone(name: str) -> bool:
    """Whether a detector, and no landmarker, is called `name`."""
    return name in _offering("detectors") and name not in _offering("landmarkers")


def takes_detector(landmarker: str) -> bool:
    """Whether the landmarker of this name has an option ``detector``: it begins with boxes and says whose it takes."""
    offering = _offering("landmarkers")
    if landmarker not in offering:
        return False
    try:
        return "detector" in inspect.signature(attribute(*offering[landmarker])).parameters
    except (TypeError, ValueError):  # nothing that tells its arguments
        return False


def _offering(what: str) -> dict[str, tuple[Plugin, Any]]:
    """Name -> the plugin that offers it, and what it is, of all ``landmarkers`` (``detectors``, …), sorted."""
    found: dict[str, tuple[Plugin, Any]] = {}
    for offered_by in plugins().values():
        for name, target in getattr(offered_by, what).items():
            found.setdefault(name, (offered_by, target))
    return dict(sorted(found.items()))


def _make(owner: Plugin, target: str, options: dict[str, Any], *arguments: Any) -> Any:
    """Import ``"module:attribute"`` and call it; what fails is the plugin's, and is named so.

    Raises:
        UsageError: it doesn't take one of the options.
        PluginError: it can't be imported or started.
    """
    make = attribute(owner, target)
    try:
        return make(*arguments, **options)
    except FacecliError:
        raise
    except Exception as error:
        if os.environ.get("FACECLI_DEBUG"):
            raise
        if isinstance(error, TypeError) and "unexpected keyword argument" in str(error):
            raise UsageError(f"{owner.name} doesn't take this option: {_one_line(error)}") from error
        raise PluginError(f"plugin {owner.name} can't be started: {_one_line(error)}") from error


def attribute(owner: Plugin, target: str) -> Any:
    """What the plugin `owner` names ``"module:attribute"``.

    Raises:
        MissingAssetError: one of its packages isn't installed. PluginError: it can't be imported.
    """
    module_name, _, name = target.partition(":")
    try:
        return getattr(importlib.import_module(module_name), name)
    except FacecliError:
        raise
    except ModuleNotFoundError as error:
        if error.name in owner.packages:
            raise MissingAssetError(
                f"{owner.name} needs the Python package {error.name}: pip install {error.name.replace('_', '-')}"
            ) from error
        raise PluginError(f"plugin {owner.name} can't be used: {_one_line(error)}") from error
    except Exception as error:
        raise PluginError(f"plugin {owner.name} can't be used: {_one_line(error)}") from error


def _unknown(what: str, name: str, known: dict[str, Any], installed: str = "") -> str:
    near = difflib.get_close_matches(name, known, 1)
    guess = f" Did you mean {near[0]}?" if near else ""
    return f"unknown {what} {name!r}.{guess} Installed: {installed or ', '.join(sorted(known)) or 'none'}"
