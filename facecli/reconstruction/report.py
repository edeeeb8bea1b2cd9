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
from facecli.io.images import read_image
from facecli.io.video import VideoReader
from facecli.reconstruction.events import InputDone

LINKED = ("mesh.glb", "mesh.obj", "mesh.ply", "codes.npz", "face.json")


def entries_of(event: InputDone, model: str, licence: str) -> Iterator[ReportEntry]:
    """The entries of a finished input: from memory, or from its files where an earlier run finished it."""
    for number, folder in _face_folders(event.folder):
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
            files={name: folder / name for name in LINKED if (folder / name).exists()},
        )


def _face_folders(folder: Path) -> list[tuple[int, Path]]:
    found = [path for path in folder.glob("face*") if path.name.removeprefix("face").isdigit()]
    return sorted((int(path.name.removeprefix("face")), path) for path in found)


def _pictures(event: InputDone, number: int, folder: Path) -> tuple[np.ndarray | None, np.ndarray | None]:
    """(photograph, overlay) of a photograph's face."""
    overlay = next((result.overlay for result in event.faces if result.number == number), None)
    if overlay is None and (folder / "overlay.png").exists():
        overlay = read_image(folder / "overlay.png")
    if event.picture is not None:
        return event.picture, overlay
    try:
        return read_image(event.path), overlay
    except FacecliError:  # gone since then
        return overlay, overlay


def _video_pictures(event: InputDone, frame: int) -> tuple[np.ndarray | None, np.ndarray | None]:
    """(frame, overlay) at the person's first frame."""
    pictures = []
    for path in (event.path, event.folder / "overlay.mp4"):
        try:
            with VideoReader(path) as reader:
                pictures.append(next(reader.frames(start=frame)).image)
        except (FacecliError, StopIteration):
            pictures.append(None)
    return pictures[0] if pictures[0] is not None else pictures[1], pictures[1]


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
