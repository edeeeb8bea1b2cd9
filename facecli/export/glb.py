"""Binary glTF (GLB): one textured face, with its wrinkles and blend shapes.

glTF wants metres, y up, the front towards +z, as the head frame has it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pygltflib as gltf

from facecli.export.pictures import encode_png
from facecli.export.rig import blend, driven_by
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
_SHAPES = {1: gltf.SCALAR, 2: gltf.VEC2, 3: gltf.VEC3, 4: gltf.VEC4}
_GREY = 0.456  # linear light of sRGB 180: under a viewer's lights, white would show no shape


def write_glb(
    path: str | Path,
    mesh: TriangleMesh,
    *,
    texture_png: bytes | None = None,
    normal_png: bytes | None = None,
    rig: Rig | None = None,
    weights: np.ndarray | None = None,
    neutral: np.ndarray | None = None,
) -> None:
    """Write `mesh` with normals, its texture (PNG) or vertex colours, and its normal map with tangents.

    Vertices are doubled along UV seams; the first V keep the mesh's order (see :class:`SplitSurface`). With a `rig` the
    file's own shape is the face at rest, its morph targets are the rig's, and it opens as `mesh` is; so is its light:
    normals, tangents and normal map stay those of `mesh`, since glTF has one set of them.

    Args:
        texture_png, normal_png: `mesh.texture` and `mesh.normal_map` as PNGs, if they were encoded already.
        rig, weights [K], neutral [V, 3]: see :func:`facecli.export.rig.blend`.
    """
    if rig is None:
        GlbBuilder(mesh, texture_png, normal_png).write(path)
        return
    shapes = blend(mesh, rig, weights, neutral)
    builder = GlbBuilder(mesh, texture_png, normal_png, positions=shapes.neutral)
    codes = driven_by(rig, shapes.names, np.ones(len(shapes.names)))
    builder.add_targets(shapes.names, shapes.targets, shapes.weights, codes)
    builder.write(path)


def read_glb(path: str | Path) -> TriangleMesh:
    """A GLB that facecli wrote, as it opens: one mesh, seams split (UV per vertex), metres; of a video, one shape."""
    import trimesh

    scene = trimesh.load(str(path), process=False)
    (geometry,) = scene.geometry.values()
    material = getattr(geometry.visual, "material", None)
    texture, normals = (getattr(material, f"{kind}Texture", None) for kind in ("baseColor", "normal"))
    uv = getattr(geometry.visual, "uv", None)
    return TriangleMesh(
        vertices=np.asarray(geometry.vertices) + _morphed(gltf.GLTF2.load_binary(str(path))),
        triangles=np.asarray(geometry.faces),
        uv=None if uv is None else np.asarray(uv),
        texture=None if texture is None else np.asarray(texture.convert("RGB")),
        normal_map=None if normals is None else np.asarray(normals.convert("RGB")),
        metres_per_unit=1.0,
    )


def read_accessor(document: gltf.GLTF2, number: int) -> np.ndarray:
    """A float32 accessor of a GLB as [N] or [N, C]."""
    accessor = document.accessors[number]
    width = {shape: columns for columns, shape in _SHAPES.items()}[accessor.type]
    start = document.bufferViews[accessor.bufferView].byteOffset
    values = np.frombuffer(document.binary_blob(), np.float32, accessor.count * width, start)
    return values if width == 1 else values.reshape(-1, width)


def target_positions(document: gltf.GLTF2) -> list[np.ndarray]:
    """Offsets [N, 3] in metres of each morph target."""
    targets = document.meshes[0].primitives[0].targets or []
    numbers = [target["POSITION"] if isinstance(target, dict) else target.POSITION for target in targets]  # read, made
    return [read_accessor(document, number) for number in numbers]


def _morphed(document: gltf.GLTF2) -> np.ndarray | float:
    """What the mesh's own weights add to its positions."""
    weights = document.meshes[0].weights or []
    return sum((weight * target for weight, target in zip(weights, target_positions(document), strict=True)), 0.0)


class GlbBuilder:
    """A glTF document of one face in one node, to which morph targets and animations can be added.

    Args:
        positions: [V, 3] other vertices than the mesh's, which give the normals all the same.

    Attributes:
        document: the document; node 0 and mesh 0 are the face.
        surface: how vertices were doubled along UV seams.
    """

    def __init__(
        self,
        mesh: TriangleMesh,
        texture_png: bytes | None = None,
        normal_png: bytes | None = None,
        *,
        positions: np.ndarray | None = None,
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
        attributes = self._attributes(mesh, mesh.vertices if positions is None else positions, bumpy)
        indices = self._add_indices(self.surface.triangles)
        self.primitive = gltf.Primitive(attributes=attributes, indices=indices, material=0, targets=[])
        self.document.meshes = [gltf.Mesh(name="face", primitives=[self.primitive])]
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

    def _attributes(self, mesh: TriangleMesh, positions: np.ndarray, bumpy: bool) -> gltf.Attributes:
        source = self.surface.source
        # Tangents are in the file, since viewers that make their own don't all make the same.
        normals, tangents = split_tangents(mesh, self.surface) if bumpy else (outward_normals(mesh)[source], None)
        attributes = gltf.Attributes(POSITION=self.add_positions(positions), NORMAL=self.add(normals, vertex=True))
        if tangents is not None:
            attributes.TANGENT = self.add(tangents, vertex=True)
        if self.surface.uv is not None:
            top_left = np.array([0, 1], np.float32) + np.array([1, -1], np.float32) * self.surface.uv
            attributes.TEXCOORD_0 = self.add(top_left, vertex=True)
        if mesh.vertex_colors is not None:
            attributes.COLOR_0 = self.add(_linear_colors(mesh.vertex_colors[source]), vertex=True)
        return attributes

    def _add_indices(self, triangles: np.ndarray) -> int:
        kind = np.uint16 if len(self.surface.source) < 65535 else np.uint32  # 65535 itself means "restart"
        return self.add(triangles.astype(kind).ravel(), target=gltf.ELEMENT_ARRAY_BUFFER)

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
    ) -> None:
        """Morph targets.

        Args:
            targets: [K, V, 3] offsets in the mesh's unit.
            weights: [K] with which the file opens, 0 if not said.
            codes: what drives each, see :func:`facecli.export.rig.driven_by`; kept beside the names.
        """
        if not len(targets):
            return
        self.primitive.targets = [gltf.Attributes(POSITION=self.add_positions(target)) for target in targets]
        face = self.document.meshes[0]
        face.weights = [0.0] * len(targets) if weights is None else [float(weight) for weight in weights]
        face.extras = {"targetNames": list(names)} | ({"targetCodes": list(codes)} if codes else {})

    def add_positions(self, positions: np.ndarray) -> int:
        """Positions or offsets [V, 3] in the mesh's unit as an accessor in metres, doubled along the seams."""
        metres = np.asarray(positions, np.float64) * self._metres
        return self.add(metres.astype(np.float32)[self.surface.source], vertex=True, bounds=True)

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


def _linear_colors(colors: np.ndarray) -> np.ndarray:
    """sRGB uint8 [N, 3] as linear RGBA uint8 [N, 4]: glTF's vertex colours are linear, and four bytes stay aligned."""
    srgb = np.asarray(colors, np.float64) / 255
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    return np.concatenate([np.rint(linear * 255), np.full((len(colors), 1), 255)], axis=1).astype(np.uint8)
