"""ICT-FaceKit's head as the open model decodes it: codes of the family ``ict`` to a head on the photograph.

======================= =============== ==============================================================================
code                    shape           meaning
======================= =============== ==============================================================================
identity                [B, <= 100]     standard deviations
expression              [B, <= 57]      weights 0..1 in ICT-FaceKit's order (ARKit's shapes); the looks turn the eyes
pose                    [B, 3]          axis-angle, head frame -> camera frame (x right, y up, z to the viewer)
camera                  [B, 4]          focal length in pixels, pixels a millimetre at the head frame's origin, and the
                                        pixel (x, y) where that origin lands
======================= =============== ==============================================================================

The camera is a pinhole whose axis meets the photograph's middle, so the origin is ``focal / pixels a millimetre`` away.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

from facecli.codes import Codes
from facecli.errors import InputError, UsageError
from facecli.geometry.rotations import axis_angle_to_matrix
from facecli.morphable.ict import FACE_END, LOOK_DEGREES, IctModel
from facecli.morphable.ict_points import mediapipe478
from facecli.morphable.ict_uv import one_texture
from facecli.plugin import Joint, Reconstruction, Rig

FAMILY = "ict"
HEAD_HEIGHT = 250.0
"""Millimetres, roughly."""
USUAL_DISTANCE = 700.0
"""Millimetres from which heads are seen whose codes hold no camera; smoothing measures distances against it."""
SIDES = {"eye_left": "L", "eye_right": "R"}

_NEAREST = 10.0  # mm: what is nearer to the camera is drawn as if it were there
_LOOK_SECANT = 0.5
"""Weight at which an eye's turn is taken for a blend shape."""
_WITH_JAW = 0.8
"""Skin goes with the jaw that goes so far, against what goes farthest, when it opens. The rest is soft."""
_JAW_SHAPES = ("jawForward", "jawLeft", "jawOpen", "jawRight")


