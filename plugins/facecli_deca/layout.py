"""The files of DECA's demo_reconstruct.py, under its names and in its formats."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from facecli.codes import save_codes
from facecli.errors import UsageError
from facecli.geometry.camera import crop_to_photo, ndc_to_crop
from facecli.io.atomic import atomic_write
from facecli.io.images import write_image
from facecli.plugin import FaceView
from facecli.reconstruction.still_layouts import FaceLayout
from facecli_deca.crop import SIZE
from facecli_deca.face import DecodedFace
from facecli_deca.pictures import draw, to_bytes
from facecli_deca.reconstructor import DecaReconstructor

TILE = 224
PICTURES = {
    "landmarks2d": "landmarks2d",
    "landmarks3d": "landmarks3d",
    "shape_images": "shape",
    "shape_detail_images": "shape_detail",
    "rendered_images": "albedo",
    "depth_images": "relative_depth",
}
"""DECA's name of each picture -> ours. Its rendering is the albedo, without light."""
SINGLE = ("inputs", "rendered_images", "shape_images", "shape_detail_images", "landmarks2d")


class DecaLayout(FaceLayout):
    """``NAME_vis.jpg`` and what ``--save`` asks for below ``NAME/``.

    Video frames have the names by which DECA's program calls the pictures that it makes of a video.

    Args:
        save: words of the description in ``facecli_deca``.
        photo_size: also make pictures on the whole photograph (``--render-orig``).
    """

    def __init__(self, model: DecaReconstructor, save: Sequence[str] = ("vis",), photo_size: bool = False):
        if not model.detail:
            raise UsageError("the layout deca shows wrinkles: leave `--option detail=no` away")
        self._model, self._save, self._photo_size = model, set(save), photo_size

    @torch.inference_mode()
    def write_face(self, root: Path, view: FaceView, name: str) -> None:
        """One face's files."""
        face = self._model.decoded(view.codes, view.reconstruction, view.crop)
        folder = root / name
        self._write_pictures(root, folder, name, face, view)
        if "kpt" in self._save:
            _write_keypoints(folder, name, face)
        if "kpt_photo" in self._save:
            _write_photo_keypoints(folder, name, face)
        if "obj" in self._save:
            write_obj(folder / f"{name}.obj", face)
            write_detail_obj(folder / f"{name}_detail.obj", face)
        if "mat" in self._save:
            _write_mat(folder / f"{name}.mat", face)
        if "codes" in self._save:
            save_codes(folder / f"{name}_codes.npz", view.codes)

    def _write_pictures(self, root: Path, folder: Path, name: str, face: DecodedFace, view: FaceView) -> None:
        tiles = self._tiles(face, None, {"vis", "images", "depth"})
        if "vis" in self._save:
            write_image(root / f"{name}_vis.jpg", contact_sheet(list(tiles.values())))
        if "depth" in self._save:
            write_image(folder / f"{name}_depth.jpg", tiles["depth_images"])
        self._write_single(folder, f"{name}_", tiles)
        if self._photo_size and {"vis", "images"} & self._save:
            tiles = self._tiles(face, view.photo, {"vis", "images"})
            if "vis" in self._save:
                write_image(root / f"{name}_vis_original_size.jpg", contact_sheet(list(tiles.values())))
            self._write_single(folder, f"orig_{name}_", tiles)

    def _write_single(self, folder: Path, prefix: str, tiles: dict[str, np.ndarray]) -> None:
        if "images" in self._save:
            for key in SINGLE:
                if key in tiles:
                    write_image(folder / f"{prefix}{key}.jpg", tiles[key])

    def _tiles(self, face: DecodedFace, photo: np.ndarray | None, wanted_by: set[str]) -> dict[str, np.ndarray]:
        """Pictures by DECA's names, in its order; what needs a photograph that isn't there is left out."""
        if not wanted_by & self._save:
            return {}
        inputs = photo if photo is not None else None if face.image is None else to_bytes(face.image)
        names = [key for key in PICTURES if key != "rendered_images" or face.albedo is not None]
        if "depth" not in self._save or photo is not None:
            names.remove("depth_images")
        drawn = draw(face, [PICTURES[key] for key in names], photo)
        tiles = {} if inputs is None else {"inputs": inputs}
        return tiles | {key: drawn[PICTURES[key]] for key in names if PICTURES[key] in drawn}


