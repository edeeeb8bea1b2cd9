"""Which files models need: `Asset` describes one, `catalogue()` knows those of facecli and of every plugin.

Facts only, quick to import; finding, fetching and checking files is the business of :mod:`facecli.assets.store`.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass

from facecli.errors import UsageError

# Under one of these a file may be used, passed on and sold with no more than a notice, so `assets get` asks nothing.
PERMISSIVE_LICENSES = ("Apache-2.0", "MIT", "MIT-0", "BSD-2-Clause", "BSD-3-Clause", "ISC", "CC0-1.0", "CC-BY-4.0")


@dataclass(frozen=True)
class Asset:
    """One file that a model needs and that isn't part of a Python package.

    Args:
        name: what users type: ``facecli assets get NAME``.
        filename: the official file name, by which it is looked for.
        url: where it can be had without registration, or "".
        size: length in bytes where known.
        sha256: hex digest; its first digits alone (torch hub's file names carry ten) check what they can; "" unknown.
        license: SPDX name where there is one, else a few words.
        register: the page where users register to get it, when `url` is "".
        member: the file's path in the archive behind `url` (or in the one that the registered page hands out).
        note: a word more for users, e.g. which of several editions it is.
        alternatives: other names under which the same file goes about.
    """

    name: str
    filename: str
    url: str = ""
    size: int | None = None
    sha256: str = ""
    license: str = ""
    register: str = ""
    member: str = ""
    note: str = ""
    alternatives: tuple[str, ...] = ()

    def __post_init__(self):
        if not 0 <= len(self.sha256) <= 64 or set(self.sha256) - set("0123456789abcdef"):
            raise ValueError(f"{self.name}: sha256 {self.sha256!r} is no lower-case hex digest or beginning of one")
        if any("/" in name or "\\" in name for name in self.filenames):
            raise ValueError(f"{self.name}: file names must have no folder in them: {self.filenames}")

    @property
    def filenames(self) -> tuple[str, ...]:
        """All names to look for, the official one first."""
        return (self.filename, *self.alternatives)

    @property
    def permissive(self) -> bool:
        """Whether the licence lets anybody use it for anything."""
        return self.license in PERMISSIVE_LICENSES

    @property
    def fetchable(self) -> bool:
        """Whether its publisher lets it be fetched without registration."""
        return bool(self.url)


# The size and hash aren't known to us from a first-hand source, so it is checked for being a whole task bundle only.
FACE_LANDMARKER_TASK = Asset(
    name="face_landmarker",
    filename="face_landmarker.task",
    url="https://storage.googleapis.com/mediapipe-models/face_landmarker/face_landmarker/float16/1/face_landmarker.task",
    license="Apache-2.0",
    note="MediaPipe's face landmarks and blendshapes, 3.7 MB; only mediapipe releases after 0.10.21 need it",
)

SHARED = (FACE_LANDMARKER_TASK,)


def catalogue() -> dict[str, Asset]:
    """Every asset by name: the shared ones, then those of the installed plugins.

    Where two plugins mean different files by one name, the later one's is listed as ``plugin:name``.
    """
    from facecli import registry

    known = {asset.name: asset for asset in SHARED}
    for plugin in registry.plugins().values():
        for asset in (*plugin.assets, *plugin.optional_assets):
            name = asset.name if known.get(asset.name, asset) == asset else f"{plugin.name}:{asset.name}"
            known[name] = asset
    return known


def users_of(asset: Asset) -> list[str]:
    """Names of the plugins that refer to `asset`; ``"name (optional)"`` where it does without."""
    from facecli import registry

    found = []
    for plugin in registry.plugins().values():
        if asset in plugin.assets:
            found.append(plugin.name)
        elif asset in plugin.optional_assets:
            found.append(f"{plugin.name} (optional)")
    return found


def lookup(names: Iterable[str]) -> list[Asset]:
    """The assets called `names`: by catalogue name, or by file name.

    Raises:
        UsageError: one is unknown; the message offers the nearest names.
    """
    known = catalogue()
    by_filename = {filename: asset for asset in known.values() for filename in asset.filenames}
    found: list[Asset] = []
    for name in names:
        asset = known.get(name) or by_filename.get(name)
        if asset is None:
            raise UsageError(_unknown(name, [*known, *by_filename]))
        if asset not in found:
            found.append(asset)
    return found


def _unknown(name: str, known: list[str]) -> str:
    near = difflib.get_close_matches(name, known, 3)
    guess = f" Did you mean {' or '.join(near)}?" if near else ""
    return f"unknown asset {name!r}.{guess} `facecli assets list` shows all."