class IctHead(nn.Module):
    """ICT-FaceKit's mesh without the corneas (clear shells around the eyeballs), its landmarks and UV layout.

    Args:
        model: ICT-FaceKit.

    Raises:
        InputError: the model lacks the shapes that turn eyes and jaw.
    """

    def __init__(self, model: IctModel, device: str | torch.device = "cpu"):
        super().__init__()
        arrays = model.arrays
        self.n_identity, self.n_expression = model.n_identity, model.n_expression
        self.expression_names = model.expression_names
        cornea = np.concatenate(list(model.cornea.values()))
        shown = ~np.isin(arrays.triangles, cornea).any(1)
        kept = np.unique(arrays.triangles[shown])
        self._number = np.full(len(arrays.mean), -1)
        self._number[kept] = np.arange(len(kept))
        self._add("source_vertex", arrays.source_vertex[kept])
        self._add("mean", arrays.mean[kept])
        # Both bases in one matrix product.
        basis = np.concatenate([arrays.identity[:, kept], arrays.expression[:, kept]]).reshape(-1, 3 * len(kept))
        self._add("basis", basis)
        self._add("triangles", self._number[arrays.triangles[shown]])
        self._add("ibug68", self._number[model.ibug68])
        corners, weights = mediapipe478(model)
        self._add("point_corners", self._number[corners])
        self._add("point_weights", weights.astype(np.float32))
        self._add_layout(arrays.uv, arrays.uv_triangles[shown], {s: self._number[b] for s, b in model.eyeball.items()})
        self._looks = {name: self._add_eye(model, name, side) for name, side in SIDES.items()}
        self._add_jaw(model)
        self.requires_grad_(False)
        self.to(device)

    def _add(self, name: str, array: np.ndarray) -> None:
        self.register_buffer(name, torch.from_numpy(np.ascontiguousarray(array)))

    def _add_layout(self, uv: np.ndarray, uv_triangles: np.ndarray, balls: dict[str, np.ndarray]) -> None:
        used, flat = np.unique(uv_triangles, return_inverse=True)
        uv_triangles = flat.reshape(-1, 3)
        uv_vertex = np.empty(len(used), np.int64)
        uv_vertex[uv_triangles] = self.triangles.numpy()
        placed, twins = one_texture(uv[used], uv_vertex, balls)
        self._add("uv", placed)
        self._add("uv_triangles", uv_triangles)
        self._add("uv_mirror", twins)

    # --- shape -------------------------------------------------------------------------------------------------------

    def rest(self, identity: torch.Tensor, expression: torch.Tensor) -> torch.Tensor:
        """[B, V, 3] mm in the head frame of `identity` [B, 100] and `expression` [B, 57], eyes straight ahead."""
        offsets = torch.cat([identity, expression], 1) @ self.basis
        return self.mean + offsets.unflatten(1, (-1, 3))

    def forward(self, identity: torch.Tensor, expression: torch.Tensor) -> tuple[torch.Tensor, dict[str, Joint]]:
        """[B, V, 3] mm in the head frame, and the joints by name; full codes."""
        vertices = self.rest(identity, expression)
        joints = {name: self._turn(name, vertices, expression) for name in SIDES}
        return vertices, joints | {"jaw": self._jaw(identity, expression)}

    def points(self, vertices: torch.Tensor) -> torch.Tensor:
        """[B, 478, 3] where MediaPipe's points lie on `vertices` [B, V, 3]."""
        return (vertices[:, self.point_corners] * self.point_weights[..., None]).sum(2)

    def eye_turn(self, name: str, expression: torch.Tensor) -> torch.Tensor:
        """[B, 3, 3] rotation of ``eye_left`` or ``eye_right`` by the looks of `expression` [B, 57]."""
        inwards, outwards, up, down = expression[:, self._looks[name]].unbind(1)
        out = LOOK_DEGREES["Out"] * outwards - LOOK_DEGREES["In"] * inwards
        yaw = torch.deg2rad(out if name == "eye_left" else -out)  # the subject's left is at x > 0
        pitch = torch.deg2rad(LOOK_DEGREES["Up"] * up - LOOK_DEGREES["Down"] * down)
        zero = torch.zeros_like(yaw)
        about_y = axis_angle_to_matrix(torch.stack([zero, yaw, zero], 1))
        return about_y @ axis_angle_to_matrix(torch.stack([-pitch, zero, zero], 1))

    def eye_centre(self, name: str, vertices: torch.Tensor) -> torch.Tensor:
        """[B, 3] what an eye of `vertices` [B, V, 3] turns about, while it looks straight ahead."""
        return vertices[:, self._ball(name)].mean(1) + self.get_buffer(f"{name}_offset")

    def _turn(self, name: str, vertices: torch.Tensor, expression: torch.Tensor) -> Joint:
        """Turn one eye of all heads, in place."""
        turn, centre, ball = self.eye_turn(name, expression), self.eye_centre(name, vertices), self._ball(name)
        around = vertices[:, ball] - centre[:, None]
        vertices[:, ball] = around @ turn.transpose(1, 2) + centre[:, None]
        return Joint(ball, centre, turn)

    def _ball(self, name: str) -> torch.Tensor:
        """[N] the vertices of an eyeball."""
        return self.get_buffer(f"{name}_ball")

    def _add_eye(self, model: IctModel, name: str, side: str) -> list[int]:
        """The numbers of the looks that turn it in, out, up and down."""
        ball, mean = model.eyeball[side], model.arrays.mean
        centre = model.eye_centres(mean[None])[0, "LR".index(side)]
        self._add(f"{name}_ball", self._number[ball])
        self._add(f"{name}_offset", (centre - mean[ball].mean(0)).astype(np.float32))
        return [shape_number(model, f"eyeLook{way}_{side}") for way in ("In", "Out", "Up", "Down")]

    # --- the jaw -----------------------------------------------------------------------------------------------------

    def _add_jaw(self, model: IctModel) -> None:
        """The skin that goes with the jaw, and what stays in place when it opens: the axis through both its joints."""
        mean = model.arrays.mean
        opening = model.arrays.expression[shape_number(model, "jawOpen")]
        way = np.linalg.norm(opening, axis=1)
        skin = np.flatnonzero((way > _WITH_JAW * way.max()) & (model.arrays.source_vertex < FACE_END))
        self._jaw_shapes = [model.n_identity + shape_number(model, name) for name in _JAW_SHAPES]
        self._add("jaw_skin", self._number[skin])
        opened = mean[skin] + opening[skin]
        turn, move = (part.double() for part in rigid(*(torch.from_numpy(p)[None] for p in (mean[skin], opened))))
        fixed = torch.linalg.lstsq((torch.eye(3) - turn[0])[1:, 1:], move[0, 1:, None], driver="gelsd").solution
        pivot = np.array([0.0, *fixed[:, 0].numpy()])
        ears = np.abs(mean) @ np.array([1.0, 0, 0]) > 60
        beside = np.flatnonzero(ears & (np.linalg.norm((mean - pivot)[:, 1:], axis=1) < 15))
        self._add("jaw_beside", self._number[beside])
        self._add("jaw_offset", (pivot - mean[beside].mean(0)).astype(np.float32))

    def _jaw(self, identity: torch.Tensor, expression: torch.Tensor) -> Joint:
        """How the jaw's own shapes turn it. It slides, too, which a joint can't say."""
        pivot = self._at_rest(identity, self.jaw_beside).mean(1) + self.jaw_offset
        chin = self._at_rest(identity, self.jaw_skin)
        shapes = self.basis.unflatten(1, (-1, 3))[self._jaw_shapes][:, self.jaw_skin]
        weights = expression[:, [number - self.n_identity for number in self._jaw_shapes]]
        moved = chin + torch.einsum("bk,kvc->bvc", weights, shapes)
        return Joint(self.triangles.new_zeros(0), pivot, rigid(chin, moved)[0])

    def _at_rest(self, identity: torch.Tensor, vertices: torch.Tensor) -> torch.Tensor:
        """[B, N, 3] some `vertices` [N] of people without expression."""
        basis = self.basis[: self.n_identity].unflatten(1, (-1, 3))[:, vertices]
        return self.mean[vertices] + torch.einsum("bi,ivc->bvc", identity, basis)

    # --- codes -------------------------------------------------------------------------------------------------------

    def decode(self, codes: Codes) -> Reconstruction:
        """Heads in millimetres, and where they land on the photograph.

        ``extras``: ``gaze`` [B, 2, 3], unit directions of the subject's left and right eye in the head frame.
        """
        codes = self.complete(codes)
        vertices, joints = self(codes["identity"], codes["expression"])
        points, ibug68 = self.points(vertices), vertices[:, self.ibug68]
        pose, camera = head_pose(codes), codes["camera"]
        places = project(torch.cat([vertices, points, ibug68], 1), pose, camera, codes["photo_size"])
        projected, on_photo, ibug_on_photo = places.split([vertices.shape[1], points.shape[1], 68], 1)
        return Reconstruction(
            vertices=vertices,
            triangles=self.triangles,
            projected=projected,
            head_pose=pose,
            landmarks={"mediapipe478": on_photo[..., :2], "ibug68": ibug_on_photo[..., :2]},
            landmarks_3d={"mediapipe478": points, "ibug68": ibug68},
            camera={
                "kind": "perspective",
                "focal_pixels": camera[:, 0],
                "principal_point": principal_point(codes["photo_size"]),
                "translation_mm": pose[:, :3, 3],
                "pixels_per_mm": camera[:, 1],
            },
            uv=self.uv,
            uv_triangles=self.uv_triangles,
            uv_mirror=self.uv_mirror,
            joints=joints,
            extras={"gaze": torch.stack([joints[name].rotation[:, :, 2] for name in SIDES], 1)},
        )

    def complete(self, codes: Codes) -> Codes:
        """`codes` on the model's device, with zeros (and a usual camera) for what is missing, and all numbers of
        identity and expression.

        Raises:
            UsageError: there is no identity, or a code has another shape than the model's.
        """
        if "identity" not in codes:
            raise UsageError(f"codes of {codes.model or 'this model'} hold no identity: ICT-FaceKit can't decode them")
        values = {name: value.to(self.mean) for name, value in codes.values.items()}
        identity = values["identity"]
        for name, most in (("identity", self.n_identity), ("expression", self.n_expression)):
            value = values.setdefault(name, identity.new_zeros(len(identity), most))
            if value.ndim != 2 or value.shape[1] > most:
                raise UsageError(f"the code {name!r} is {list(value.shape[1:])}, ICT-FaceKit has {most} numbers of it")
            values[name] = nn.functional.pad(value, (0, most - value.shape[1]))
        values.setdefault("pose", identity.new_zeros(len(identity), 3))
        values.setdefault("photo_size", identity.new_tensor([512.0, 512.0]).expand(len(identity), 2))
        values.setdefault("warp", torch.eye(3).to(identity).expand(len(identity), 3, 3))
        if "camera" not in values:
            height, width = values["photo_size"].unbind(1)
            scale = height / (2 * HEAD_HEIGHT)
            values["camera"] = torch.stack([scale * USUAL_DISTANCE, scale, (width - 1) / 2, (height - 1) / 2], 1)
        for name, size in (("pose", 3), ("camera", 4)):
            if values[name].shape[1:] != (size,):
                raise UsageError(f"the code {name!r} is {list(values[name].shape[1:])}, where the model's is [{size}]")
        return Codes(values, codes.model, codes.family)

    def rig(self) -> Rig:
        """The expressions as blend shapes, by their names.

        They are exact but for the eyes' turns: a look's shape takes the eyeball along a straight line, the secant of
        half the look.
        """
        expression = self.mean.new_zeros(1, self.n_expression)
        nobody = self.mean.new_zeros(1, self.n_identity)
        shapes = self.basis[self.n_identity :].unflatten(1, (-1, 3)).clone()
        for name in SIDES:
            ball = self._ball(name)
            for number in self._looks[name]:
                at = expression.clone()
                at[0, number] = _LOOK_SECANT
                shapes[number, ball] = (self(nobody, at)[0][0, ball] - self.mean[ball]) / _LOOK_SECANT
        codes = tuple(("expression", number) for number in range(self.n_expression))
        return Rig(self.expression_names, codes, shapes.numpy(force=True))


