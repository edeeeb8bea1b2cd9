"""Binary glTF (GLB): one textured face. glTF wants metres, y up, the front towards +z, as the head frame has it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pygltflib as gltf

from facecli.export.pictures import encode_png
from facecli.export.surface import SplitSurface, outward_normals, split_seams
from facecli.geometry.mesh import TriangleMesh
from facecli.io.atomic import atomic_write

_COMPONENTS = {
    np.dtype(np.uint8): gltf.UNSIGNED_BYTE,
    np.dtype(np.uint16): gltf.UNSIGNED_SHORT,
    np.dtype(np.uint32): gltf.UNSIGNED_INT,
    np.dtype(np.float32): gltf.FLOAT,
}
_SHAPES = {1: gltf.SCALAR, 2: gltf.VEC2, 3: gltf.VEC3, 4: gltf.VEC4}


def write_glb(path: str | Path, mesh: TriangleMesh, *, texture_png: bytes | None = None) -> None:
    """Write `mesh` with normals and its texture (PNG) or vertex colours.

    Vertices are doubled along UV seams; the first V keep the mesh's order (see :class:`SplitSurface`).

    Args:
        texture_png: `mesh.texture` as a PNG, if it was encoded already.
    """
    GlbBuilder(mesh, texture_png).write(path)


def read_glb(path: str | Path) -> TriangleMesh:
    """A GLB that facecli wrote: one mesh, seams split (UV per vertex), metres; of an animation, its mean shape."""
    import trimesh

    scene = trimesh.load(str(path), process=False)
    (geometry,) = scene.geometry.values()
    texture = getattr(getattr(geometry.visual, "material", None), "baseColorTexture", None)
    uv = getattr(geometry.visual, "uv", None)
    return TriangleMesh(
        vertices=np.asarray(geometry.vertices),
        triangles=np.asarray(geometry.faces),
        uv=None if uv is None else np.asarray(uv),
        texture=None if texture is None else np.asarray(texture.convert("RGB")),
        metres_per_unit=1.0,
    )


class GlbBuilder:
    """A glTF document of one face in one node, to which morph targets and animations can be added.

    Attributes:
        document: the document; node 0 and mesh 0 are the face.
        surface: how vertices were doubled along UV seams.
    """

    def __init__(self, mesh: TriangleMesh, texture_png: bytes | None = None):
        self.surface: SplitSurface = split_seams(mesh)
        self.document = gltf.GLTF2(
            asset=gltf.Asset(version="2.0", generator="facecli"),
            scene=0,
            scenes=[gltf.Scene(nodes=[0])],
            nodes=[gltf.Node(name="face", mesh=0)],
            materials=[self._material()],
        )
        self._metres = mesh.metres_per_unit
        self._parts: list[bytes] = []
        self._length = 0
        attributes = self._attributes(mesh)
        indices = self._add_indices(self.surface.triangles)
        self.primitive = gltf.Primitive(attributes=attributes, indices=indices, material=0, targets=[])
        self.document.meshes = [gltf.Mesh(name="face", primitives=[self.primitive])]
        if mesh.texture is not None and self.surface.uv is not None:
            self._add_texture(encode_png(mesh.texture) if texture_png is None else texture_png)

    @staticmethod
    def _material() -> gltf.Material:
        """Matte, and seen from both sides: a face is an open surface."""
        matte = gltf.PbrMetallicRoughness(metallicFactor=0.0, roughnessFactor=1.0)
        return gltf.Material(name="face", pbrMetallicRoughness=matte, doubleSided=True, alphaCutoff=None)

    def _attributes(self, mesh: TriangleMesh) -> gltf.Attributes:
        source = self.surface.source
        normals = outward_normals(mesh)[source]
        attributes = gltf.Attributes(POSITION=self.add_positions(mesh.vertices), NORMAL=self.add(normals, vertex=True))
        if self.surface.uv is not None:
            top_left = np.array([0, 1], np.float32) + np.array([1, -1], np.float32) * self.surface.uv
            attributes.TEXCOORD_0 = self.add(top_left, vertex=True)
        if mesh.vertex_colors is not None:
            attributes.COLOR_0 = self.add(_linear_colors(mesh.vertex_colors[source]), vertex=True)
        return attributes

    def _add_indices(self, triangles: np.ndarray) -> int:
        kind = np.uint16 if len(self.surface.source) < 65535 else np.uint32  # 65535 itself means "restart"
        return self.add(triangles.astype(kind).ravel(), target=gltf.ELEMENT_ARRAY_BUFFER)

    def _add_texture(self, png: bytes) -> None:
        self.document.images = [gltf.Image(name="face", bufferView=self._add_view(png), mimeType="image/png")]
        # Clamped: mirrored or repeated texels would bleed in at the border of the UV square.
        clamped = gltf.Sampler(
            magFilter=gltf.LINEAR, minFilter=gltf.LINEAR_MIPMAP_LINEAR,
            wrapS=gltf.CLAMP_TO_EDGE, wrapT=gltf.CLAMP_TO_EDGE,
        )  # fmt: skip
        self.document.samplers = [clamped]
        self.document.textures = [gltf.Texture(sampler=0, source=0)]
        self.document.materials[0].pbrMetallicRoughness.baseColorTexture = gltf.TextureInfo(index=0)

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
