"""The report: one HTML page, complete in itself, with each face's picture, overlay and a mesh that one can turn."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import html
import json
import os
import urllib.parse
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from facecli.errors import OutputError
from facecli.export.animation import Animation, read_animation
from facecli.export.pictures import data_uri, encode_jpeg, shrink
from facecli.export.surface import split_seams
from facecli.geometry.mesh import TriangleMesh
from facecli.io.atomic import atomic_write, output_error

PICTURE_PIXELS = 560
TEXTURE_PIXELS = 512
EMBEDDED_VIDEO_BYTES = 4 << 20
PAGE_BYTES = 80 << 20
LISTED_ERRORS = 500
_SEEN_MM = 0.02


@dataclass
class ReportEntry:
    """One face (or one person of a video) in the report.

    Args:
        title: input name and number of the face.
        picture: [H, W, 3] uint8 RGB, the photograph, its crop or a frame.
        overlay: [H, W, 3] uint8 RGB.
        mesh: the textured mesh, or None: then there is no 3D view.
        glb: an animated GLB of the same mesh: then the 3D view plays.
        facts: what to say below, in this order: pose, score, model, licence.
        video: the overlay as a video, shown in the overlay's place; a small one is put into the page.
        files: label -> file to link to, relative to the page.
    """

    title: str
    picture: np.ndarray
    overlay: np.ndarray
    mesh: TriangleMesh | None = None
    glb: Path | None = None
    facts: Mapping[str, str] = field(default_factory=dict)
    video: Path | None = None
    files: Mapping[str, Path] = field(default_factory=dict)


def write_report(path: str | Path, entries: Iterable[ReportEntry], errors: Mapping[str, str] | None = None) -> None:
    """Write the page of `entries` and of `errors` (input -> what was the matter)."""
    with ReportWriter(path) as report:
        for entry in entries:
            report.add(entry)
        for source, line in (errors or {}).items():
            report.add_error(source, line)


class ReportWriter:
    """Writes the page face by face, so that memory stays flat; it takes its name when closed.

    In a ``with`` block, an exception leaves no page; an older one stays.

    Args:
        path: the page.
        max_bytes: faces that would make the page larger are left out and counted on it.

    Raises:
        OutputError: the folder can't be written to, or the disk is full.
    """

    def __init__(self, path: str | Path, *, max_bytes: int = PAGE_BYTES):
        self.path, self.max_bytes = Path(path), max_bytes
        self.faces = self.left_out = self.failed = 0
        self._bytes = 0
        self._errors: list[tuple[str, str]] = []
        self._topologies: set[str] = set()
        self._stack = contextlib.ExitStack()
        temporary = self._stack.enter_context(atomic_write(self.path))
        try:
            self._file = self._stack.enter_context(temporary.open("wb"))
            self._write(_head())
        except OSError as error:
            self.abort()
            raise output_error(self.path, error) from error

    def add(self, entry: ReportEntry) -> None:
        """Write one face, or count it as left out when the page is full."""
        text, topology = self._article(entry)
        if self._bytes + len(text) > self.max_bytes:
            self.left_out += 1
            return
        self._write(text)
        self.faces += 1
        if topology:
            self._topologies.add(topology)

    def add_error(self, source: str, line: str) -> None:
        """Remember an input that failed; the list comes first on the page."""
        self.failed += 1
        if len(self._errors) < LISTED_ERRORS:
            self._errors.append((source, line))

    def close(self) -> None:
        """Finish the page and give it its name."""
        try:
            self._write(_summary(self.faces, self.left_out, self.failed) + _failures(self._errors, self.failed))
            self._write(f"</main>\n<script>\n{_own_file('viewer.js')}</script>\n</body>\n</html>\n")
        except OutputError:
            self.abort()
            raise
        self._stack.close()

    def abort(self) -> None:
        """Leave no page."""
        with contextlib.suppress(OutputError):  # of a last flush to a full disk
            self._stack.__exit__(RuntimeError, RuntimeError("report dropped"), None)

    def __enter__(self) -> ReportWriter:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: Any) -> None:
        if kind is None:
            self.close()
        else:
            self.abort()

    def _write(self, text: str) -> None:
        content = text.encode("utf-8", "replace")  # file names may hold bytes that are no text
        try:
            self._file.write(content)
        except OSError as error:
            raise output_error(self.path, error) from error
        self._bytes += len(content)

    def _article(self, entry: ReportEntry) -> tuple[str, str | None]:
        """The HTML of one face, and the id of the topology it brings along or uses."""
        data, view, topology = "", "", None
        if entry.mesh is not None and len(entry.mesh.triangles):
            name = f"mesh{self.faces}"
            topology, packed_topology = _pack_topology(entry.mesh)
            if topology not in self._topologies:
                data += _json_script(topology, packed_topology)
            data += _json_script(name, _pack_mesh(entry.mesh, topology, _animation_of(entry)))
            view = _view(name, entry.title)
        picture = _picture(entry.picture)
        panes = _pane(_image(picture, f"Photograph: {entry.title}", entry.picture), "Photograph")
        panes += _pane(self._overlay(entry), "Overlay") + view
        text = f"<article>\n<h2>{_escape(entry.title)}</h2>\n<div class=panes>{panes}</div>\n"
        return text + _facts(entry.facts) + self._links(entry.files) + data + "</article>\n", topology

    def _overlay(self, entry: ReportEntry) -> str:
        poster = _picture(entry.overlay)
        if entry.video is None:
            return _image(poster, f"Overlay: {entry.title}", entry.overlay)
        address = self._address(entry.video)
        if entry.video.stat().st_size <= EMBEDDED_VIDEO_BYTES:
            address = data_uri(entry.video.read_bytes(), "video/mp4")
        return f'<video controls loop playsinline preload=none poster="{poster}" src="{_escape(address)}"></video>'

    def _links(self, files: Mapping[str, Path]) -> str:
        links = [f'<a href="{_escape(self._address(file))}">{_escape(label)}</a>' for label, file in files.items()]
        return f"<p class=files>{' '.join(links)}</p>\n" if links else ""

    def _address(self, file: Path) -> str:
        """`file` relative to the page, so that the folder can be moved as a whole."""
        try:
            relative = Path(os.path.relpath(file, self.path.parent))
        except ValueError:  # another drive
            return file.resolve().as_uri()
        return "./" + urllib.parse.quote(os.fsencode(relative.as_posix()))


def _escape(text: str) -> str:
    return html.escape(str(text), quote=True)


def _own_file(name: str) -> str:
    return resources.files("facecli.export").joinpath(name).read_text("utf-8")


def _head() -> str:
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="generator" content="facecli">\n<link rel="icon" href="data:,">\n'
        f"<title>facecli report</title>\n<style>\n{_own_file('report.css')}</style>\n</head>\n<body>\n<main>\n"
        "<header><h1>facecli report</h1></header>\n"
    )


def _summary(faces: int, left_out: int, failed: int) -> str:
    words = [f"{faces} face{'' if faces == 1 else 's'}."]
    if faces:
        words.append("Drag to turn, pinch or click and scroll to zoom, double-click to look from the front again.")
    if left_out:
        words.append(f"{left_out} more were left out to keep this page small; their files are in the output folder.")
    if failed:
        words.append(f"{failed} input{'' if failed == 1 else 's'} failed.")
    return f"<p class=summary>{' '.join(words)}</p>\n"


def _failures(errors: list[tuple[str, str]], failed: int) -> str:
    if not errors:
        return ""
    # A message already begins with the input's name; it is not said twice.
    lines = [_escape(line if line.startswith(source) else f"{source}: {line}") for source, line in errors]
    if failed > len(errors):
        lines.append(f"and {failed - len(errors)} more")
    items = "\n".join(f"<li>{line}</li>" for line in lines)
    return f"<section class=failed>\n<h2>Failed</h2>\n<ul>\n{items}\n</ul>\n</section>\n"


def _facts(facts: Mapping[str, str]) -> str:
    if not facts:
        return ""
    items = "".join(f"<div><dt>{_escape(name)}</dt><dd>{_escape(value)}</dd></div>" for name, value in facts.items())
    return f"<dl>{items}</dl>\n"


def _picture(image: np.ndarray) -> str:
    return data_uri(encode_jpeg(shrink(image, PICTURE_PIXELS)), "image/jpeg")


def _image(address: str, alt: str, image: np.ndarray) -> str:
    height, width = image.shape[:2]
    size = f'width="{width}" height="{height}"'
    return f'<img src="{address}" alt="{_escape(alt)}" {size} loading=lazy decoding=async>'


def _pane(content: str, caption: str) -> str:
    return f"<figure><div class=pane>{content}</div><figcaption>{caption}</figcaption></figure>"


def _view(mesh: str, title: str) -> str:
    label = _escape(f"3D face: {title}. Arrow keys turn it, plus and minus zoom.")
    return _pane(f'<canvas class=face3d data-mesh="{mesh}" tabindex=0 role=img aria-label="{label}"></canvas>', "3D")


def _json_script(name: str, value: Mapping[str, Any]) -> str:
    """Data for viewer.js; base64 and numbers only, so nothing in it can end the element."""
    return f'<script type="application/json" id="{name}">{json.dumps(value, separators=(",", ":"))}</script>\n'


def _pack(values: np.ndarray) -> dict[str, str]:
    little_endian = np.ascontiguousarray(values, values.dtype.newbyteorder("<"))
    return {"type": values.dtype.name, "data": base64.b64encode(little_endian.tobytes()).decode("ascii")}


def _quantise(values: np.ndarray) -> dict[str, Any]:
    """Real numbers as int16 with one scale: 3 micrometres of error in a face."""
    scale = float(np.abs(values).max(initial=0)) / 32767 or 1.0
    return {**_pack(np.rint(values / scale).astype(np.int16)), "scale": scale}


def _smallest_unsigned(indices: np.ndarray) -> np.ndarray:
    return indices.astype(np.uint16 if indices.max(initial=0) <= 65535 else np.uint32)


def _pack_topology(mesh: TriangleMesh) -> tuple[str, dict[str, Any]]:
    """Triangles and UV layout, which all faces of one model share, under an id that tells layouts apart."""
    surface = split_seams(mesh)
    packed: dict[str, Any] = {
        "triangles": _pack(_smallest_unsigned(surface.triangles.ravel())),
        "source": _pack(_smallest_unsigned(surface.source)),
    }
    if surface.uv is not None:
        packed["uv"] = _pack(surface.uv.astype(np.float32))
    digest = hashlib.sha256(json.dumps(packed).encode()).hexdigest()[:12]
    return f"topology-{digest}", packed


def _animation_of(entry: ReportEntry) -> Animation | None:
    if entry.glb is None or entry.mesh is None:
        return None
    return read_animation(entry.glb, len(entry.mesh.vertices))


def _pack_mesh(mesh: TriangleMesh, topology: str, animation: Animation | None) -> dict[str, Any]:
    millimetres = 1000 * (1 if animation else mesh.metres_per_unit)
    vertices = np.asarray(animation.mean if animation else mesh.vertices, np.float64) * millimetres
    used = vertices[np.unique(mesh.triangles)]
    centred = vertices - (used.min(0) + used.max(0)) / 2
    packed: dict[str, Any] = {
        "topology": topology,
        "radius": float(np.linalg.norm(centred[np.unique(mesh.triangles)], axis=1).max()),
        "positions": _quantise(centred),
    }
    if mesh.texture is not None and mesh.uv is not None:
        packed["texture"] = data_uri(encode_jpeg(shrink(mesh.texture, TEXTURE_PIXELS)), "image/jpeg")
    elif mesh.vertex_colors is not None:
        packed["colors"] = _pack(np.asarray(mesh.vertex_colors, np.uint8))
    if animation:
        packed["animation"] = _pack_animation(animation)
    return packed


def _pack_animation(animation: Animation) -> dict[str, Any]:
    """Shapes and turns; the head stays in the middle of the view instead of walking through it. Shapes that never move
    anything far enough to be seen are left out."""
    reach = np.abs(animation.weights).max(0, initial=0) * np.linalg.norm(animation.targets, axis=2).max(1, initial=0)
    shown = np.flatnonzero(reach * 1000 > _SEEN_MM)
    packed: dict[str, Any] = {
        "times": _pack(animation.times.astype(np.float32)),
        "targets": [_quantise(target * 1000) for target in animation.targets[shown]],
        "weights": _quantise(animation.weights[:, shown]),
        "visible": _pack(animation.visible.astype(np.uint8)),
    }
    if animation.rotations is not None:
        packed["turns"] = _quantise(animation.rotations)
    return packed
