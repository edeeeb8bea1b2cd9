"""Binary glTF (GLB): one textured face, with its wrinkles, blend shapes, and the parts that turn.

glTF wants metres, y up, the front towards +z, as the head frame has it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pygltflib as gltf
from scipy.spatial.transform import Rotation

from facecli.export.parts import Part, Piece, numbers_in, pieces_of, ranges_of, vertices_of, without
from facecli.export.pictures import encode_png
from facecli.export.rig import blend, driven_by, is_arkit
from facecli.export.surface import SplitSurface, outward_normals, split_seams, split_tangents
from facecli.geometry.mesh import TriangleMesh
from facecli.io.atomic import atomic_write
from facecli.plugin import Rig

_COMPONENTS = {
    np.dtype(np.uint8): gltf.UNSIGNED_BYTE,
    np.dtype(np.uint16): gltf.UNSIGNED_SHORT,
    np.dtype(np.uint32): gltf.UNSIGNED_INT,
    np.dtype(np.float32): gltf.FLOAT,
}
_KINDS = {component: kind for kind, component in _COMPONENTS.items()}
_SHAPES = {1: gltf.SCALAR, 2: gltf.VEC2, 3: gltf.VEC3, 4: gltf.VEC4}
_GREY = 0.456  # linear light of sRGB 180: under a viewer's lights, white would show no shape
_STILL = 5e-6
"""Metres. What moves less in a sparse target doesn't move: of 52 targets few are far up at once."""
_MODEL_VERTICES = "modelVertices"
"""Of a mesh's `extras`: ranges [from, to) of the model's vertices that its first ones are."""


def write_glb(
    path: str | Path,
    mesh: TriangleMesh,
    *,
    texture_png: bytes | None = None,
    normal_png: bytes | None = None,
    rig: Rig | None = None,
    weights: np.ndarray | None = None,
    neutral: np.ndarray | None = None,
    parts: Sequence[Part] = (),
) -> None:
    """Write `mesh` with normals, its texture (PNG) or vertex colours, and its normal map with tangents.

    Vertices are doubled along UV seams; the first V keep the mesh's order (see :class:`SplitSurface`). With a `rig` the
    file's own shape is the face at rest, its morph targets are the rig's, and it opens as `mesh` is; so is its light:
    normals, tangents and normal map stay those of `mesh`, since glTF has one set of them.

    Args:
        texture_png, normal_png: `mesh.texture` and `mesh.normal_map` as PNGs, if they were encoded already.
        rig, weights [K], neutral [V, 3]: see :func:`facecli.export.rig.blend`.
        parts: what turns by its node instead of by morph targets.
    """
    if rig is None:
        GlbBuilder(mesh, texture_png, normal_png, parts=parts).write(path)
        return
    if parts:
        rig = without(rig, parts)
        if neutral is not None:
            turning, neutral = vertices_of(parts), np.array(neutral)
            neutral[turning] = mesh.vertices[turning]
    shapes = blend(mesh, rig, weights, neutral)
    builder = GlbBuilder(mesh, texture_png, normal_png, positions=shapes.neutral, parts=parts)
    codes = driven_by(rig, shapes.names, np.ones(len(shapes.names)))
    builder.add_targets(shapes.names, shapes.targets, shapes.weights, codes, sparse=is_arkit(rig))
    builder.write(path)


# --- reading ---------------------------------------------------------------------------------------------------------


def read_glb(path: str | Path) -> TriangleMesh:
    """A GLB that facecli wrote, as it opens: one mesh, seams split (UV per vertex), metres; of a video, one shape."""
    import trimesh

    scene = trimesh.load(str(path), process=False)
    material = getattr(next(iter(scene.geometry.values())).visual, "material", None)
    texture, normals = (getattr(material, f"{kind}Texture", None) for kind in ("baseColor", "normal"))
    document = gltf.GLTF2.load_binary(str(path))
    found = Assembly.of(document)
    uv = found.gathered(lambda shown: _uv_of(document, shown.attributes))
    return TriangleMesh(
        vertices=found.gathered(lambda shown: shown.placed(shown.morphed(document))),
        triangles=found.triangles,
        uv=uv,
        texture=None if texture is None else np.asarray(texture.convert("RGB")),
        normal_map=None if normals is None else np.asarray(normals.convert("RGB")),
        metres_per_unit=1.0,
    )


