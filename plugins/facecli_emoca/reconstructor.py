"""EMOCA as a model of facecli: crops to codes, codes to heads with wrinkles, and EMOCA's own pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from facecli.assets.catalogue import Asset
from facecli.assets.store import find, require_all
from facecli.codes import Codes
from facecli.crop import warp_bicubic
from facecli.detect.face import Face
from facecli.errors import MissingAssetError, UsageError
from facecli.morphable import files as flame_files
from facecli.morphable import flame_head
from facecli.morphable.dense_template import read_dense_template
from facecli.morphable.flame_detail import FlameDetail, LazyDetail, read_fixed_displacement, read_uv_mask
from facecli.morphable.flame_head import CROP_SIZE, FlameHead
from facecli.plugin import Crop, Reconstruction, Rig
from facecli.render.head_view import HeadRenderer
from facecli.render.uv_space import UvSpace
from facecli_deca import files as deca
from facecli_deca.crop import cut, detected_warp, face_warp, whole_warp
from facecli_deca.detail_decoder import N_EXPRESSION, latent
from facecli_deca.encoder import BANDS, CHANNELS, N_DETAIL
from facecli_deca.face import Decoder
from facecli_deca.keypoints import faces_beside
from facecli_emoca.checkpoint import find_model_folder, load_model
from facecli_emoca.face import BACKGROUNDS, EmocaFace, draw
from facecli_emoca.files import DEFAULT_MODEL, MODELS
from facecli_emoca.flame import flame_of_model
from facecli_emoca.overlay import Panels, drawn_head, paste_back

MODES = ("detail", "coarse")
INTERPOLATIONS = ("bilinear", "bicubic")

DEFAULT_LIGHT = (3.0, 0.0, 0.3, 0.7)
"""First bands, alike for the three colours, of codes without light: from the front and a little from above."""


class EmocaReconstructor:
    """EMOCA's encoders, FLAME's decoder and DECA's wrinkles in EMOCA's way.

    Args:
        variant: a model's name, which is its folder's, or a folder.
        checkpoint: of several in it: "best", "latest", a number in the order of their paths, or a file.
        mode: "coarse" leaves the wrinkles away.
        crop_interpolation: "bilinear", as the official program has it for photographs, or "bicubic", as for videos,
            where crops are stored as bytes, too.
        background: of the shaded pictures, one of :data:`facecli_emoca.face.BACKGROUNDS`; "" is the model's own.
        keypoints: take landmarks from NAME.mat or NAME.txt beside a photograph, where there is one.
        flame: edition of FLAME, a key of :data:`facecli.morphable.flame_head.EDITIONS`. Without 2020's file FLAME is
            taken from the checkpoint, if that holds it.
        image_type, cat_dim, include_original, include_rec, include_transparent, black_background, use_mask: of the
            video that the layout makes, see :class:`facecli_emoca.overlay.Panels`.

    Raises:
        MissingAssetError: files are missing; all of them are named.
        InputError: a file is damaged or something else.
        UsageError: there is no such model, checkpoint or word for an option.
    """

    family = flame_head.FAMILY
    landmarker = "mediapipe"
    landmarker_options: dict = {}  # noqa: RUF012 - read-only, as the contract says
    constants = ("identity", "texture", "detail")
    batch_size = 8

    def __init__(
        self,
        device: str = "cpu",
        *,
        variant: str = DEFAULT_MODEL,
        checkpoint: str = "best",
        mode: str = "detail",
        crop_interpolation: str = "bilinear",
        background: str = "",
        keypoints: bool = False,
        flame: str = "2020",
        **panels: Any,
    ):
        _check_words(mode=(mode, MODES), crop_interpolation=(crop_interpolation, INTERPOLATIONS))
        _check_words(background=(background, ("", *BACKGROUNDS)))
        self.device = torch.device(device)
        self.panels = Panels(**panels)
        self.detailed = mode == "detail"
        self._cubic, self._keypoints = crop_interpolation == "bicubic", keypoints
        arrays = flame_of_model(variant, checkpoint) if flame == "2020" and find(flame_files.FLAME) is None else None
        paths = _paths(variant, flame, arrays is not None)
        model = load_model(variant, checkpoint, detail=self.detailed, device=self.device)
        self.name, self.networks = model.name, model.networks
        self.background = background or model.background
        has_mediapipe = find(flame_files.MEDIAPIPE_EMBEDDING) is not None
        self.head = FlameHead(self.device, edition=flame, mediapipe=has_mediapipe, arrays=arrays)
        self.decoder = _decoder(self.head, paths)

    # --- to codes ----------------------------------------------------------------------------------------------------

    def faces_beside(self, picture: str | Path) -> list[Face] | None:
        """With `keypoints`, the face that a file beside the photograph tells of; None: detect."""
        return faces_beside(picture) if self._keypoints else None

    def crop(self, image: np.ndarray, face: Face) -> Crop:
        """A square around 68 landmarks, or around the detector's box.

        Raises:
            ValueError: the face has no area.
        """
        return self._cut(image, face, face_warp(face))

    def crop_box(self, image: np.ndarray, box: np.ndarray) -> Crop:
        """A square around a detector's box [4], as EMOCA's evaluation on NoW has it, which is DECA's.

        Raises:
            ValueError: the box has no area.
        """
        return self._cut(image, Face(np.asarray(box, np.float64), 1.0), detected_warp(box))

    def whole_picture(self, image: np.ndarray, face: Face) -> Crop:
        """The photograph, made square by black bars where it isn't; the official program would turn such pictures."""
        return self._cut(image, face, whole_warp(image.shape[:2]))

    def _cut(self, image: np.ndarray, face: Face, warp: np.ndarray) -> Crop:
        crop = _cut_cubic(image, warp) if self._cubic else cut(image, warp)
        return Crop(face, crop, warp, (image.shape[0], image.shape[1]))

    @torch.inference_mode()
    def encode(self, crops: Sequence[Crop]) -> Codes:
        """Codes of B faces: identity [B, 100], texture [B, 50], expression [B, 50], pose and jaw [B, 3], camera [B, 3],
        light [B, 9, 3], `warp` and `photo_size`, and, but in coarse mode, detail [B, 128]."""
        values = self.networks.encode(flame_head.images_of(crops, self.device))
        values |= flame_head.places_of(crops, self.device)
        return Codes(values, "emoca", self.family)

    # --- from codes --------------------------------------------------------------------------------------------------

    def decode(self, codes: Codes) -> Reconstruction:
        """Heads in millimetres, see :meth:`facecli.morphable.flame_head.FlameHead.decode`, with wrinkles.

        Codes of FLAME's other models do, too: without `detail` wrinkles are those of expression and jaw alone.
        """
        codes = self.complete(codes)
        found = self.head.decode(codes)
        if not self.detailed:
            return found
        numbers = latent(codes["jaw"], codes["expression"], codes["detail"])
        return replace(found, detail=LazyDetail(self.decoder.surface, found.vertices, self.networks.wrinkles, numbers))

    def complete(self, codes: Codes) -> Codes:
        """`codes` on the model's device, with the defaults of :meth:`decode` for all that is missing."""
        codes = self.head.complete(codes)
        count, like = len(codes), self.head.uv
        short = N_EXPRESSION - codes["expression"].shape[1]
        if short > 0:
            codes = codes.replace(expression=torch.nn.functional.pad(codes["expression"], (0, short)))
        light = like.new_tensor(DEFAULT_LIGHT)[:, None]
        defaults = {
            "detail": like.new_zeros(count, N_DETAIL),
            "light": torch.nn.functional.pad(light, (0, 0, 0, BANDS - len(light))).expand(count, BANDS, CHANNELS),
        }
        return codes.replace(**{name: value for name, value in defaults.items() if name not in codes})

    @torch.inference_mode()
    def draw(
        self,
        names: Sequence[str],
        crops: Sequence[Crop] | None,
        codes: Codes,
        reconstruction: Reconstruction,
        photos: Sequence[np.ndarray] | None = None,
    ) -> dict[str, list[np.ndarray]]:
        """EMOCA's pictures, 224 pixels wide or, with `photos`, warped back into them.

        Without crops, faces are drawn on black. In coarse mode there are no detailed pictures.
        """
        pictures: dict[str, list[np.ndarray]] = {name: [] for name in names}
        for number in range(len(codes)):
            one = slice(number, number + 1)
            crop = None if crops is None else crops[number]
            face = self.decoded(codes.select(one), reconstruction.select(one), crop)
            drawn = draw(face, names)
            if photos is not None:
                drawn = self._in_photo(face, drawn, photos[number])
            for name, picture in drawn.items():
                pictures[name].append(picture)
        return {name: found for name, found in pictures.items() if found or not len(codes)}

    def _in_photo(
        self, face: EmocaFace, pictures: Mapping[str, np.ndarray], photo: np.ndarray
    ) -> dict[str, np.ndarray]:
        mask = drawn_head(draw(face, ["geometry_coarse"])["geometry_coarse"])
        warp = face.codes["warp"][0].double().numpy(force=True)
        return {
            name: photo if name == "inputs" else paste_back(photo, picture, mask, warp)
            for name, picture in pictures.items()
        }

    def decoded(self, codes: Codes, reconstruction: Reconstruction, crop: Crop | None) -> EmocaFace:
        """One face, [1, ...] each, as pictures and files want it."""
        face = EmocaFace(self.decoder, self.complete(codes), reconstruction, crop)
        face.background = self.background
        return face

    def rig(self) -> Rig:
        """FLAME's expressions and its jaw."""
        return self.head.rig(("expression", "jaw"), N_EXPRESSION)

    code_unit = staticmethod(flame_head.code_unit)
    steady = staticmethod(flame_head.steady)
    unsteady = staticmethod(flame_head.unsteady)


