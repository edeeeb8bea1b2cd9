"""Which files models need: `Asset` describes one, `catalogue()` knows those of facecli and of every plugin.

Facts only, quick to import; finding, fetching and checking files is the business of :mod:`facecli.assets.store`.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import urlsplit

from facecli.errors import UsageError

# Under one of these a file may be used, passed on and sold with no more than a notice, so `assets get` asks nothing.
PERMISSIVE_LICENSES = ("Apache-2.0", "MIT", "MIT-0", "BSD-2-Clause", "BSD-3-Clause", "ISC", "CC0-1.0", "CC-BY-4.0")


@dataclass(frozen=True)
class Login:
    """The account that a publisher's site asks for; a user's name and password go to `post_url` and nowhere else.

    Args:
        site: where users register and accept the licence.
        post_url: what gives the file for a form with the fields ``username`` and ``password``; https, and a host of
            the site's own (``download.is.tue.mpg.de`` for ``flame.is.tue.mpg.de``).
        env_prefix: ``"FLAME"`` for the variables ``FACECLI_FLAME_USER`` and ``FACECLI_FLAME_PASSWORD``.
    """

    site: str
    post_url: str
    env_prefix: str

    def __post_init__(self):
        site, target = urlsplit(self.site), urlsplit(self.post_url)
        if site.scheme != "https" or target.scheme != "https":
            raise ValueError(f"{self.post_url}: a log-in goes over https only")
        parent = (site.hostname or "").partition(".")[2]
        same_owner = parent.count(".") and (target.hostname or "").endswith(f".{parent}")
        if target.hostname != site.hostname and not same_owner:
            raise ValueError(f"{self.post_url}: no host of {self.site}, whose log-in it wants")
        if not re.fullmatch(r"[A-Z][A-Z0-9_]*", self.env_prefix):
            raise ValueError(f"{self.env_prefix!r} can't be in the name of an environment variable")

    @property
    def user_variable(self) -> str:
        """Environment variable with the user's name."""
        return f"FACECLI_{self.env_prefix}_USER"

    @property
    def password_variable(self) -> str:
        """Environment variable with the password."""
        return f"FACECLI_{self.env_prefix}_PASSWORD"