def _uv_of(document: gltf.GLTF2, attributes: gltf.Attributes) -> np.ndarray | None:
    if attributes.TEXCOORD_0 is None:
        return None
    return np.array([0, 1], np.float32) + np.array([1, -1], np.float32) * read_accessor(document, attributes.TEXCOORD_0)


def read_accessor(document: gltf.GLTF2, number: int) -> np.ndarray:
    """An accessor of a GLB that facecli wrote as [N] or [N, C]; a sparse one filled up."""
    accessor = document.accessors[number]
    width = {shape: columns for columns, shape in _SHAPES.items()}[accessor.type]
    kind = _KINDS[accessor.componentType]
    if accessor.bufferView is None:
        values = np.zeros((accessor.count, width), kind)
    else:
        values = _view(document, accessor.bufferView, kind, accessor.count * width).reshape(-1, width)
    if accessor.sparse is not None:
        sparse, values = accessor.sparse, values.copy()
        indices = _view(document, sparse.indices.bufferView, _KINDS[sparse.indices.componentType], sparse.count)
        values[indices] = _view(document, sparse.values.bufferView, kind, sparse.count * width).reshape(-1, width)
    return values[:, 0] if width == 1 else values


def _view(document: gltf.GLTF2, number: int, kind: np.dtype, count: int) -> np.ndarray:
    return np.frombuffer(document.binary_blob(), kind, count, document.bufferViews[number].byteOffset or 0)


@dataclass(frozen=True)
class Shown:
    """One mesh of a file and its node.

    Args:
        node: its number. count: of the mesh's vertices.
        own: [n] which of the model's vertices its first ones are; None: just these.
        pivot: [3] and rotation: [3, 3], of the node.
    """

    node: int
    mesh: gltf.Mesh
    count: int
    own: np.ndarray | None
    pivot: np.ndarray
    rotation: np.ndarray

    @property
    def attributes(self) -> gltf.Attributes:
        return self.mesh.primitives[0].attributes

    def placed(self, positions: np.ndarray) -> np.ndarray:
        """`positions` [N, 3] as the node has them."""
        return positions @ self.rotation.T.astype(positions.dtype) + self.pivot.astype(positions.dtype)

    def morphed(self, document: gltf.GLTF2) -> np.ndarray:
        """[N, 3] positions with what the mesh's own weights add to them."""
        weights = self.mesh.weights or []
        positions = read_accessor(document, self.attributes.POSITION)
        targets = zip(weights, target_positions(document, self), strict=True)
        return positions + sum((weight * target for weight, target in targets), 0.0)


def target_positions(document: gltf.GLTF2, shown: Shown) -> list[np.ndarray]:
    """Offsets [N, 3] in metres of each morph target."""
    targets = shown.mesh.primitives[0].targets or []
    numbers = [target["POSITION"] if isinstance(target, dict) else target.POSITION for target in targets]  # read, made
    return [read_accessor(document, number) for number in numbers]


@dataclass(frozen=True)
class Assembly:
    """The meshes of a file as the one that they were made of: its own vertices in its order, then copies along seams.

    Args:
        shown: the face first. order: [N] for each vertex its place in all meshes' vertices, one behind the other.
        triangles: [F, 3].
    """

    shown: list[Shown]
    order: np.ndarray
    triangles: np.ndarray

    @staticmethod
    def of(document: gltf.GLTF2) -> Assembly:
        shown = [_shown(document, number) for number, node in enumerate(document.nodes) if node.mesh is not None]
        starts = np.cumsum([0, *(each.count for each in shown)])
        own = [np.arange(each.count) if each.own is None else each.own for each in shown]
        places = [np.arange(len(mine)) + start for mine, start in zip(own, starts, strict=False)]
        copies = [np.arange(start + len(mine), end) for mine, start, end in zip(own, starts, starts[1:], strict=False)]
        first = np.concatenate(places)[np.argsort(np.concatenate(own), kind="stable")]
        order = np.concatenate([first, *copies])
        back = np.empty(len(order), np.int64)
        back[order] = np.arange(len(order))
        corners = [
            read_accessor(document, each.mesh.primitives[0].indices).astype(np.int64) + start
            for each, start in zip(shown, starts, strict=False)
        ]
        return Assembly(shown, order, back[np.concatenate(corners)].reshape(-1, 3))

    def gathered(self, values: Any) -> np.ndarray | None:
        """What the function `values` gives of each :class:`Shown`, in the order of the one mesh; None where it does."""
        found = [values(each) for each in self.shown]
        return None if any(part is None for part in found) else np.concatenate(found)[self.order]