# --- the camera ------------------------------------------------------------------------------------------------------


def principal_point(photo_size: torch.Tensor) -> torch.Tensor:
    """[B, 2] the pixel (x, y) in the middle of photographs of `photo_size` [B, 2] (height, width)."""
    return (photo_size.flip(1) - 1) / 2


def head_pose(codes: Codes) -> torch.Tensor:
    """[B, 4, 4] head frame -> camera frame, millimetres, of `pose`, `camera` and `photo_size`."""
    focal, scale, x, y = codes["camera"].unbind(1)
    middle = principal_point(codes["photo_size"])
    pose = torch.eye(4).to(codes["camera"]).repeat(len(codes), 1, 1)
    pose[:, :3, :3] = axis_angle_to_matrix(codes["pose"])
    pose[:, :3, 3] = torch.stack([(x - middle[:, 0]) / scale, (middle[:, 1] - y) / scale, -focal / scale], 1)
    return pose


def project(points: torch.Tensor, pose: torch.Tensor, camera: torch.Tensor, photo_size: torch.Tensor) -> torch.Tensor:
    """Points [B, N, 3] of the head frame in the photograph [B, N, 3]: pixels, and millimetres along the camera's axis.

    Args:
        pose: [B, 4, 4]. camera: [B, 4], the code. photo_size: [B, 2].
    """
    seen = points @ pose[:, :3, :3].transpose(1, 2) + pose[:, None, :3, 3]
    depth = (-seen[..., 2:]).clamp(min=_NEAREST)
    across = seen[..., :2] * seen.new_tensor([1.0, -1.0]) * (camera[:, None, :1] / depth)
    return torch.cat([across + principal_point(photo_size)[:, None], depth], -1)