def _check_words(**chosen: tuple[str, Sequence[str]]) -> None:
    for name, (word, allowed) in chosen.items():
        if word not in allowed:
            raise UsageError(f"{name} is {' or '.join(filter(None, allowed))}, not {word!r}")


def _paths(variant: str, edition: str, has_flame: bool) -> dict[Asset, Path]:
    """Where the files are; what is missing, the model included, is told at once."""
    needed = [asset for asset in flame_head.needed_files(edition) if not (has_flame and asset == flame_files.FLAME)]
    needed += [deca.FACE_EYE_MASK, deca.FIXED_DISPLACEMENT, deca.DENSE_TEMPLATE]
    try:
        find_model_folder(variant)
    except MissingAssetError:
        needed.insert(0, MODELS[variant])
    return dict(zip(needed, require_all(needed), strict=True))


def _decoder(head: FlameHead, paths: Mapping[Asset, Path]) -> Decoder:
    """EMOCA's wrinkles: neither a margin of the map is left out, nor is it blended into the coarse normals."""
    surface = FlameDetail(
        UvSpace(head.triangles, head.uv, head.uv_triangles),
        head.triangles,
        head.flame.template.T.contiguous(),
        read_uv_mask(paths[deca.FACE_EYE_MASK]),
        read_fixed_displacement(paths[deca.FIXED_DISPLACEMENT]),
        read_dense_template(paths[deca.DENSE_TEMPLATE]).to(head.uv.device),
    ).to(head.uv.device)
    renderer = HeadRenderer(head.triangles, head.uv, head.uv_triangles)
    return Decoder(head, surface, renderer, albedo=None, extract_texture=True)


def _cut_cubic(image: np.ndarray, warp: np.ndarray) -> np.ndarray:
    """The crop float32 [3, 224, 224] (0..1) of the official program's videos, which are stored as bytes meanwhile."""
    pixels = warp_bicubic(image, np.linalg.inv(warp), (CROP_SIZE, CROP_SIZE)).astype(np.uint8)
    return np.ascontiguousarray(pixels.transpose(2, 0, 1), np.float32) / 255