def contact_sheet(tiles: Sequence[np.ndarray]) -> np.ndarray:
    """RGB uint8 [224, W, 3]: pictures [h, w, 3] side by side, each scaled to this height by its nearest pixels."""
    scaled = []
    for tile in tiles:
        height, width = tile.shape[:2]
        size = (TILE, max(int(width * TILE / height), 1))
        channels = torch.from_numpy(np.ascontiguousarray(tile.transpose(2, 0, 1)))[None]
        scaled.append(torch.nn.functional.interpolate(channels, size=size)[0].permute(1, 2, 0).numpy())
    return np.concatenate(scaled, axis=1)


# --- numbers ---------------------------------------------------------------------------------------------------------


def _write_keypoints(folder: Path, name: str, face: DecodedFace) -> None:
    """NDC of the crop, as DECA writes on a GPU."""
    _write_table(folder / f"{name}_kpt2d.txt", face.reconstruction.extras["landmarks2d"][0])
    _write_table(folder / f"{name}_kpt3d.txt", face.landmarks3d[0])


def _write_photo_keypoints(folder: Path, name: str, face: DecodedFace) -> None:
    """The same in pixels of the photograph; z in pixels of the crop's scale, away from the camera."""
    warp = face.codes["warp"]

    def to_photo(points: torch.Tensor) -> torch.Tensor:
        pixels = crop_to_photo(ndc_to_crop(points[..., :2], SIZE), warp)
        scale = (SIZE / 2) / torch.linalg.det(warp[:, :2, :2]).abs().sqrt()[:, None, None]
        return torch.cat([pixels, points[..., 2:3] * scale, points[..., 3:]], -1)[0]

    _write_table(folder / f"{name}_kpt2d_photo.txt", to_photo(face.reconstruction.extras["landmarks2d"]))
    _write_table(folder / f"{name}_kpt3d_photo.txt", to_photo(face.landmarks3d))


def _write_table(path: Path, values: torch.Tensor) -> None:
    with atomic_write(path) as temporary:
        np.savetxt(temporary, values.numpy(force=True))


def _write_mat(path: Path, face: DecodedFace) -> None:
    import scipy.io

    arrays = {key: value[0].numpy(force=True) for key, value in face.outputs().items()}
    with atomic_write(path) as temporary:
        scipy.io.savemat(str(temporary), arrays, appendmat=False)


# --- meshes ----------------------------------------------------------------------------------------------------------


def write_obj(path: Path, face: DecodedFace) -> None:
    """DECA's coarse OBJ with its MTL, texture and normals in UV space beside it. Metres, with the head's pose."""
    head, name = face.decoder.head, path.stem
    write_image(path.with_suffix(".png"), to_bytes(face.uv_texture_gt))
    write_image(path.with_name(f"{name}_normals.png"), to_bytes(face.uv_detail_normals * 0.5 + 0.5))
    material = f"newmtl FaceTexture\nmap_Kd {name}.png\ndisp {name}_normals.png"
    corners = torch.stack([head.triangles, head.uv_triangles], -1) + 1
    lines = [
        f"mtllib {name}.mtl\n",
        *(f"v {x} {y} {z}" for x, y, z in _doubles(face.verts[0])),
        *(f"vt {u} {v}" for u, v in _doubles(head.uv)),
        "usemtl FaceTexture",
        *("f " + " ".join(f"{v}/{t}" for v, t in triangle) for triangle in corners.tolist()),
    ]
    _write_text(path.with_suffix(".mtl"), material)
    _write_text(path, "\n".join(lines) + "\n")


def write_detail_obj(path: Path, face: DecodedFace) -> None:
    """DECA's dense OBJ: each vertex with its texel's colour, 0..255."""
    dense = face.decoder.surface.dense
    colors = (dense.at_texels(face.uv_texture_gt)[0] * 255).clamp(0, 255).byte().tolist()
    vertices = _doubles(face.dense_vertices[0])
    lines = [f"v {x} {y} {z} {r} {g} {b}" for (x, y, z), (r, g, b) in zip(vertices, colors, strict=True)]
    lines += [f"f {a} {b} {c}" for a, b, c in (dense.triangles + 1).tolist()]
    _write_text(path, "\n".join(lines) + "\n")


def _doubles(values: torch.Tensor) -> list[list[float]]:
    """Each float32 as the double that it is, with all its digits when it is printed."""
    return values.double().tolist()


def _write_text(path: Path, text: str) -> None:
    with atomic_write(path) as temporary:
        temporary.write_text(text, "utf-8", "surrogateescape", newline="\n")
