"""What one photograph gives: a folder a face, with meshes, texture, codes and pictures."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from facecli.codes import save_codes
from facecli.errors import UsageError
from facecli.export.detail import Relief, displacement_name, relief_of, with_normal_map, write_detail
from facecli.export.face_json import face_record, write_json
from facecli.export.glb import write_glb
from facecli.export.obj import write_obj
from facecli.export.parts import parts_of
from facecli.export.pictures import PngOnce
from facecli.export.ply import write_ply
from facecli.export.rig import code_weights, in_arkit
from facecli.geometry.mesh import TriangleMesh, triangle_areas
from facecli.io.images import write_image
from facecli.plugin import FaceView, Layout, Reconstruction
from facecli.reconstruction.arkit import NoWeights, Weights, write_still
from facecli.reconstruction.settings import Settings
from facecli.reconstruction.stream import Frame
from facecli.render.pictures import depth_picture, depth_to_uint16, draw_overlay, draw_pose_axes, normals_picture
from facecli.render.texture import complete_texture, sample_texture
from facecli.render.window import pixels_per_unit

DEPTH_STEP_MM = 0.01
"""Millimetres a grey level of depth.png: 0 is no face, 1 the nearest point; 16 bits reach 65 cm behind it."""

MESH_FILES = {"glb": "mesh.glb", "obj": "mesh.obj", "ply": "mesh.ply"}
"""In the order in which the record's `mesh` prefers them."""


@dataclass
class FaceResult:
    """One written face: its number, record (paths relative to the result folder), mesh and overlay."""

    number: int
    record: dict[str, Any]
    mesh: TriangleMesh | None
    overlay: np.ndarray | None


def write_picture(frame: Frame, folder: Path, settings: Settings) -> list[FaceResult]:
    """Write all faces of a photograph below `folder`."""
    save = settings.saves(video=False)
    check_detail(frame, settings, save)
    weights = _weights_of(frame, settings)
    results = list(_write_faces(frame, folder, settings, save, weights))
    if "overlay" in save and len(results) > 1:
        write_image(folder / "overlay.png", overlay_of(frame, settings))
    return results


def _write_faces(
    frame: Frame, folder: Path, settings: Settings, save: tuple[str, ...], weights: list[Weights] | None
) -> Iterator[FaceResult]:
    textured = bool({"obj", "glb", "detail"} & set(save))
    for number in range(len(frame.faces)):
        name = f"face{number}"
        below = folder / name
        below.mkdir(parents=True, exist_ok=True)
        mesh = frame.reconstruction.mesh(number, texture_of(frame, number, settings) if textured else None)
        mesh = with_normal_map(mesh, frame.reconstruction, number) if textured else mesh
        png = PngOnce()
        write_meshes(below, mesh, save, png=png, relief=_relief(frame, number, save), rigged=rigged(frame, number))
        detail = {}
        if "detail" in save:
            detail = write_detail(below, frame.reconstruction, number, mesh.texture, save, mesh=mesh, png=png)
        write_pictures(frame, number, below, settings, save)
        pictures = write_model_pictures(frame, number, below)
        overlay = None
        if "overlay" in save:
            overlay = overlay_of(frame, settings, [number])
            write_image(below / "overlay.png", overlay)
        if "codes" in save:
            face, held = frame.faces[number], frame.held if number == 0 else ()
            raw = {f"raw/{code}": frame.codes[code][[number]].numpy(force=True) for code in held}
            save_codes(below / "codes.npz", frame.mixed.select(number), box=[face.box], score=[face.score], **raw)
        if weights:
            words = {"input": frame.name, "face": number, "model": settings.model} | frame.notes
            write_still(below, weights[number], words)
        record = record_of(frame, number, settings)
        files = {
            "mesh": next((f"{name}/{MESH_FILES[kind]}" for kind in MESH_FILES if kind in save), None),
            "overlay": f"{name}/overlay.png" if "overlay" in save else None,
            "codes": f"{name}/codes.npz" if "codes" in save else None,
        }
        if weights:
            files["arkit"] = f"{name}/arkit.json"
        if "json" in save:
            own_files = {key: path and path.split("/")[-1] for key, path in files.items()}
            further = {"pictures": pictures, "detail": detail}
            write_json(
                below / "face.json", record | own_files | {key: value for key, value in further.items() if value}
            )
        if pictures:
            files["pictures"] = {key: f"{name}/{file}" for key, file in pictures.items()}
        yield FaceResult(number, _short(record) | files, mesh if len(mesh.vertices) else None, overlay)


