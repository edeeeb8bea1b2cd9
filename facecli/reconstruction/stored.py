"""Codes from files instead of pictures: decoded and drawn again, without looking for a face."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch

from facecli import registry
from facecli.codes import Codes, CodesSummary, load_codes, summarize_codes, unpack_codes
from facecli.detect.face import Face
from facecli.errors import InputError, UsageError
from facecli.io.filetypes import content_kind, suffix_kind
from facecli.io.images import MAX_PIXELS, read_image
from facecli.plugin import Plugin
from facecli.reconstruction.film import Film, Still, check_size, video_of_size
from facecli.reconstruction.settings import Settings
from facecli.reconstruction.stream import Frame
from facecli.reconstruction.tracks import STORED_TICKS, Shelf, Tracks, track_of_file

DEFAULT_SIZE = (224, 224)
"""(height, width) of the photograph that codes belong on, if they don't tell: the FLAME family's crop."""

_AGAIN = "make it again"
_BELONGS = "the codes"


def decoder_of(name: str, path: Path, model: str | None) -> tuple[Plugin, CodesSummary]:
    """Who decodes the codes in `path`: `model` if that is given and of their family, else the model they are of.

    Raises:
        InputError: the file is damaged or none, its model is not installed, or `model` is of another family.
        UsageError: there is no such model.
    """
    summary = _named(name, path, summarize_codes)
    if model is not None:
        plugin = registry.plugin(model)
        if plugin.family != summary.family:
            theirs = f"{summary.family or 'no family'!r}" + (f" (model {summary.model})" if summary.model else "")
            raise InputError(
                name, f"holds codes of the family {theirs}, the model {model} decodes those of {plugin.family!r}",
                "choose another --model, or leave it away",
            )  # fmt: skip
        return plugin, summary
    if summary.model not in registry.plugins():
        of_family = [p.name for p in registry.plugins().values() if p.family == summary.family and p.reconstructor]
        other = f"--model {of_family[0]} can decode it, too" if of_family else f"install the plugin {summary.model}"
        raise InputError(name, f"holds codes of the model {summary.model!r}, which is not installed", other)
    return registry.plugin(summary.model), summary


def _named(name: str, path: Path, read: Any, *further: Any) -> Any:
    """`read(path)` with the file called as the user calls it."""
    try:
        return read(path, *further)
    except InputError as error:
        raise InputError(name, error.problem, error.mend) from error


# --- faces of a photograph -------------------------------------------------------------------------------------------


def stored_faces(frame: Frame, path: Path, settings: Settings) -> None:
    """Fills `frame` with the faces of a file of codes: as they were on their photograph, which is black if not given.

    Raises:
        InputError: the file or the photograph can't be used.
    """
    stored = _named(frame.name, path, load_codes)
    codes, boxes, scores = stored.codes, _rows(stored, "box", 4), _rows(stored, "score", 1)[:, 0]
    if not len(codes):
        raise InputError(frame.name, "holds codes of no face")
    keep = _usable(codes, frame.name)
    size = photo_size(codes, frame.name)
    frame.blank = settings.photo is None
    frame.image = np.zeros((*size, 3), np.uint8) if frame.blank else _photo(Path(settings.photo), size)
    order = sorted(keep, key=lambda row: -_area(boxes[row]))[: settings.most_faces]
    frame.faces = [Face(boxes[row], float(scores[row])) for row in order]
    frame.codes = frame.mixed = Codes(codes.values, settings.model, codes.family).select(order)
    frame.given = "codes"


def _rows(stored: Any, name: str, width: int) -> np.ndarray:
    """[B, width] of an array beside the codes; NaN where it isn't known."""
    count = len(stored.codes)
    found = np.asarray(stored.extras[name]) if name in stored.extras else None
    if found is None or found.size != count * width or found.dtype.kind not in "fiu":
        return np.full((count, width), np.nan)
    return found.astype(np.float64).reshape(count, width)


def _usable(codes: Codes, name: str) -> list[int]:
    """The faces of which everything is a number.

    Raises:
        InputError: there is none.
    """
    usable = torch.ones(len(codes), dtype=torch.bool)
    for value in codes.values.values():
        usable &= value.reshape(len(codes), -1).double().isfinite().all(1)
    if not usable.any():
        raise InputError(name, "holds codes of no face: in each of them something is no number", _AGAIN)
    return usable.nonzero()[:, 0].tolist()


def _area(box: np.ndarray) -> float:
    return float(np.nan_to_num((box[2] - box[0]) * (box[3] - box[1])))


def photo_size(codes: Codes, name: str) -> tuple[int, int]:
    """(height, width) of the photograph that all these codes belong on.

    Raises:
        InputError: they name several, or none that can be.
    """
    if "photo_size" not in codes:
        return DEFAULT_SIZE
    sizes = codes["photo_size"].reshape(len(codes), -1)
    sizes = sizes[sizes.isfinite().all(1)].double().round()
    wrong = sizes.shape[1:] != (2,) or not len(sizes) or bool((sizes < 1).any())
    if wrong or bool((sizes.prod(1) > MAX_PIXELS).any()):
        raise InputError(name, "is a damaged codes file: it tells no size of the photograph", _AGAIN)
    if bool((sizes != sizes[0]).any()):
        raise InputError(name, "holds codes of photographs of different sizes", "give each photograph's its own file")
    return int(sizes[0, 0]), int(sizes[0, 1])


def _photo(path: Path, size: tuple[int, int]) -> np.ndarray:
    if _is_video(path):
        raise InputError(path, "is a video, but the codes are of a photograph", "give --photo the photograph")
    image = read_image(path)
    check_size(path, image.shape[:2], size, _BELONGS)
    return image


def _is_video(path: Path) -> bool:
    return (suffix_kind(path) or content_kind(path)) == "video"


# --- frames of a video -----------------------------------------------------------------------------------------------


def stored_tracks(name: str, path: Path, settings: Settings, folder: Path) -> tuple[Tracks, tuple[int, int]]:
    """The tracks in a file of a video's codes, unpacked below `folder`, and the (height, width) of its frames.

    Raises:
        InputError: the file can't be used.
        OutputError: the disk is full.
    """
    stored = _named(name, path, unpack_codes, folder)
    tracks = track_of_file(stored, name, Shelf(folder))
    return Tracks(tracks.frames, tracks.people, settings.model, tracks.family), photo_size(stored.codes, name)


def film_for(tracks: Tracks, size: tuple[int, int], settings: Settings) -> Film:
    """What a video's codes are drawn on: the video or photograph that the user gives, else black.

    Raises:
        InputError: it can't be read, or has another size.
    """
    path = None if settings.photo is None else Path(settings.photo)
    if path is not None and _is_video(path):
        return video_of_size(path, size, _BELONGS)
    image = np.zeros((*size, 3), np.uint8) if path is None else _photo(path, size)
    return Still(image, tracks.frames["pts"], Fraction(1, STORED_TICKS))


def photo_state(settings: Settings) -> dict[str, Any]:
    """By what the photograph is known again, for the note on what results were made of.

    Raises:
        UsageError: there is no such file.
    """
    if settings.photo is None:
        return {}
    path = Path(settings.photo)
    try:
        status = path.stat()
    except OSError as error:
        raise UsageError(f"--photo {path}: {error.strerror.lower()}") from error
    return {"photo": {"name": path.name, "size": status.st_size, "modified_ns": status.st_mtime_ns}}
