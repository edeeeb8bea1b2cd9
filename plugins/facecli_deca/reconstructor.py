"""DECA as a model of facecli: photograph and face to crop, crop to FLAME's codes and wrinkles', codes to a head."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from facecli.assets.catalogue import Asset
from facecli.assets.store import require_all
from facecli.codes import Codes
from facecli.detect.face import Face
from facecli.errors import UsageError
from facecli.geometry.rotations import euler_to_axis_angle
from facecli.morphable import files as flame_files
from facecli.morphable import flame_head
from facecli.morphable.dense_template import read_dense_template
from facecli.morphable.flame_detail import (
    DECA_MARGIN,
    FlameDetail,
    LazyDetail,
    read_fixed_displacement,
    read_uv_mask,
)
from facecli.morphable.flame_head import FlameHead
from facecli.morphable.flame_texture import COMPONENTS, FlameAlbedo, read_albedo
from facecli.plugin import Crop, Reconstruction, Rig
from facecli.render.head_view import HeadRenderer
from facecli.render.lighting import white_light
from facecli.render.ndc import RULES
from facecli.render.uv_space import UvSpace
from facecli_deca import files
from facecli_deca.crop import cut, detected_warp, face_warp, whole_warp
from facecli_deca.detail_decoder import N_DETAIL, N_EXPRESSION, latent
from facecli_deca.encoder import rename, split
from facecli_deca.face import DecodedFace, Decoder
from facecli_deca.keypoints import faces_beside
from facecli_deca.pictures import draw
from facecli_deca.weights import load_networks

UV_SIZE = 256

ALBEDOS: dict[str, Asset | None] = {
    "off": None,
    "bfm": flame_files.BFM_ALBEDO,
    "flame": flame_files.FLAME_TEXTURE,
}


class DecaReconstructor:
    """DECA's encoders, FLAME, and wrinkles on it.

    Args:
        detail: encode and decode wrinkles; without them a face takes half the time.
        use_tex: the albedo model, a key of :data:`ALBEDOS`.
        extract_tex: textures from the photograph; False: the albedo model's, under the light that was found.
        rasterizer_type: rules of the pictures and UV maps, "standard" (DECA's own) or "pytorch3d".
        jaw_type: how the network's jaw is to be read: "aa" (axis-angle, as in the released weights) or "euler".
        keypoints: take landmarks from STEM.mat or STEM.txt beside a photograph, where there is one.
        turned_whole: take a whole picture that isn't square as DECA's program does, turned.
        flame: edition of FLAME, a key of :data:`facecli.morphable.flame_head.EDITIONS`.
        checkpoint: another file of weights than ``deca_model.tar``.

    Raises:
        MissingAssetError: files are missing.
        InputError: a file is damaged or something else.
        UsageError: the options don't go together.
    """

    family = flame_head.FAMILY
    landmarker = "mediapipe"
    landmarker_options: dict = {}  # noqa: RUF012 - read-only, as the contract says
    constants = ("identity", "texture", "detail")
    batch_size = 4

    def __init__(
        self,
        device: str = "cpu",
        *,
        detail: bool = True,
        use_tex: str = "off",
        extract_tex: bool = True,
        rasterizer_type: str = "standard",
        jaw_type: str = "aa",
        keypoints: bool = False,
        turned_whole: bool = False,
        flame: str = "2020",
        checkpoint: str = "",
    ):
        _check_words(use_tex=(use_tex, ALBEDOS), rasterizer_type=(rasterizer_type, RULES), jaw_type=(jaw_type, JAWS))
        if use_tex == "off" and not extract_tex:
            raise UsageError("extract_tex=no takes textures from an albedo model: use_tex=bfm or use_tex=flame, too")
        self.device = torch.device(device)
        self.detail = detail
        self._euler_jaw = jaw_type == "euler"
        self._keypoints, self._turned_whole = keypoints, turned_whole
        paths = _paths(flame, ALBEDOS[use_tex], checkpoint)
        self.head = FlameHead(self.device, edition=flame)
        names = ("E_flame", "E_detail", "D_detail") if detail else ("E_flame",)
        self.networks = load_networks(self.device, names, path=checkpoint or None)
        albedo = ALBEDOS[use_tex] and read_albedo(paths[ALBEDOS[use_tex]]).to(self.device)
        self._decoder = _decoder(self.head, paths, albedo, extract_tex, rasterizer_type, self.device)
        self._zero_light = white_light(self.head.uv, 1)

    # --- to codes ----------------------------------------------------------------------------------------------------

    def faces_beside(self, picture: str | Path) -> list[Face] | None:
        """With `keypoints`, the face that a file beside the photograph tells of; None: detect."""
        return faces_beside(picture) if self._keypoints else None

    def crop(self, image: np.ndarray, face: Face) -> Crop:
        """A square around the landmarks.

        Raises:
            ValueError: the face has no area.
        """
        return _crop(face, image, face_warp(face))

    def crop_box(self, image: np.ndarray, box: np.ndarray) -> Crop:
        """A square around a detector's box [4], as DECA's evaluation on NoW has it.

        Raises:
            ValueError: the box has no area.
        """
        return _crop(Face(np.asarray(box, np.float64), 1.0), image, detected_warp(box))

    def whole_picture(self, image: np.ndarray, face: Face) -> Crop:
        """The photograph, scaled to the crop's size; padded with black if it isn't square."""
        return _crop(face, image, whole_warp(image.shape[:2], turned=self._turned_whole))

    @torch.inference_mode()
    def encode(self, crops: Sequence[Crop]) -> Codes:
        """Codes of B faces: identity [B, 100], texture [B, 50], expression [B, 50], pose and jaw [B, 3], camera [B, 3],
        light [B, 9, 3], detail [B, 128], and `warp` and `photo_size`."""
        images = flame_head.images_of(crops, self.device)
        values = rename(split(self.networks["E_flame"](images)))
        if self._euler_jaw:
            values["jaw"] = euler_to_axis_angle(values["jaw"])
        if self.detail:
            values["detail"] = self.networks["E_detail"](images)
        values |= flame_head.places_of(crops, self.device)
        return Codes(values, "deca", self.family)

    # --- from codes --------------------------------------------------------------------------------------------------

    def decode(self, codes: Codes) -> Reconstruction:
        """Heads in millimetres, see :meth:`facecli.morphable.flame_head.FlameHead.decode`, with wrinkles.

        Codes of FLAME's other models do, too: without `detail` wrinkles are those of expression and jaw alone, without
        `texture` the albedo is the mean, without `light` it is white.
        """
        codes = self.complete(codes)
        found = self.head.decode(codes)
        if self.detail:
            numbers = latent(codes["jaw"], codes["expression"], codes["detail"])
            found.detail = LazyDetail(self._decoder.surface, found.vertices, self.networks["D_detail"], numbers)
        if not self._decoder.extract_texture:
            faces = range(len(codes))
            parts = [self.decoded(codes.select(i), found.select(slice(i, i + 1))).lit_texture for i in faces]
            found.texture = torch.cat(parts)
        return found

    def complete(self, codes: Codes) -> Codes:
        """`codes` on the model's device, with the defaults of :meth:`decode` for all that is missing."""
        codes = self.head.complete(codes)
        count = len(codes)
        short = N_EXPRESSION - codes["expression"].shape[1]
        if short > 0:
            codes = codes.replace(expression=torch.nn.functional.pad(codes["expression"], (0, short)))
        defaults = {
            "texture": self.head.uv.new_zeros(count, COMPONENTS),
            "detail": self.head.uv.new_zeros(count, N_DETAIL),
            "light": self._zero_light.expand(count, -1, -1),
        }
        return codes.replace(**{name: value for name, value in defaults.items() if name not in codes})

    def decoded(self, codes: Codes, reconstruction: Reconstruction, crop: Crop | None = None) -> DecodedFace:
        """All that DECA makes of one face: `codes` and `reconstruction` of this one alone."""
        return DecodedFace(self._decoder, self.complete(codes), reconstruction, crop)

    @torch.inference_mode()
    def draw(
        self,
        names: Sequence[str],
        crops: Sequence[Crop] | None,
        codes: Codes,
        reconstruction: Reconstruction,
        photos: Sequence[np.ndarray] | None = None,
    ) -> dict[str, list[np.ndarray]]:
        """Pictures by the names in the description, see :func:`facecli_deca.pictures.draw`."""
        drawn: dict[str, list[np.ndarray]] = {}
        for number in range(len(codes)):
            part = slice(number, number + 1)
            crop = None if crops is None else crops[number]
            face = self.decoded(codes.select(part), reconstruction.select(part), crop)
            for name, picture in draw(face, names, None if photos is None else photos[number]).items():
                drawn.setdefault(name, []).append(picture)
        return drawn

    def rig(self) -> Rig:
        """FLAME's expressions and its jaw."""
        return self.head.rig(("expression", "jaw"))

    code_unit = staticmethod(flame_head.code_unit)
    steady = staticmethod(flame_head.steady)
    unsteady = staticmethod(flame_head.unsteady)


JAWS = ("aa", "euler")


def _check_words(**chosen) -> None:
    for name, (word, allowed) in chosen.items():
        if word not in allowed:
            raise UsageError(f"{name} is {' or '.join(allowed)}, not {word!r}")


def _paths(flame: str, albedo: Asset | None, checkpoint: str) -> dict[Asset, Path]:
    """Where the files are; what is missing, FLAME's included, is told at once."""
    own = [files.FACE_EYE_MASK, files.FIXED_DISPLACEMENT, files.DENSE_TEMPLATE]
    own += [] if albedo is None else [albedo]
    own += [] if checkpoint else [files.DECA]
    needed = [*own, *flame_head.needed_files(flame)]
    return dict(zip(needed, require_all(needed), strict=True))


def _decoder(
    head: FlameHead,
    paths: dict[Asset, Path],
    albedo: FlameAlbedo | None,
    extract_texture: bool,
    rules: str,
    device: torch.device,
) -> Decoder:
    surface = FlameDetail(
        UvSpace(head.triangles, head.uv, head.uv_triangles, UV_SIZE, rules=rules),
        head.triangles,
        head.flame.template.T.contiguous(),
        read_uv_mask(paths[files.FACE_EYE_MASK]),
        read_fixed_displacement(paths[files.FIXED_DISPLACEMENT]),
        read_dense_template(paths[files.DENSE_TEMPLATE]).to(device),
        margin=DECA_MARGIN,
        blended=True,
    )
    renderer = HeadRenderer(head.triangles, head.uv, head.uv_triangles, rules=rules)
    return Decoder(head, surface.to(device), renderer, albedo, extract_texture)


def _crop(face: Face, image: np.ndarray, warp: np.ndarray) -> Crop:
    return Crop(face, cut(image, warp), warp, (image.shape[0], image.shape[1]))