def write_meshes(
    folder: Path,
    mesh: TriangleMesh,
    save: tuple[str, ...],
    stem: str = "mesh",
    *,
    png: PngOnce | None = None,
    relief: Relief | None = None,
    rigged: Mapping[str, Any] | None = None,
) -> None:
    """The mesh in the formats among `save`.

    Args:
        png: compresses pictures once for all files of a face, which takes longer than all else here.
        relief: the displacement map that :func:`write_detail` writes beside the OBJ, whose material then names it.
        rigged: the GLB's blend shapes, see :func:`rigged`.
    """
    png = png or PngOnce()
    texture, normals = (None if mesh.uv is None else picture for picture in (mesh.texture, mesh.normal_map))
    if "obj" in save:
        displacement = relief and relief.in_material(displacement_name(stem), mesh.metres_per_unit)
        pngs = {"texture_png": png(texture), "normal_png": png(normals)}
        write_obj(folder / f"{stem}.obj", mesh, displacement=displacement, **pngs)
    if "glb" in save:
        pngs = {"texture_png": png(texture), "normal_png": png(normals)}
        write_glb(folder / f"{stem}.glb", mesh, **pngs, **(rigged or {}))
    if "ply" in save:
        write_ply(folder / f"{stem}.ply", mesh)


def _relief(frame: Frame, number: int, save: tuple[str, ...]) -> Relief | None:
    return relief_of(frame.reconstruction, number) if "detail" in save else None


def rigged(frame: Frame, number: int) -> dict[str, Any]:
    """The words `rig`, `weights`, `neutral` and `parts` of :func:`write_glb`, as far as the model has such."""
    parts = {"parts": parts_of(frame.reconstruction, number)} if frame.reconstruction.joints else {}
    if frame.rig is None:
        return parts
    neutral = frame.neutral
    rig, weights = in_arkit(frame.rig, code_weights(frame.rig, frame.mixed.select(number))[0])
    neutral = None if neutral is None else neutral[number].numpy(force=True)
    return parts | {"rig": rig, "weights": weights, "neutral": neutral}


def write_pictures(
    frame: Frame, number: int, folder: Path, settings: Settings, save: tuple[str, ...], stem: str | None = None
) -> None:
    """Depth, normals and crop of one face, as far as they are among `save`; `stem` instead of their own names."""
    projected, triangles = projection(frame.reconstruction, number)
    size = frame.image.shape[:2]
    millimetres = 1000 * frame.reconstruction.metres_per_unit
    if "depth" in save:
        depth, _ = depth_picture(projected, triangles, size, mm_per_unit=millimetres, backend=settings.rasterizer)
        write_image(folder / f"{stem or 'depth'}.png", depth_to_uint16(depth, DEPTH_STEP_MM)[0])
    if "normals" in save:
        scale = scale_of(frame.reconstruction, number)
        normals = normals_picture(projected, triangles, size, pixels_per_unit=scale, backend=settings.rasterizer)
        write_image(folder / f"{stem or 'normals'}.png", normals)
    if "crop" in save and frame.crops:
        crop = np.clip(np.rint(frame.crops[number].image.transpose(1, 2, 0) * 255), 0, 255).astype(np.uint8)
        write_image(folder / f"{stem or 'crop'}.png", crop)


