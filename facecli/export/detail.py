"""Wrinkles as files: the dense mesh, the normal map of the coarse one, and the displacement that both come from."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from facecli.export.glb import write_glb
from facecli.export.normal_map import normal_map
from facecli.export.obj import Displacement, normals_name, write_obj
from facecli.export.pictures import PngOnce
from facecli.export.ply import write_ply
from facecli.geometry.mesh import TriangleMesh
from facecli.io.atomic import atomic_write
from facecli.io.images import write_image
from facecli.plugin import Reconstruction
from facecli.render.texture import texel_coordinates

STEP_MM = 0.0005
"""Millimetres a grey level of a displacement map, which so reaches 16 mm both ways; twice that, and so on, beyond."""
ZERO_GREY = 32768

_ROW = 1024


@dataclass(frozen=True)
class Relief:
    """A displacement map [S, S] float32, in millimetres along the coarse mesh's normals."""

    millimetres: np.ndarray

    @property
    def step(self) -> float:
        """Millimetres a grey level: :data:`STEP_MM`, doubled until the map fits."""
        largest = float(np.abs(self.millimetres).max(initial=0))
        doublings = np.ceil(np.log2(max(largest, 1e-9) / (STEP_MM * (ZERO_GREY - 1))))
        return STEP_MM * 2.0 ** max(doublings, 0)

    @property
    def grey(self) -> np.ndarray:
        """As a 16-bit picture [S, S]: ``mm = (grey - 32768) * step``."""
        return (np.rint(self.millimetres / self.step) + ZERO_GREY).astype(np.uint16)

    def in_material(self, name: str, metres_per_unit: float) -> Displacement:
        """As the material of a mesh in that unit names it, in the picture `name`."""
        unit = 1000 * metres_per_unit
        return Displacement(name, -ZERO_GREY * self.step / unit, 65535 * self.step / unit)


def relief_of(reconstruction: Reconstruction, number: int) -> Relief | None:
    """The displacement of face `number`, if the model gives any."""
    if reconstruction.detail is None:
        return None
    displacement = reconstruction.detail.displacement[number, 0].numpy(force=True)
    return Relief(np.asarray(displacement, np.float32) * np.float32(1000 * reconstruction.metres_per_unit))


def with_normal_map(mesh: TriangleMesh, reconstruction: Reconstruction, number: int) -> TriangleMesh:
    """`mesh`, which is that of face `number`, with the wrinkles of its detail as a normal map, if there are any."""
    if reconstruction.detail is None or mesh.uv is None:
        return mesh
    normals = reconstruction.detail.normals[number].permute(1, 2, 0).numpy(force=True)
    return replace(mesh, normal_map=normal_map(mesh, normals))


def dense_mesh(reconstruction: Reconstruction, number: int, texture: np.ndarray | None = None) -> TriangleMesh | None:
    """The displaced surface of face `number` with a UV for each vertex, if the model gives one."""
    detail = reconstruction.detail
    if detail is None or detail.vertices is None or detail.triangles is None:
        return None
    return TriangleMesh(
        vertices=detail.vertices[number].numpy(force=True),
        triangles=detail.triangles.numpy(force=True),
        uv=None if detail.uv is None else detail.uv.numpy(force=True),
        texture=None if detail.uv is None else texture,
        metres_per_unit=reconstruction.metres_per_unit,
    )


def displacement_name(stem: str) -> str:
    """The displacement map's picture beside ``stem.obj``."""
    return f"{stem}_displacement.png"


def write_detail(
    folder: Path,
    reconstruction: Reconstruction,
    number: int,
    texture: np.ndarray | None,
    save: tuple[str, ...],
    stem: str = "mesh",
    *,
    mesh: TriangleMesh | None = None,
    png: PngOnce | None = None,
) -> dict[str, Any]:
    """What ``--save detail`` gives of face `number`; nothing where the model has no detail.

    ``mesh_detail`` in the mesh formats among `save` (OBJ where there are none), ``mesh_normals.png``,
    ``mesh_displacement.png`` (16 bits) and ``mesh_displacement.tif`` (float32, millimetres).

    Args:
        texture: [S, S, 3] uint8 or None, the coarse mesh's, whose layout the dense one shares.
        mesh: the coarse mesh with its normal map, if that was made already.
        png: pictures that were compressed already.

    Returns:
        For face.json: the files' names, and what the grey levels mean.
    """
    relief = relief_of(reconstruction, number)
    if relief is None:
        return {}
    png = png or PngOnce()
    record = _write_relief(folder, relief, stem)
    if mesh is None:
        mesh = with_normal_map(reconstruction.mesh(number), reconstruction, number)
    if mesh.normal_map is not None:
        record["normal_map"] = normals_name(stem)
        _write(folder / record["normal_map"], png(mesh.normal_map))
    dense = dense_mesh(reconstruction, number, texture)
    if dense is not None:
        formats = [kind for kind in ("glb", "obj", "ply") if kind in save] or ["obj"]
        _write_dense(folder, dense, formats, stem, png)
        record["mesh"] = f"{stem}_detail.{formats[0]}"
    return record


def _write_relief(folder: Path, relief: Relief, stem: str) -> dict[str, Any]:
    picture = displacement_name(stem)
    exact = f"{stem}_displacement.tif"
    write_image(folder / picture, relief.grey)
    done, encoded = cv2.imencode(".tif", relief.millimetres)
    if not done:
        raise ValueError(f"no TIFF can be made of an array {relief.millimetres.shape}")
    _write(folder / exact, encoded.tobytes())
    return {
        "displacement": picture,
        "mm_per_grey": relief.step,
        "zero_grey": ZERO_GREY,
        "displacement_mm": exact,
    }


def _write_dense(folder: Path, dense: TriangleMesh, formats: list[str], stem: str, png: PngOnce) -> None:
    name = f"{stem}_detail"
    picture = None if dense.texture is None else f"{stem}.png"
    if picture is not None and {"obj", "ply"} & set(formats):
        _write(folder / picture, png(dense.texture))  # as the coarse mesh's OBJ has it
    if "glb" in formats:
        write_glb(folder / f"{name}.glb", dense, texture_png=png(dense.texture))
    if "obj" in formats:
        write_obj(folder / f"{name}.obj", replace(dense, texture=None), texture_name=picture)
    if "ply" in formats:
        write_ply(folder / f"{name}.ply", _colored(dense), texture_name=picture)


def _colored(mesh: TriangleMesh) -> TriangleMesh:
    """`mesh` with its texture's colours at the vertices: few programs show a PLY's texture."""
    if mesh.texture is None:
        return mesh
    where = texel_coordinates(np.asarray(mesh.uv, np.float32), len(mesh.texture)).astype(np.float32)
    rows = -(-len(where) // _ROW)  # OpenCV's pictures end at 32767 pixels
    where = np.pad(where, ((0, rows * _ROW - len(where)), (0, 0))).reshape(rows, _ROW, 2)
    colors = cv2.remap(mesh.texture, where, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return replace(mesh, vertex_colors=colors.reshape(-1, 3)[: len(mesh.vertices)])


def _write(path: Path, content: bytes) -> None:
    with atomic_write(path) as temporary:
        temporary.write_bytes(content)
