"""What the HTML report shows of an input."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from facecli.errors import FacecliError
from facecli.export.face_json import head_angles
from facecli.export.glb import read_glb
from facecli.export.obj import read_obj
from facecli.export.report import ReportEntry
from facecli.geometry.mesh import TriangleMesh
from facecli.io.filetypes import suffix_kind
from facecli.io.images import read_image
from facecli.io.video import VideoReader
from facecli.reconstruction.events import InputDone
from facecli.reconstruction.folder import FACES_FILE, with_paths

MOST_LINKS = 40
LINKED = ("mesh.glb", "mesh.obj", "mesh.ply", "codes.npz", "face.json")


def entries_of(event: InputDone, model: str, licence: str) -> Iterator[ReportEntry]:
    """The entries of a finished input: from memory, or from its files where an earlier run finished it."""
    folders = _face_folders(event.folder)
    if not folders:
        yield from _layout_entries(event, model, licence)
    for number, folder in folders:
        record = _face_json(folder)
        if event.video:
            picture, overlay = _video_pictures(event, record.get("first_frame", 0))
        else:
            picture, overlay = _pictures(event, number, folder)
        if picture is None:
            continue
        video, glb = event.folder / "overlay.mp4", folder / "mesh.glb"
        yield ReportEntry(
            title=f"{event.name}, face {number}",
            picture=picture,
            overlay=picture if overlay is None else overlay,
            mesh=event.meshes.get(number) or _mesh(folder),
            glb=glb if event.video and glb.exists() else None,
            facts=_facts(record, model, licence),
            video=video if event.video and video.exists() else None,
            files=_links(folder, record),
        )


def _layout_entries(event: InputDone, model: str, licence: str) -> Iterator[ReportEntry]:
    """Of an input whose files a model's own layout wrote: each face, beside the first picture or video of the files."""
    for number, record in _first_records(event.folder).items():
        files = [Path(file) for file in record.get("files", ()) if Path(file).exists()]
        shown = [file for file in files if suffix_kind(file) in ("image", "video")][:1]
        films = [file for file in shown if suffix_kind(file) == "video"]
        picture = _frame(event.path, record["frame"]) if event.video else _photograph(event)
        overlay = _frame(films[0], record["frame"]) if films else read_image(shown[0]) if shown else None
        picture = overlay if picture is None else picture
        if picture is not None:
            yield ReportEntry(
                title=f"{event.name}, face {number}",
                picture=picture,
                overlay=picture if overlay is None else overlay,
                mesh=event.meshes.get(number),
                facts=_facts(record, model, licence),
                video=films[0] if films else None,
                files={file.name: file for file in files[:MOST_LINKS]},
            )


def _first_records(folder: Path) -> dict[int, dict[str, Any]]:
    """The first record of each face."""
    found: dict[int, dict[str, Any]] = {}
    with (folder / FACES_FILE).open(encoding="utf-8") as lines:
        for record in map(json.loads, lines):
            if record["face"] not in found:
                found[record["face"]] = with_paths(record, folder)
    return dict(sorted(found.items()))


def _links(folder: Path, record: dict[str, Any]) -> dict[str, Path]:
    """What the report links to of a face's files."""
    names = (*LINKED, *record.get("pictures", {}).values())
    return {name: folder / name for name in names[:MOST_LINKS] if (folder / name).exists()}


def _face_folders(folder: Path) -> list[tuple[int, Path]]:
    found = [path for path in folder.glob("face*") if path.name.removeprefix("face").isdigit()]
    return sorted((int(path.name.removeprefix("face")), path) for path in found)


def _pictures(event: InputDone, number: int, folder: Path) -> tuple[np.ndarray | None, np.ndarray | None]:
    """(photograph, overlay) of a photograph's face."""
    overlay = next((result.overlay for result in event.faces if result.number == number), None)
    if overlay is None and (folder / "overlay.png").exists():
        overlay = read_image(folder / "overlay.png")
    picture = _photograph(event)
    return overlay if picture is None else picture, overlay


def _photograph(event: InputDone) -> np.ndarray | None:
    if event.picture is not None:
        return event.picture
    try:
        return read_image(event.path)
    except FacecliError:  # gone since then; or it is a file of codes
        return None


def _video_pictures(event: InputDone, frame: int) -> tuple[np.ndarray | None, np.ndarray | None]:
    """(frame, overlay) at the person's first frame."""
    source, overlay = (_frame(path, frame) for path in (event.path, event.folder / "overlay.mp4"))
    return overlay if source is None else source, overlay


def _frame(video: Path, index: int) -> np.ndarray | None:
    try:
        with VideoReader(video) as reader:
            return next(reader.frames(start=index)).image
    except (FacecliError, StopIteration):
        return None


def _mesh(folder: Path) -> TriangleMesh | None:
    """The mesh of an earlier run."""
    if (folder / "mesh.obj").exists():
        return read_obj(folder / "mesh.obj")
    return read_glb(folder / "mesh.glb") if (folder / "mesh.glb").exists() else None


def _face_json(folder: Path) -> dict[str, Any]:
    path = folder / "face.json"
    return json.loads(path.read_text("utf-8")) if path.exists() else {}


def _facts(record: dict[str, Any], model: str, licence: str) -> dict[str, str]:
    facts = {"model": model, "licence": licence}
    if record.get("head_pose"):
        angles = head_angles(np.array(record["head_pose"]))
        facts["pose"] = ", ".join(f"{name} {angle:.0f}°" for name, angle in angles.items())
    if record.get("score") is not None:
        facts["score"] = f"{record['score']:.2f}"
    if "frames" in record:
        facts["frames"] = f"seen in {record['frames_with_face']} of {record['frames']}"
    return facts
