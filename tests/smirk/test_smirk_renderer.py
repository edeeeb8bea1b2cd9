"""SMIRK's picture of the mesh equals the official one, in values and gradients."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from facecli.geometry.camera import scaled_orthographic
from facecli.geometry.normals import vertex_normals
from facecli.morphable.flame import Flame
from facecli.morphable.flame_files import FlameArrays
from facecli.render.ndc import five_lights, raster_ndc
from facecli.render.rasterize import rasterize
from facecli_smirk.renderer import SmirkRenderer, drawn
from standins.flame import toy_flame
from standins.smirk import toy_smirk_assets

GOLDEN = Path(__file__).resolve().parents[1] / "golden/smirk/renderer.npz"
PICTURE = 5e-4  # tiny triangles amplify round-off


@pytest.fixture(scope="module")
def golden():
    with np.load(GOLDEN) as archive:
        return {name: torch.from_numpy(np.asarray(archive[name])) for name in archive.files}


@pytest.fixture(scope="module")
def scene(golden):
    """(posed vertices [2, V, 3], camera [2, 3], triangles)."""
    model, extra = toy_flame(), toy_smirk_assets()
    shapes = model["shapedirs"].astype(np.float32)
    flame = Flame(
        FlameArrays(
            template=model["v_template"].astype(np.float32),
            identity=shapes[..., :300],
            expression=shapes[..., 300:],
            pose=model["posedirs"].astype(np.float32),
            joint_regressor=model["J_regressor"].toarray().astype(np.float32),
            weights=model["weights"].astype(np.float32),
            parents=(-1, 0, 1, 1, 1),
            triangles=model["f"].astype(np.int64),
            eyelids=np.stack([extra["l_eyelid"], extra["r_eyelid"]]).astype(np.float32),
        )
    )
    names = ("shape_params", "expression_params", "pose_params", "jaw_params")
    vertices = flame(*(golden[f"in/{name}"] for name in names), eyelids=golden["in/eyelid_params"])
    return vertices.detach(), golden["in/cam"], flame.triangles


@pytest.fixture(scope="module")
def face(scene):
    return SmirkRenderer(scene[2], toy_smirk_assets()["masks"]["face"])


def test_the_face_is_the_official_part_of_the_head(face, golden):
    assert [1, *face.triangles.shape] == golden["face/faces_shape"].tolist()
    torch.testing.assert_close(face.triangles[::50], golden["face/faces_every_50"])
    assert face.triangles.sum() == golden["face/faces_sum"]
    assert face.triangles.max() == len(face.vertex_ids) - 1
    assert not face.state_dict(), "the renderer is part of no checkpoint"


@pytest.mark.parametrize(("part", "step"), [("face", 2), ("full", 3)])
def test_official_pictures(part, step, scene, face, golden):
    vertices, camera, triangles = scene
    renderer = face if part == "face" else SmirkRenderer(triangles)
    picture = renderer(vertices, camera)
    assert picture.shape == (2, 3, 224, 224)
    assert (picture[:, :1] == picture).all()
    wanted = golden[f"{part}/grey_every_{step}"]
    torch.testing.assert_close(picture[:, 0, ::step, ::step], wanted, atol=PICTURE, rtol=0)
    background = wanted == 0
    assert (picture[:, 0, ::step, ::step][background] == 0).all()
    assert (drawn(picture)[:, 0, ::step, ::step] == ~background).all()


def test_official_projection_and_normals(scene, golden):
    vertices, camera, triangles = scene
    projected = scaled_orthographic(vertices, camera)
    torch.testing.assert_close(projected[:, ::37], golden["out/transformed_vertices_every_37"], atol=1e-5, rtol=0)
    torch.testing.assert_close(
        vertex_normals(vertices, triangles)[:, ::37], golden["normals_every_37"], atol=1e-5, rtol=0
    )


def test_official_triangles_at_the_pixels(scene, face, golden):
    vertices, camera, _ = scene
    projected = scaled_orthographic(vertices, camera)[:, face.vertex_ids]
    fragments = raster_ndc(projected, face.triangles, (224, 224))
    packed = fragments.face_index + torch.arange(2)[:, None, None] * len(face.triangles)
    packed[~fragments.mask] = -1
    differing = packed[:, ::3, ::3] != golden["raster/face_index_every_3"]
    assert differing.float().mean() <= 5e-4
    same = (packed[:, ::3, ::3] == golden["raster/face_index_every_3"])[:, ::5, ::5]
    for found, name in ((fragments.bary, "bary"), (fragments.depth, "zbuf")):
        wanted = golden[f"raster/{name}_every_15"]
        torch.testing.assert_close(found[:, ::15, ::15][same], wanted[same], atol=PICTURE, rtol=0)


def test_the_smallest_case(golden):
    """In pytorch3d's axes, +x left and +y up."""
    vertices = golden["tiny/verts"] * torch.tensor([-1.0, -1.0, 1.0])
    found = rasterize(vertices, golden["tiny/faces"][0], (8, 8))
    assert (found.face_index == golden["tiny/pix_to_face"]).all()
    torch.testing.assert_close(found.bary[..., :1], golden["tiny/bary"], atol=1e-6, rtol=0)
    torch.testing.assert_close(found.depth, golden["tiny/zbuf"], atol=1e-6, rtol=0)


def test_official_lamps(golden):
    shading = five_lights(golden["shade/normals"].transpose(1, 2)[..., None])
    torch.testing.assert_close(shading[:, 0, :, 0], golden["shade/out"][..., 0], atol=1e-6, rtol=0)


def test_official_gradients(scene, face, golden):
    vertices, camera = (tensor.clone().requires_grad_() for tensor in scene[:2])
    weights = np.random.default_rng(1031).normal(size=(1, 1, 224, 224)).astype(np.float32)
    weights = torch.nn.functional.avg_pool2d(torch.from_numpy(weights), 15, 1, 7)
    loss = (face(vertices, camera) * weights).sum()
    loss.backward()
    assert loss.item() == pytest.approx(golden["grad/loss"].item(), rel=1e-4)
    largest = golden["grad/vertices_every_37"].abs().max().item()
    torch.testing.assert_close(vertices.grad[:, ::37], golden["grad/vertices_every_37"], atol=1e-2 * largest, rtol=1e-2)
    assert vertices.grad.norm().item() == pytest.approx(golden["grad/vertices_norm"].item(), rel=1e-3)
    torch.testing.assert_close(camera.grad, golden["grad/cam"], atol=0.05, rtol=1e-2)


def test_a_picture_does_not_depend_on_its_batch(scene, face):
    vertices, camera, _ = scene
    together = face(vertices, camera)
    for index in range(2):
        alone = face(vertices[index : index + 1], camera[index : index + 1])
        torch.testing.assert_close(alone[0], together[index], atol=1e-6, rtol=0)
