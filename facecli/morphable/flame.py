"""FLAME, a statistical head: identity, expression, jaw, neck and eyes in, 5023 vertices out.

Li, Bolkart, Black, Li, Romero, "Learning a model of facial shape and expression from 4D scans", SIGGRAPH Asia 2017.
"""

from __future__ import annotations

import torch
from torch import nn

from facecli.geometry.rotations import axis_angle_to_matrix
from facecli.geometry.skinning import joint_transforms, skin
from facecli.morphable.flame_files import EXPRESSIONS, IDENTITIES, FlameArrays


class Flame(nn.Module):
    """FLAME in metres: x to the subject's left, y up, z out of the face.

    All numbers that act linearly on the mean head (identity, expression, and the corrective offsets of the joints'
    rotations) are one matrix product; the joints are linear in the first two as well and come from a small one.

    Args:
        arrays: the model, from :func:`facecli.morphable.flame_files.read_flame`.
        n_shape, n_exp: the most identity and expression numbers that `forward` takes.

    Attributes:
        triangles: int64 [F, 3] buffer.
    """

    def __init__(self, arrays: FlameArrays, n_shape: int = IDENTITIES, n_exp: int = EXPRESSIONS):
        super().__init__()
        identity = torch.from_numpy(arrays.identity[..., :n_shape])
        expression = torch.from_numpy(arrays.expression[..., :n_exp])
        self.n_shape, self.n_exp = identity.shape[-1], expression.shape[-1]
        self.parents = arrays.parents
        template = torch.from_numpy(arrays.template)
        shapes = torch.cat([identity, expression], -1)
        regressor = torch.from_numpy(arrays.joint_regressor)
        directions = torch.cat([shapes, torch.from_numpy(arrays.pose)], -1)
        joints = torch.einsum("jv,vcn->ncj", regressor.double(), shapes.double()).float()
        # Axis by axis, so that skinning finds its rows contiguous.
        self.register_buffer("template", template.T.contiguous())  # [3, V]
        self.register_buffer("directions", directions.permute(2, 1, 0).flatten(1).contiguous())  # [n, 3V]
        self.register_buffer("joint_template", (regressor.double() @ template.double()).float())
        self.register_buffer("joint_directions", joints.transpose(1, 2).flatten(1).contiguous())  # [n, 15]
        self.register_buffer("weights", torch.from_numpy(arrays.weights))
        self.register_buffer("triangles", torch.from_numpy(arrays.triangles))
        eyelids = None if arrays.eyelids is None else torch.from_numpy(arrays.eyelids)
        self.register_buffer("eyelids", eyelids)

    def forward(
        self,
        identity: torch.Tensor,
        expression: torch.Tensor | None = None,
        pose: torch.Tensor | None = None,
        jaw: torch.Tensor | None = None,
        neck: torch.Tensor | None = None,
        eyes: torch.Tensor | None = None,
        eyelids: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Posed vertices [B, V, 3] in metres. What is left out is zero; short vectors are filled up with zeros.

        Args:
            identity: [B, <= n_shape].
            expression: [B, <= n_exp].
            pose: [B, 3] the head's rotation about FLAME's root joint, axis-angle, radians.
            jaw, neck: [B, 3] axis-angle.
            eyes: [B, 6] left and right, axis-angle.
            eyelids: [B, 2] left and right, 0 open to 1 closed; added after posing and not turned with the head, as
                SMIRK was trained.

        Raises:
            ValueError: more numbers than the model has, or eyelids without their offsets.
        """
        vertices, root = self._unposed(identity, expression, jaw, neck, eyes)
        if pose is not None:
            turn = axis_angle_to_matrix(pose)
            vertices = (vertices - root[:, None]) @ turn.transpose(1, 2) + root[:, None]
        return vertices if eyelids is None else vertices + self.eyelid_offsets(eyelids)

    def head_frame(
        self,
        identity: torch.Tensor,
        expression: torch.Tensor | None = None,
        jaw: torch.Tensor | None = None,
        neck: torch.Tensor | None = None,
        eyes: torch.Tensor | None = None,
        eyelids: torch.Tensor | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Vertices [B, V, 3] before the head's rotation, and the joint [B, 3] that it turns about; see `forward`.

        Eyelids are right here whatever the pose: they belong to the head.
        """
        vertices, root = self._unposed(identity, expression, jaw, neck, eyes)
        return (vertices if eyelids is None else vertices + self.eyelid_offsets(eyelids)), root

    def _unposed(self, identity, expression, jaw, neck, eyes) -> tuple[torch.Tensor, torch.Tensor]:
        count = len(identity)
        shape = torch.cat([self._filled(identity, self.n_shape, "identity"), self._expression(expression, count)], 1)
        turns = self._joint_rotations(jaw, neck, eyes, count, shape)
        features = (turns[:, 1:] - torch.eye(3, dtype=turns.dtype, device=turns.device)).flatten(1)
        offsets = torch.cat([shape, features], 1) @ self.directions
        vertices = (self.template + offsets.view(count, 3, -1)).transpose(1, 2)
        joints = self.joint_template + (shape @ self.joint_directions).view(count, -1, 3)
        return skin(vertices, joint_transforms(turns, joints, self.parents), self.weights), joints[:, 0]

    def _joint_rotations(self, jaw, neck, eyes, count: int, like: torch.Tensor) -> torch.Tensor:
        """[B, 5, 3, 3] of global (here none), neck, jaw, left and right eye."""
        still = like.new_zeros(count, 3)
        left, right = (still, still) if eyes is None else (eyes[:, :3], eyes[:, 3:])
        parts = [still, still if neck is None else neck, still if jaw is None else jaw, left, right]
        return axis_angle_to_matrix(torch.stack(parts, 1))

    def _expression(self, expression: torch.Tensor | None, count: int) -> torch.Tensor:
        if expression is None:
            return self.template.new_zeros(count, self.n_exp)
        return self._filled(expression, self.n_exp, "expression")

    @staticmethod
    def _filled(numbers: torch.Tensor, count: int, name: str) -> torch.Tensor:
        if numbers.shape[1] > count:
            raise ValueError(f"{numbers.shape[1]} {name} numbers for a model of {count}")
        return nn.functional.pad(numbers, (0, count - numbers.shape[1]))

    def eyelid_offsets(self, eyelids: torch.Tensor) -> torch.Tensor:
        """Offsets [B, V, 3] of `eyelids` [B, 2]."""
        if self.eyelids is None:
            raise ValueError("this FLAME has no eyelids")
        return torch.einsum("bk,kvc->bvc", eyelids, self.eyelids)