def write_model_pictures(frame: Frame, number: int, folder: Path, stem: str | None = None) -> dict[str, str]:
    """The model's own pictures of one face; name -> file in `folder`. Those in the photograph end in ``_photo``.

    Args:
        stem: of a video's frame, whose pictures lie in folders of their names.
    """
    files = {}
    for pictures, suffix in ((frame.pictures, ""), (frame.in_photo, "_photo")):
        for name, of_faces in pictures.items():
            files[name + suffix] = f"{name}{suffix}.png" if stem is None else f"{name}{suffix}/{stem}.png"
            path = folder / files[name + suffix]
            path.parent.mkdir(parents=True, exist_ok=True)
            write_image(path, of_faces[number])
    return files


def check_detail(frame: Frame, settings: Settings, save: tuple[str, ...]) -> None:
    """
    Raises:
        UsageError: the user asks for detail by name, and the model gives none.
    """
    if "detail" in save and "detail" not in settings.implied and frame.reconstruction.detail is None:
        raise UsageError(f"the model {settings.model} has no detail to save (or not with these options)")


def _weights_of(frame: Frame, settings: Settings) -> list[Weights] | None:
    """The ARKit weights of its faces, where they are asked for and to be had.

    Raises:
        NoWeights: the user asks for them by name, and there are none.
    """
    if not isinstance(frame.arkit, NoWeights):
        return frame.arkit
    if "arkit" in settings.implied:
        return None
    raise frame.arkit


def write_layout(
    frame: Frame, layout: Layout, root: Path, settings: Settings, stem: str, source: str
) -> list[FaceResult]:
    """Write a photograph's faces below `root` as `layout` does; nothing of facecli's own."""
    with torch.inference_mode():
        layout.write_photograph(root, views_of(frame, stem, source))
    return [
        FaceResult(number, _short(record_of(frame, number, settings)), frame.reconstruction.mesh(number), None)
        for number in range(len(frame.faces))
    ]


def views_of(frame: Frame, stem: str, source: str) -> list[FaceView]:
    """What a layout is told of a frame's faces, largest first."""
    order = sorted(range(len(frame.faces)), key=lambda number: -frame.faces[number].area)
    return [
        FaceView(
            stem=stem,
            source=source,
            number=frame.people[number] if frame.people else number,
            frame=frame.index,
            photo=frame.image,
            crop=frame.crops[number] if frame.crops else None,
            codes=frame.mixed.select(number),
            reconstruction=frame.reconstruction.select(slice(number, number + 1)),
        )
        for number in order
    ]


def projection(reconstruction: Reconstruction, number: int) -> tuple[np.ndarray, np.ndarray]:
    """(projected [V, 3] pixels and depth, triangles [F, 3]) of one face as numpy."""
    return reconstruction.projected[number].numpy(force=True), reconstruction.triangles.numpy(force=True)


def texture_of(frame: Frame, number: int, settings: Settings) -> np.ndarray | None:
    """[S, S, 3] uint8: the model's own texture, else the photograph's, completed where it is hidden."""
    sampled = sampled_texture(frame, number, settings)
    return None if sampled is None else completed_texture(frame.reconstruction, *sampled, settings)


def sampled_texture(frame: Frame, number: int, settings: Settings) -> tuple[np.ndarray, np.ndarray | None] | None:
    """(texture [S, S, 3] uint8, weight [S, S] float32: how well each texel is seen, None: wholly); None without UV or
    photograph."""
    reconstruction = frame.reconstruction
    if reconstruction.texture is not None:
        own = reconstruction.texture[number].permute(1, 2, 0).clamp(0, 1) * 255
        return own.round().byte().numpy(force=True), None
    if reconstruction.uv is None or frame.blank:
        return None
    reconstruction = reconstruction if frame.own is None else frame.own
    projected, triangles = projection(reconstruction, number)
    uv, uv_triangles = _layout(reconstruction)
    return sample_texture(
        frame.image,
        projected,
        triangles,
        uv,
        uv_triangles,
        settings.texture_size or texture_size(reconstruction, number),
        pixels_per_unit=scale_of(reconstruction, number),
        backend=settings.rasterizer,
    )


