"""The pictures and the video that models are measured with."""

from __future__ import annotations

import importlib.util
import itertools
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from facecli.errors import InputError, UsageError

SAMPLE = "astronaut.png"
_RATE = 25  # frames a second
_MARGIN = 0.04  # of the picture's sides, within which the made video's view moves
_HIGHEST = 720  # pixels: a made video is no higher


@dataclass(frozen=True)
class Inputs:
    """Files to be measured with, and what they are for people to read.

    Args:
        pictures: (path, name as the user gave it) each; all different files.
    """

    pictures: list[tuple[str, str]]
    video: Path | None
    about_pictures: str
    about_video: str


def prepare(
    folder: Path, pictures: Sequence[str], video: str | None, count: int, frames: int, recursive: bool = False
) -> Inputs:
    """Put at least `count` pictures into `folder`, and a video of `frames` frames where none is given.

    Args:
        pictures: files, folders and patterns; none means the sample photograph. Fewer than `count` are taken again.
        video: a file, or None for one that moves over the first picture.
        frames: 0 makes no video.

    Raises:
        InputError: a file is missing or no picture; there is no sample photograph here and none was given.
    """
    from facecli.io.images import image_size

    given = _listed(pictures, recursive) if pictures else [sample()]
    width, height = image_size(given[0])
    many = list(itertools.islice(itertools.cycle(given), max(count, len(given))))
    copies = [
        (str(_copy(path, folder / "pictures" / f"{number:05}{path.suffix}")), str(path))
        for number, path in enumerate(many)
    ]
    what = "the sample photograph" if not pictures else _count(len(given), "picture")
    again = f", {len(many)} in a pass" if len(many) > len(given) else ""
    about = f"{what} ({'the first ' if len(given) > 1 else ''}{width} x {height} pixels){again}"
    if video is not None:
        return Inputs(copies, Path(video), about, _about_video(Path(video)))
    if frames == 0:
        return Inputs(copies, None, about, "")
    made = write_panning(folder / "video.mp4", given[0], frames)
    return Inputs(copies, made, about, _about_video(made, "made of the picture"))


def sample() -> Path:
    """The sample photograph of the source tree, or the same one from scikit-image.

    Raises:
        UsageError: neither is here.
    """
    places = [Path(__file__).parents[3] / "assets" / SAMPLE]
    skimage = importlib.util.find_spec("skimage")
    if skimage is not None and skimage.origin:
        places.append(Path(skimage.origin).parent / "data" / SAMPLE)
    for place in places:
        if place.is_file():
            return place
    raise UsageError(
        "the sample photograph comes with facecli's source only: name pictures of faces, --pictures FOLDER"
    )


def write_panning(path: Path, picture: Path, frames: int) -> Path:
    """A video whose view goes round in the picture, twice a second at most, so that no two frames are the same."""
    import cv2

    from facecli.io.images import read_image
    from facecli.io.video import VideoWriter

    image = read_image(picture)
    scale = min(1.0, _HIGHEST / image.shape[0])
    if scale < 1:
        image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    height, width = (int(side * (1 - 2 * _MARGIN)) // 2 * 2 for side in image.shape[:2])
    room = np.array([image.shape[1] - width, image.shape[0] - height]) / 2
    with VideoWriter(path, (width, height), None, fps=_RATE) as writer:
        for number in range(frames):
            angle = 2 * np.pi * number / max(frames, 2 * _RATE)
            x, y = np.rint(room * (1 + np.array([np.cos(angle), np.sin(angle)]))).astype(int)
            writer.write(np.ascontiguousarray(image[y : y + height, x : x + width]))
    return path


def _listed(pictures: Sequence[str], recursive: bool) -> list[Path]:
    from facecli.io.sources import expand_sources

    found = []
    for source in expand_sources(pictures, recursive=recursive):
        if isinstance(source, InputError):
            raise source
        if source.kind == "image":
            found.append(source.path)
        elif len(pictures) == 1 and source.name == str(pictures[0]):
            raise InputError(source.name, "is no picture", "a video is given with --video")
    if not found:
        raise InputError(
            ", ".join(map(str, pictures)), "holds no pictures", "give --pictures FILES or a folder of them"
        )
    return found


def _copy(path: Path, to: Path) -> Path:
    """A file of its own for each turn of a picture: the same path twice would be done once."""
    to.parent.mkdir(parents=True, exist_ok=True)
    try:
        to.hardlink_to(path.resolve())
    except OSError:  # another disk, or a system without links
        shutil.copyfile(path, to)
    return to


def _about_video(path: Path, what: str = "") -> str:
    from facecli.io.video import VideoReader

    with VideoReader(path) as reader:
        width, height = reader.size
    return f"{what or path.name} ({width} x {height} pixels)"


def _count(number: int, word: str) -> str:
    return f"{number} {word}" + ("" if number == 1 else "s")
