"""Views of heads, light, depth and UV maps give DECA's official pictures, by both rasterizers' rules."""

from __future__ import annotations

import pytest
import torch

from facecli.geometry.camera import scaled_orthographic
from facecli.geometry.normals import vertex_normals
from facecli.geometry.spherical_harmonics import shade
from facecli.render.head_view import HeadRenderer, nearness, over, shape_picture
from facecli.render.lighting import directional_lights, point_lights
from facecli.render.ndc import RULES, raster_ndc
from facecli.render.rasterize import Fragments
from facecli.render.uv_space import UvSpace, uv_to_ndc

SIZE = (64, 64)


@pytest.fixture(scope="module")
def inputs(golden):
    """Codes, lights and maps, which `render_standard` holds for both."""
    return golden("render_standard")


@pytest.fixture(scope="module")
def heads(flame, inputs):
    """World vertices and their projection [2, V, 3]."""
    pose = inputs["pose"]
    vertices = flame(inputs["shape"], inputs["exp"], pose[:, :3], pose[:, 3:])
    return vertices, scaled_orthographic(vertices, inputs["cam"])


@pytest.fixture(scope="module", params=RULES)
def case(request, golden, deca, heads):
    """(golden file, renderer, view of both heads at once)."""
    head = deca.head
    renderer = HeadRenderer(head.triangles, head.uv, head.uv_triangles, rules=request.param)
    return golden(f"render_{request.param}"), renderer, renderer.view(*heads, SIZE)


class GivenRaster(HeadRenderer):
    """Draws with the raster that the golden case holds."""

    def __init__(self, renderer: HeadRenderer, case):
        self.__dict__.update(renderer.__dict__)
        index = case["pix_to_face"].long()
        self.given = Fragments(index, case["bary"], case["zbuf"], index >= 0)

    def raster(self, projected, size):
        return self.given


def close(found: torch.Tensor, wanted: torch.Tensor, tolerance: float) -> None:
    assert found.shape == wanted.shape
    assert (found - wanted).abs().max() < tolerance


def test_the_raster_is_the_official_one(case, heads):
    wanted, _, view = case
    same = view.fragments.face_index == wanted["pix_to_face"]
    assert same.float().mean() >= 0.995
    hit = view.fragments.mask & same
    assert (view.fragments.bary - wanted["bary"])[hit].abs().max() < 1e-3
    close(heads[1][:, ::40], wanted["trans_verts_in"], 1e-5)


@pytest.mark.parametrize("own", [False, True])
def test_pictures(case, heads, inputs, own):
    wanted, renderer, view = case
    if not own:
        renderer = GivenRaster(renderer, wanted)
        view = renderer.view(*heads, SIZE)
    tolerance = 1e-3 if own else 2e-5
    shading = shade(view.normals, inputs["light"])
    albedo = view.sample(inputs["albedo"]) * view.hit
    detail = torch.nn.functional.normalize(wanted["fwd_normal_images"] + 0.3, dim=1)
    pictures = {
        "fwd_grid": view.grid.permute(0, 2, 3, 1),
        "fwd_alpha_images": view.hit,
        "fwd_pos_mask": (view.seen_normals[:, 2:] < -0.05).float(),
        "fwd_normal_images": view.normals * view.hit,
        "fwd_albedo_images": albedo,
        "nolight_images": albedo,
        "fwd_shading_images": shading,
        "fwd_images": albedo * shading,
        "fwd_images_bg": over(albedo * shading, view.hit, inputs["background"]),
        "point_shading": point_lights(view.normals, view.positions, inputs["point_lights"]),
        "directional_shading": directional_lights(view.normals, inputs["point_lights"]),
        "shape_images": shape_picture(view),
        "shape_alpha": view.turned_to_viewer(),
        "shape_images_bg_detail": shape_picture(view, detail, inputs["background"]),
        "depth_images": renderer.colors(heads[1], nearness(heads[1]), SIZE),
        "colors_images": renderer.colors(heads[1], torch.sin(40 * heads[0]) / 2 + 0.5, SIZE),
    }
    for name, picture in pictures.items():
        assert picture.shape == wanted[name].shape
        assert (picture - wanted[name]).abs().max() < tolerance, name


def test_normals(case, heads, deca):
    wanted, _, _ = case
    close(vertex_normals(heads[0], deca.head.triangles)[:, ::40], wanted["fwd_normals"], 2e-5)
    close(vertex_normals(heads[1], deca.head.triangles)[:, ::40], wanted["fwd_transformed_normals"], 2e-5)


@pytest.mark.parametrize("size", [(48, 72), (72, 48)])
def test_pictures_that_are_not_square(case, heads, size):
    wanted, renderer, _ = case
    found = renderer.colors(heads[1], torch.cat([torch.sin(40 * heads[0]) / 2 + 0.5, torch.ones(2, 5023, 1)], -1), size)
    hit = renderer.raster(heads[1], size).mask[:, None].float()
    found[:, 3:] = hit  # official wrappers append the coverage itself, not its interpolation
    close(found, wanted[f"rect{size[0]}x{size[1]}"], 1e-3)


def test_uv_space(case, heads, deca):
    wanted, renderer, _ = case
    head = deca.head
    found = raster_ndc(uv_to_ndc(head.uv)[None], head.uv_triangles, SIZE, rules=renderer.rules)
    assert torch.equal(found.face_index[0], wanted["uv_pix_to_face"].long())
    assert (found.bary[0] - wanted["uv_bary"])[found.mask[0]].abs().max() < 1e-4
    space = UvSpace(head.triangles, head.uv, head.uv_triangles, 64, rules=renderer.rules)
    close(space(heads[0]), wanted["world2uv"], 2e-5)
    assert torch.equal(space.mask, wanted["uv_pix_to_face"] >= 0)