def steady(codes: Codes) -> Codes:
    """`codes` with a camera whose numbers are pixels all four, for smoothing: the head's height, where it is, and how
    much nearer than usual the camera (in its logarithm, times the height)."""
    if "camera" not in codes:
        return codes
    focal, scale, x, y = codes["camera"].unbind(1)
    height = HEAD_HEIGHT * scale
    return codes.replace(camera=torch.stack([torch.log(focal / scale / USUAL_DISTANCE) * height, height, x, y], 1))


def unsteady(codes: Codes) -> Codes:
    """The way back from :func:`steady`."""
    if "camera" not in codes:
        return codes
    far, height, x, y = codes["camera"].unbind(1)
    scale = height / HEAD_HEIGHT
    return codes.replace(camera=torch.stack([torch.exp(far / height) * USUAL_DISTANCE * scale, scale, x, y], 1))


def code_unit(name: str, value: torch.Tensor) -> float | None:
    """Of a steady camera, a hundredth of the head's height in pixels."""
    return 0.01 * float(value[0, 1]) if name == "camera" else None


def shape_number(model: IctModel, name: str) -> int:
    """Which of the expressions is called `name`.

    Raises:
        InputError: none is.
    """
    if name not in model.expression_names:
        raise InputError("ict_facekit.npz", f"lacks the shape {name}, which facecli needs")
    return model.expression_names.index(name)


def rigid(source: torch.Tensor, target: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Rotation [B, 3, 3] and shift [B, 3] of the rigid motion that takes `source` [B, N, 3] closest to `target`.

    Least squares (Kabsch 1976).
    """
    a, b = source.double(), target.double()
    a_mean, b_mean = a.mean(1), b.mean(1)
    u, _, vt = torch.linalg.svd((b - b_mean[:, None]).transpose(1, 2) @ (a - a_mean[:, None]))
    sign = torch.ones_like(a_mean)
    sign[:, 2] = torch.sign(torch.linalg.det(u @ vt))
    turn = (u * sign[:, None]) @ vt
    shift = b_mean - (turn @ a_mean[..., None])[..., 0]
    return turn.to(source.dtype), shift.to(source.dtype)