@dataclass(frozen=True)
class Asset:
    """One file (or folder) that a model needs and that isn't part of a Python package.

    Args:
        name: what users type: ``facecli assets get NAME``.
        filename: the official file name, by which it is looked for.
        url: where it can be had without a log-in, or "".
        size: length in bytes where known.
        sha256: hex digest; its first digits alone (torch hub's file names carry ten) check what they can; "" unknown.
        license: SPDX name where there is one, else a few words.
        register: the page where users register, or where it is described and can be fetched in a browser.
        member: the file's path in the archive that `url`, `login` or the registered page gives.
        note: a word more for users, e.g. which of several editions it is.
        alternatives: other names under which the same file goes about.
        archive: the name of that archive, e.g. ``FLAME2020.zip``.
        login: the account that `register` gives, where its form is known. A `url` is tried before it.
        contains: it is a folder of this name, handed out as an archive, and has files of these patterns in it, the
            first of which marks it: ``("cfg.yaml", "**/*.ckpt")``.
        edition: ``"FLAME2020"`` where other editions have files of the same name: one in a folder or an archive called
            ``FLAME2019`` is none of it.
        convert: ``"module:function"`` that makes `converted` of it for ``facecli assets convert``: called with the
            paths of the source and of what it should write.
        converted: the name of what `convert` makes, which models read in its stead.
        make: ``"module:function"`` that makes the file of its `parts` for ``facecli assets convert``, where nobody
            hands it out: called with a dictionary of the parts' names and paths, and the path of what it should write.
        parts: the assets that it is made of.
        extract: ``"module:function"`` that makes the file of the archive that `url` gives, where it doesn't lie in it:
            called with the path of that archive, or of the folder that it unpacks to, and the path of what it should
            write. `member`, with its folder, is then what such an archive or folder is known by.
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
    archive: str = ""
    login: Login | None = None
    contains: tuple[str, ...] = ()
    edition: str = ""
    convert: str = ""
    converted: str = ""
    make: str = ""
    parts: tuple[Asset, ...] = ()
    extract: str = ""

    def __post_init__(self):
        if not 0 <= len(self.sha256) <= 64 or set(self.sha256) - set("0123456789abcdef"):
            raise ValueError(f"{self.name}: sha256 {self.sha256!r} is no lower-case hex digest or beginning of one")
        if any("/" in name or "\\" in name for name in (*self.filenames, self.archive)):
            raise ValueError(f"{self.name}: file names must have no folder in them: {self.filenames}")
        if self.edition and not re.fullmatch(r"\D+20\d\d", self.edition):
            raise ValueError(f"{self.name}: edition {self.edition!r} is no name with a year")
        if bool(self.convert) != bool(self.converted):
            raise ValueError(f"{self.name}: convert and converted belong together")
        if bool(self.make) != bool(self.parts):
            raise ValueError(f"{self.name}: make and parts belong together")
        if self.extract and "/" not in self.member:
            raise ValueError(f"{self.name}: what is extracted is known by a file in a folder, not {self.member!r}")

    @property
    def filenames(self) -> tuple[str, ...]:
        """All names to look for: what was converted, the official one, others."""
        converted = (self.converted,) if self.converted else ()
        return (*converted, self.filename, *self.alternatives)

    @property
    def raw(self) -> tuple[str, str]:
        """What it is extracted from: the folder's name, and that of the file which marks it; empty for other assets."""
        return tuple(self.member.rsplit("/", 2)[-2:]) if self.extract else ("", "")

    @property
    def is_folder(self) -> bool:
        """Whether it is a folder rather than a file."""
        return bool(self.contains)

    @property
    def packed(self) -> bool:
        """Whether its publisher hands it out inside an archive."""
        return bool(self.member or self.contains)

    @property
    def archive_name(self) -> str:
        """The archive's name; "" if it isn't packed."""
        if not self.packed:
            return ""
        return self.archive or (
            f"{self.filename}.zip" if self.is_folder else urlsplit(self.url).path.rpartition("/")[2]
        )

    @property
    def permissive(self) -> bool:
        """Whether the licence lets anybody use it for anything."""
        return self.license in PERMISSIVE_LICENSES

    @property
    def fetchable(self) -> bool:
        """Whether it can be fetched without a log-in."""
        return bool(self.url)

    def other_edition(self, name: str) -> str:
        """The other edition that a folder or archive called `name` is of, or ""."""
        if not self.edition:
            return ""
        family, year = self.edition[:-4], self.edition[-4:]
        found = re.search(re.escape(family) + r"[ _-]?(20\d\d)", name, re.IGNORECASE)
        return f"{family} {found[1]}" if found and found[1] != year else ""


# The size and hash aren't known to us from a first-hand source, so it is checked for being a whole task bundle only.
FACE_LANDMARKER_TASK = Asset(
    name="face_landmarker",
    filename="face_landmarker.task",
    url="https://storage.googleapis.com/mediapipe-models/face_landmarker/face_landmarker/float16/1/face_landmarker.task",
    license="Apache-2.0",
    note="MediaPipe's face landmarks and blendshapes, 3.7 MB; only mediapipe releases after 0.10.21 need it",
)


def shared() -> tuple[Asset, ...]:
    """What belongs to no plugin alone: facecli's own, and the editions of FLAME that its models may be given."""
    from facecli.morphable import files

    return (FACE_LANDMARKER_TASK, *files.EDITIONS)


def catalogue() -> dict[str, Asset]:
    """Every asset by name: the shared ones, then those of the installed plugins.

    Where two plugins mean different files by one name, the later one's is listed as ``plugin:name``.
    """
    from facecli import registry

    known = {asset.name: asset for asset in shared()}
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
    """The assets called `names`: by catalogue name (in capitals or not), or by file name.

    Raises:
        UsageError: one is unknown; the message offers the nearest names.
    """
    known = catalogue()
    by_filename = {filename: asset for asset in known.values() for filename in asset.filenames}
    found: list[Asset] = []
    for name in names:
        asset = known.get(name) or known.get(name.lower()) or by_filename.get(name)
        if asset is None:
            raise UsageError(_unknown(name, [*known, *by_filename]))
        if asset not in found:
            found.append(asset)
    return found


def _unknown(name: str, known: list[str]) -> str:
    from facecli import registry

    if name.lower() in registry.plugins():
        return f"{name} is a model, not a file: `--model {name.lower()}` means its files"
    near = difflib.get_close_matches(name, known, 3)
    guess = f" Did you mean {' or '.join(near)}?" if near else ""
    return f"unknown asset {name!r}.{guess} `facecli assets list` shows all."