def texture_size(reconstruction: Reconstruction, number: int) -> int:
    """A power of two, 512 or 1024, that keeps what the photograph shows of the face: about 1.75 texels a pixel."""
    uv, uv_triangles = _layout(reconstruction)
    vertices = reconstruction.vertices[number].numpy(force=True)
    triangles = reconstruction.triangles.numpy(force=True)
    surface = triangle_areas(vertices, triangles).sum() * scale_of(reconstruction, number) ** 2  # square pixels
    layout = triangle_areas(np.pad(uv, ((0, 0), (0, 1))), uv_triangles).sum()
    side = 1.75 * np.sqrt(surface / max(layout, 1e-9))
    return int(2 ** np.clip(np.rint(np.log2(max(side, 1.0))), 9, 10))


def completed_texture(
    reconstruction: Reconstruction, texture: np.ndarray, weight: np.ndarray | None, settings: Settings
) -> np.ndarray:
    """The sampled `texture` with its hidden parts filled by symmetry and inpainting."""
    if weight is None:
        return texture
    uv, uv_triangles = _layout(reconstruction)
    mirror = None if reconstruction.uv_mirror is None else reconstruction.uv_mirror.numpy(force=True)
    return complete_texture(texture, weight, uv, uv_triangles, mirror, backend=settings.rasterizer)


def _layout(reconstruction: Reconstruction) -> tuple[np.ndarray, np.ndarray]:
    triangles = reconstruction.triangles if reconstruction.uv_triangles is None else reconstruction.uv_triangles
    return reconstruction.uv.numpy(force=True), triangles.numpy(force=True)


def overlay_of(frame: Frame, settings: Settings, numbers: list[int] | None = None) -> np.ndarray:
    """The photograph with the meshes of the faces `numbers` (all) on it; without meshes, with the heads' axes."""
    numbers = range(len(frame.faces)) if numbers is None else numbers
    if not frame.reconstruction.vertices.shape[1]:
        return _axes_of(frame, numbers)
    shapes = [projection(frame.reconstruction, number)[0] for number in numbers]
    scales = [scale_of(frame.reconstruction, number) for number in numbers]
    triangles = frame.reconstruction.triangles.numpy(force=True)
    return draw_overlay(frame.image, shapes, triangles, pixels_per_unit=scales, backend=settings.rasterizer)


def _axes_of(frame: Frame, numbers: Iterable[int]) -> np.ndarray:
    picture = frame.image
    for number in numbers:
        box = np.asarray(frame.faces[number].box)
        pose = frame.reconstruction.head_pose[number].numpy(force=True)
        picture = draw_pose_axes(picture, pose, (box[:2] + box[2:]) / 2, float((box[2:] - box[:2]).mean()) / 2)
    return picture


def scale_of(reconstruction: Reconstruction, number: int) -> float:
    """Pixels of the photograph in one unit of the model, at the face."""
    return pixels_per_unit(
        reconstruction.vertices[number].numpy(force=True), reconstruction.projected[number].numpy(force=True)
    )


def record_of(frame: Frame, number: int, settings: Settings) -> dict[str, Any]:
    """All that face.json says of one face, without file names."""
    reconstruction, face = frame.reconstruction, frame.faces[number]
    pose = reconstruction.head_pose
    return (
        face_record(
            input=frame.name,
            face=frame.people[number] if frame.people else number,
            model=settings.model,
            box=face.box,
            score=face.score,
            frame=0 if frame.index is None else frame.index,
            time=frame.time,
            photo_size=frame.image.shape[:2],
            head_pose=None if pose is None else pose[number],
            landmarks={name: points[number] for name, points in reconstruction.landmarks.items()},
            camera={
                name: value[number] if getattr(value, "ndim", 0) else value
                for name, value in reconstruction.camera.items()
            },
            unit="mm" if reconstruction.metres_per_unit == 0.001 else f"{reconstruction.metres_per_unit} m",
            blendshapes=face.blendshapes,
        )
        | frame.notes
    )


LONG_KEYS = ("landmarks", "blendshapes", "head_pose")


def _short(record: dict[str, Any]) -> dict[str, Any]:
    """The record for a line of JSON: the many numbers stay in face.json."""
    return {key: value for key, value in record.items() if key not in LONG_KEYS}