def _shown(document: gltf.GLTF2, number: int) -> Shown:
    node = document.nodes[number]
    mesh = document.meshes[node.mesh]
    ranges = (mesh.extras or {}).get(_MODEL_VERTICES)
    turn = np.eye(3) if node.rotation is None else Rotation.from_quat(node.rotation).as_matrix()
    pivot = np.zeros(3) if node.translation is None else np.array(node.translation)
    count = document.accessors[mesh.primitives[0].attributes.POSITION].count
    return Shown(number, mesh, count, None if ranges is None else numbers_in(ranges), pivot, turn)


# --- writing ---------------------------------------------------------------------------------------------------------


class GlbBuilder:
    """A glTF document of one face, to which morph targets and animations can be added.

    A face alone is one node. With `parts` there is a node ``head``, and below it ``face`` and a node for each part, at
    its pivot; a part's mesh is as it is at rest, and its node turns it.

    Args:
        positions: [V, 3] other vertices than the mesh's, which give the normals all the same.

    Attributes:
        document: the document; node 0 moves the whole, and mesh 0 is the face.
        surface: how vertices were doubled along UV seams.
        nodes: the numbers of nodes by name.
    """

    def __init__(
        self,
        mesh: TriangleMesh,
        texture_png: bytes | None = None,
        normal_png: bytes | None = None,
        *,
        positions: np.ndarray | None = None,
        parts: Sequence[Part] = (),
    ):
        bumpy = mesh.uv is not None and mesh.normal_map is not None
        self.surface: SplitSurface = split_seams(mesh, for_tangents=bumpy)
        self.document = gltf.GLTF2(
            asset=gltf.Asset(version="2.0", generator="facecli"),
            scene=0,
            scenes=[gltf.Scene(nodes=[0])],
            nodes=[gltf.Node(name="face", mesh=0)],
            materials=[self._material(mesh)],
        )
        self._metres = mesh.metres_per_unit
        self._parts: list[bytes] = []
        self._length = 0
        self.document.meshes = []
        pieces = pieces_of(self.surface, parts)
        self._face = self.surface.source[pieces[0].kept]
        arrays = self._arrays(mesh, mesh.vertices if positions is None else positions, bumpy)
        for piece in pieces:
            self._add_mesh(piece, arrays, ranged=len(pieces) > 1)
        self.primitive: gltf.Primitive = self.document.meshes[0].primitives[0]
        if parts:
            self._add_nodes(parts)
        self.nodes = {node.name: number for number, node in enumerate(self.document.nodes)}
        (material,) = self.document.materials
        if mesh.texture is not None and self.surface.uv is not None:
            texture = self._add_picture("face", texture_png or encode_png(mesh.texture))
            material.pbrMetallicRoughness.baseColorTexture = gltf.TextureInfo(index=texture)
        if bumpy:
            texture = self._add_picture("normals", normal_png or encode_png(mesh.normal_map))
            material.normalTexture = gltf.NormalMaterialTexture(index=texture)

    @staticmethod
    def _material(mesh: TriangleMesh) -> gltf.Material:
        """Matte, and seen from both sides: a face is an open surface. Grey where it has no colours of its own."""
        matte = gltf.PbrMetallicRoughness(metallicFactor=0.0, roughnessFactor=1.0)
        if mesh.vertex_colors is None and (mesh.texture is None or mesh.uv is None):
            matte.baseColorFactor = [_GREY, _GREY, _GREY, 1.0]
        return gltf.Material(name="face", pbrMetallicRoughness=matte, doubleSided=True, alphaCutoff=None)

    def _arrays(self, mesh: TriangleMesh, positions: np.ndarray, bumpy: bool) -> dict[str, np.ndarray]:
        """Each attribute of all split vertices [N, ...]; positions in the mesh's unit."""
        source = self.surface.source
        # Tangents are in the file, since viewers that make their own don't all make the same.
        normals, tangents = split_tangents(mesh, self.surface) if bumpy else (outward_normals(mesh)[source], None)
        arrays = {"POSITION": np.asarray(positions, np.float64)[source], "NORMAL": normals}
        if tangents is not None:
            arrays["TANGENT"] = tangents
        if self.surface.uv is not None:
            arrays["TEXCOORD_0"] = np.array([0, 1], np.float32) + np.array([1, -1], np.float32) * self.surface.uv
        if mesh.vertex_colors is not None:
            arrays["COLOR_0"] = _linear_colors(mesh.vertex_colors[source])
        return arrays

    def _add_mesh(self, piece: Piece, arrays: dict[str, np.ndarray], *, ranged: bool) -> None:
        mine = {name: array[piece.kept] for name, array in arrays.items()}
        if piece.part is not None:
            mine["POSITION"] = piece.part.at_rest(mine["POSITION"])
            for name in {"NORMAL", "TANGENT"} & set(mine):
                mine[name] = piece.part.turned_back(mine[name])
        mine["POSITION"] = (mine["POSITION"] * self._metres).astype(np.float32)
        attributes = gltf.Attributes(
            **{name: self.add(array, vertex=True, bounds=name == "POSITION") for name, array in mine.items()}
        )
        primitive = gltf.Primitive(attributes=attributes, indices=self._add_indices(piece), material=0, targets=[])
        mesh = gltf.Mesh(name="face" if piece.part is None else piece.part.name, primitives=[primitive])
        if ranged:
            own = self.surface.source[piece.kept]
            own = own[: int((piece.kept < self._model_vertices).sum())]
            mesh.extras = {_MODEL_VERTICES: ranges_of(own)}
        self.document.meshes.append(mesh)

    @property
    def _model_vertices(self) -> int:
        return int(self.surface.source.max(initial=-1)) + 1

    def _add_nodes(self, parts: Sequence[Part]) -> None:
        meshes = {mesh.name: number for number, mesh in enumerate(self.document.meshes)}
        below = [
            gltf.Node(
                name=part.name,
                mesh=meshes.get(part.name),
                translation=(part.pivot * self._metres).tolist(),
                rotation=None if np.allclose(part.rotation, np.eye(3), atol=1e-7) else _quaternion(part.rotation),
            )
            for part in parts
        ]
        head = gltf.Node(name="head", children=list(range(1, len(below) + 2)))
        self.document.nodes = [head, gltf.Node(name="face", mesh=0), *below]

    def _add_indices(self, piece: Piece) -> int:
        kind = np.uint16 if len(piece.kept) < 65535 else np.uint32  # 65535 itself means "restart"
        return self.add(piece.triangles.astype(kind).ravel(), target=gltf.ELEMENT_ARRAY_BUFFER)

    def _add_picture(self, name: str, png: bytes) -> int:
        """A texture of the picture `png`; returns its number."""
        self.document.images.append(gltf.Image(name=name, bufferView=self._add_view(png), mimeType="image/png"))
        if not self.document.samplers:
            # Clamped: mirrored or repeated texels would bleed in at the border of the UV square.
            clamped = gltf.Sampler(
                magFilter=gltf.LINEAR, minFilter=gltf.LINEAR_MIPMAP_LINEAR,
                wrapS=gltf.CLAMP_TO_EDGE, wrapT=gltf.CLAMP_TO_EDGE,
            )  # fmt: skip
            self.document.samplers.append(clamped)
        self.document.textures.append(gltf.Texture(sampler=0, source=len(self.document.images) - 1))
        return len(self.document.textures) - 1

    def add_targets(
        self,
        names: Sequence[str],
        targets: np.ndarray,
        weights: Sequence[float] | None = None,
        codes: Sequence[Sequence[str | int | float] | None] | None = None,
        *,
        sparse: bool = False,
    ) -> None:
        """Morph targets of the face.

        Args:
            targets: [K, V, 3] offsets in the mesh's unit.
            weights: [K] with which the file opens, 0 if not said.
            codes: what drives each, see :func:`facecli.export.rig.driven_by`; kept beside the names.
            sparse: write only the vertices that move.
        """
        if not len(targets):
            return
        self.primitive.targets = [gltf.Attributes(POSITION=self._add_offsets(target, sparse)) for target in targets]
        face = self.document.meshes[0]
        face.weights = [0.0] * len(targets) if weights is None else [float(weight) for weight in weights]
        named = {"targetNames": list(names)} | ({"targetCodes": list(codes)} if codes else {})
        face.extras = named | (face.extras or {})

    def _add_offsets(self, offsets: np.ndarray, sparse: bool) -> int:
        """Offsets [V, 3] in the mesh's unit as an accessor in metres, doubled along the seams."""
        metres = (np.asarray(offsets, np.float64) * self._metres).astype(np.float32)[self._face]
        return self._add_sparse(metres) if sparse else self.add(metres, vertex=True, bounds=True)

    def _add_sparse(self, values: np.ndarray) -> int:
        """`values` [N, 3] as an accessor of those that aren't 0; of none, of the first: programs expect one."""
        moving = np.flatnonzero(np.linalg.norm(values, axis=1) > _STILL)
        moving = moving if len(moving) else np.zeros(1, np.int64)
        kept = np.zeros_like(values)
        if np.linalg.norm(values[moving[0]]) > _STILL:
            kept[moving] = values[moving]
        kind = np.dtype(np.uint16 if len(values) < 65536 else np.uint32)
        accessor = gltf.Accessor(
            bufferView=None,
            byteOffset=None,
            componentType=gltf.FLOAT,
            count=len(values),
            type=gltf.VEC3,
            min=kept.min(0).tolist(),
            max=kept.max(0).tolist(),
            sparse=gltf.Sparse(
                count=len(moving),
                indices=gltf.AccessorSparseIndices(
                    bufferView=self._add_view(moving.astype(kind).tobytes()), componentType=_COMPONENTS[kind]
                ),
                values=gltf.AccessorSparseValues(bufferView=self._add_view(kept[moving].tobytes())),
            ),
        )
        self.document.accessors.append(accessor)
        return len(self.document.accessors) - 1

    def add(self, values: np.ndarray, *, vertex: bool = False, bounds: bool = False, target: int | None = None) -> int:
        """`values` [N] or [N, 2..4] as a new accessor; returns its number.

        Args:
            vertex: it is a vertex attribute.
            bounds: state its minimum and maximum, as the format asks for positions and times.
        """
        values = np.ascontiguousarray(values)
        columns = 1 if values.ndim == 1 else values.shape[1]
        accessor = gltf.Accessor(
            bufferView=self._add_view(values.tobytes(), gltf.ARRAY_BUFFER if vertex else target),
            componentType=_COMPONENTS[values.dtype],
            normalized=values.dtype == np.uint8,
            count=len(values),
            type=_SHAPES[columns],
        )
        if bounds:
            table = values.reshape(len(values), columns)
            accessor.min, accessor.max = table.min(0).tolist(), table.max(0).tolist()
        self.document.accessors.append(accessor)
        return len(self.document.accessors) - 1

    def _add_view(self, content: bytes, target: int | None = None) -> int:
        view = gltf.BufferView(buffer=0, byteOffset=self._length, byteLength=len(content), target=target)
        padding = -len(content) % 4  # every view starts at a multiple of four
        self._parts.append(content + bytes(padding))
        self._length += len(content) + padding
        self.document.bufferViews.append(view)
        return len(self.document.bufferViews) - 1

    def write(self, path: str | Path) -> None:
        """Write the document as a GLB file."""
        self.document.buffers = [gltf.Buffer(byteLength=self._length)]
        self.document.set_binary_blob(b"".join(self._parts))
        with atomic_write(path) as temporary, temporary.open("wb") as file:
            file.writelines(self.document.save_to_bytes())


def _quaternion(rotation: np.ndarray) -> list[float]:
    return Rotation.from_matrix(rotation).as_quat().tolist()


def _linear_colors(colors: np.ndarray) -> np.ndarray:
    """sRGB uint8 [N, 3] as linear RGBA uint8 [N, 4]: glTF's vertex colours are linear, and four bytes stay aligned."""
    srgb = np.asarray(colors, np.float64) / 255
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    return np.concatenate([np.rint(linear * 255), np.full((len(colors), 1), 255)], axis=1).astype(np.uint8)
