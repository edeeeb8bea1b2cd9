"""The rasterizer against pytorch3d's own results (tests/golden/rendering), bit for bit, and what it promises beyond."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
import threading
import time
import types
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from facecli.errors import UsageError
from facecli.render import rasterize as rasterizer
from facecli.render.arithmetic import pixel_centres
from facecli.render.rasterize import available_backends, interpolate, pixels_to_image_ndc, rasterize, self_check

GOLDEN = Path(__file__).parents[1] / "golden" / "rendering"
BACKENDS = ("numba", "torch")
pytestmark = pytest.mark.filterwarnings("error::RuntimeWarning")


def golden(name: str) -> dict[str, np.ndarray]:
    with np.load(GOLDEN / f"{name}.npz") as archive:
        return {key: archive[key] for key in archive.files}


@pytest.fixture(scope="module")
def heads():
    case = golden("head_forward")
    return case | {"verts": torch.from_numpy(case["verts"]), "faces": torch.from_numpy(case["faces"].astype(np.int64))}


def tensors(case):
    return torch.from_numpy(case["verts"]), torch.from_numpy(case["faces"].astype(np.int64))


def assert_equal(fragments, case, prefix, images=slice(None)):
    for name in ("face_index", "depth", "bary"):
        if f"{prefix}{name}" in case:
            np.testing.assert_array_equal(getattr(fragments, name).numpy(), case[f"{prefix}{name}"][images], name)
    assert torch.equal(fragments.mask, fragments.face_index >= 0)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("size", [(32, 32), (64, 64), (128, 128), (48, 80), (80, 48)])
def test_heads_are_bit_equal(heads, backend, size):
    prefix = f"s{size[0]}_" if size[0] == size[1] else f"s{size[0]}x{size[1]}_"
    images = len(heads[prefix + "face_index"])
    fragments = rasterize(heads["verts"][:images], heads["faces"], size, backend=backend)
    assert_equal(fragments, heads, prefix)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("size", [224, 512])
def test_big_heads_are_bit_equal_in_the_stored_pixels(heads, backend, size):
    case = golden("head_224_512")
    fragments = rasterize(heads["verts"][:1], heads["faces"], (size, size), backend=backend)
    for name in ("face_index", "depth", "bary"):
        strided = getattr(fragments, name)[:, 3::7, 5::7].numpy()
        np.testing.assert_array_equal(strided, case[f"s{size}_{name}_strided"])
    covered = fragments.face_index.where(fragments.mask, torch.tensor(0))
    assert int(fragments.mask.sum()) == case[f"s{size}_covered"]
    assert int(covered.sum()) == case[f"s{size}_face_index_sum"]
    np.testing.assert_array_equal(fragments.mask.sum(2).numpy(), case[f"s{size}_row_covered"])
    np.testing.assert_array_equal(covered.sum(2).numpy(), case[f"s{size}_row_face_sum"])
    assert float(fragments.depth[fragments.mask].double().sum()) == pytest.approx(case[f"s{size}_depth_sum"], rel=1e-12)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("size", [56, 112])
def test_perspective_heads_are_bit_equal(heads, backend, size):
    case = golden("head_perspective")
    verts = torch.from_numpy(case["verts"])
    fragments = rasterize(verts, heads["faces"], (size, size), perspective=True, backend=backend)
    assert_equal(fragments, case, f"s{size}_")


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("prefix", "size", "options"),
    [
        ("s64_", (64, 64), {}),
        ("s37x53_", (37, 53), {}),
        ("s64_cull_", (64, 64), {"cull": True}),
        ("s64_persp_", (64, 64), {"perspective": True}),
    ],
)
def test_hard_triangles_are_bit_equal(backend, prefix, size, options):
    case = golden("soup")
    assert_equal(rasterize(*tensors(case), size, backend=backend, **options), case, prefix)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("size", [16, 17, 32])
def test_a_pixel_centre_on_an_edge_belongs_to_no_face(backend, size):
    case = golden("lattice")
    fragments = rasterize(*tensors(case), (size, size), backend=backend)
    assert_equal(fragments, case, f"s{size}_")
    if size == 16:
        assert not fragments.mask.any()


def cotangent(shape, a, b):
    flat = np.arange(np.prod(shape), dtype=np.float64)
    return torch.from_numpy(np.sin(a * flat + b).astype(np.float32).reshape(shape))


def relative_error(found, wanted):
    return np.linalg.norm(found.numpy().astype(np.float64) - wanted) / np.linalg.norm(wanted.astype(np.float64))


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    ("name", "prefix", "size", "options"),
    [
        ("head_gradients", "", 48, {}),
        ("head_perspective", "s56_", 56, {"perspective": True}),
        ("soup", "s64_", 64, {}),
        ("soup", "s64_persp_", 64, {"perspective": True}),
    ],
)
def test_gradients(heads, backend, name, prefix, size, options):
    case = golden(name)
    faces = torch.from_numpy(case["faces"].astype(np.int64)) if "faces" in case else heads["faces"]
    verts = torch.from_numpy(case["verts"]).requires_grad_()
    images, points = verts.shape[:2]
    fragments = rasterize(verts, faces, (size, size), backend=backend, **options)
    assert_equal(
        rasterizer.Fragments(*(t.detach() for t in vars(fragments).values())), case, prefix
    )  # the differentiable path gives the same bits

    bary_loss = (fragments.bary * cotangent(fragments.bary.shape, 0.37, 0.5))[fragments.mask].sum()
    depth_loss = (fragments.depth * cotangent(fragments.depth.shape, 0.11, 1.3))[fragments.mask].sum()
    b, v, d = torch.meshgrid(torch.arange(images), torch.arange(points), torch.arange(4), indexing="ij")
    attrs = torch.cos(0.05 * v.double() + 1.1 * d + 0.7 * b).float().requires_grad_()
    image = interpolate(fragments, faces, attrs)
    image_loss = (image * cotangent(image.shape, 0.23, 0.2)).sum()

    np.testing.assert_allclose(image.detach().numpy(), case[f"{prefix}image"], atol=2e-6)
    assert (image.detach().permute(0, 2, 3, 1)[~fragments.mask] == 0).all()
    for found, key in ((bary_loss, "loss_bary"), (depth_loss, "loss_depth"), (image_loss, "loss_image")):
        assert found.item() == pytest.approx(float(case[prefix + key]), rel=1e-4, abs=1e-4)
    grad_bary = torch.autograd.grad(bary_loss, verts, retain_graph=True)[0]
    assert relative_error(grad_bary, case[f"{prefix}grad_bary"]) < 1e-6
    if f"{prefix}grad_depth" in case:
        grad_depth = torch.autograd.grad(depth_loss, verts, retain_graph=True)[0]
        assert relative_error(grad_depth, case[f"{prefix}grad_depth"]) < 5e-4
    grad_verts, grad_attrs = torch.autograd.grad(image_loss, (verts, attrs))
    assert relative_error(grad_verts, case[f"{prefix}grad_image_verts"]) < 5e-4
    assert relative_error(grad_attrs, case[f"{prefix}grad_image_attrs"]) < 5e-4


@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    size=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    perspective=st.booleans(),
    cull=st.booleans(),
)
def test_backends_agree_on_random_triangles(seed, size, perspective, cull):
    random = np.random.default_rng(seed)
    verts = random.normal(0, 1.2, (2, 30, 3)).astype(np.float32)
    verts[..., 2] = random.uniform(-0.2, 3, (2, 30))
    snapped = random.random((2, 30)) < 0.3  # on pixel centres and on each other's depth
    verts[snapped] = np.round(verts[snapped] * size[0]) / size[0]
    verts[random.random((2, 30)) < 0.05] = random.choice([np.nan, np.inf, -np.inf, 1e30, -1e30])
    verts, faces = torch.from_numpy(verts), torch.from_numpy(random.integers(0, 30, (25, 3)))
    numba, plain = (
        rasterize(verts, faces, size, perspective=perspective, cull=cull, backend=name) for name in BACKENDS
    )
    for name in ("face_index", "depth", "bary"):
        assert torch.equal(getattr(numba, name), getattr(plain, name)), name
    assert torch.isfinite(numba.depth).all()
    assert ((numba.depth == -1) == ~numba.mask).all()


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_vertex_that_is_not_finite_drops_its_faces(backend, bad, axis):
    verts = torch.tensor([[[-1.0, -1.0, 1.0], [1.1, -1.0, 1.0], [-1.0, 1.1, 1.0], [0.9, 1.2, 2.0]]])
    faces = torch.tensor([[0, 1, 2], [1, 3, 2]])
    whole = rasterize(verts, faces, (16, 16), backend=backend)
    assert set(whole.face_index.unique().tolist()) == {-1, 0, 1}
    verts[0, 0, axis] = bad
    broken = rasterize(verts, faces, (16, 16), backend=backend)
    assert set(broken.face_index.unique().tolist()) == {-1, 1}


def test_chunks_of_the_torch_backend_change_nothing(heads, monkeypatch):
    from facecli.render import torch_backend

    monkeypatch.setattr(torch_backend, "_CHUNK", 997)  # boxes and images are split in their middle
    assert_equal(rasterize(heads["verts"], heads["faces"], (32, 32), backend="torch"), heads, "s32_")


def test_row_bands_change_nothing(heads, monkeypatch):
    from facecli.render import numba_backend

    monkeypatch.setattr(numba_backend, "_jobs", lambda images, size, threads: [(0, 0, 13), (0, 13, 90), (0, 90, 128)])
    assert_equal(rasterize(heads["verts"][:1], heads["faces"], (128, 128), backend="numba"), heads, "s128_")


def test_bands_cover_every_row_once():
    from facecli.render.numba_backend import _jobs

    for images, size, threads in [(1, (224, 224), 4), (2, (512, 100), 7), (9, (224, 224), 4), (1, (3, 90000), 8)]:
        rows = sorted((image, row) for image, first, last in _jobs(images, size, threads) for row in range(first, last))
        assert rows == [(image, row) for image in range(images) for row in range(size[0])]


def test_two_python_threads_may_rasterize_at_once(heads):
    wrong = []
    before = torch.get_num_threads()

    def work():
        for _ in range(5):
            fragments = rasterize(heads["verts"], heads["faces"], (64, 64), backend="numba")
            if not np.array_equal(fragments.depth.numpy(), heads["s64_depth"]):
                wrong.append("differs")

    try:
        torch.set_num_threads(2)  # uses the pool
        threads = [threading.Thread(target=work) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    finally:
        torch.set_num_threads(before)
    assert not wrong
    assert not any(thread.is_alive() for thread in threads)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_worker_can_rasterize_after_its_parent_did():
    # Our part only: torch's own OpenMP threads don't survive a fork (data loaders give their workers one thread).
    script = (
        "import os, signal, torch\n"
        "torch.set_num_threads(2)\n"
        "from facecli.render.numba_backend import cover\n"
        "from facecli.render.rasterize import _bumpy_ball\n"
        "case = _bumpy_ball(torch.device('cpu'))\n"
        "cover(*case, (200, 200), False, False)\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    signal.alarm(20)\n"
        "    cover(*case, (200, 200), False, False)\n"
        "    os._exit(0)\n"
        "raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))\n"
    )
    assert subprocess.run([sys.executable, "-W", "ignore", "-c", script], timeout=120).returncode == 0


def test_autocast_and_half_precision_do_not_reach_the_rasterizer(heads):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        verts = heads["verts"].clone().requires_grad_()
        fragments = rasterize(verts, heads["faces"], (32, 32))
        assert interpolate(fragments, heads["faces"], verts).dtype == torch.float32
    np.testing.assert_array_equal(fragments.bary.detach().numpy(), heads["s32_bary"])


def test_interpolate_takes_corners_and_one_attribute_set_for_all(heads):
    fragments = rasterize(heads["verts"], heads["faces"], (32, 32))
    attrs = torch.randn(1, heads["verts"].shape[1], 5, generator=torch.Generator().manual_seed(0))
    per_vertex = interpolate(fragments, heads["faces"], attrs)
    assert per_vertex.shape == (3, 5, 32, 32)
    assert torch.equal(per_vertex, interpolate(fragments, heads["faces"], attrs[:, heads["faces"]]))
    assert torch.equal(per_vertex, interpolate(fragments, heads["faces"], attrs.expand(3, -1, -1)))
    depth = interpolate(fragments, heads["faces"], heads["verts"][..., 2:])[:, 0]
    np.testing.assert_allclose(depth[fragments.mask], fragments.depth[fragments.mask], rtol=1e-6)


@pytest.mark.parametrize("backend", BACKENDS)
def test_nothing_to_draw(backend):
    for images, points, faces in [(2, 0, 0), (0, 3, 1), (1, 3, 0)]:
        index = torch.zeros((faces, 3), dtype=torch.int64)
        fragments = rasterize(torch.ones(images, points, 3), index, (4, 6), backend=backend)
        assert fragments.face_index.shape == (images, 4, 6)
        assert not fragments.mask.any()
        assert interpolate(fragments, index, torch.ones(1, points, 2)).shape == (images, 2, 4, 6)


def test_wrong_calls_are_refused():
    verts, faces = torch.ones(1, 3, 3), torch.tensor([[0, 1, 3]])
    with pytest.raises(ValueError, match=r"vertices 0\.\.3, but there are 3"):
        rasterize(verts, faces, (4, 4))
    with pytest.raises(ValueError, match=r"\[B, V, 3\]"):
        rasterize(verts[0], faces, (4, 4))
    with pytest.raises(ValueError, match="0×4"):
        rasterize(verts, faces - 1, (0, 4))
    with pytest.raises(UsageError, match=r"'opengl'.*no such rasterizer.*auto, numba, torch"):
        rasterize(verts, faces.clamp(max=2), (4, 4), backend="opengl")


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "pytorch3d", None)
    monkeypatch.delitem(sys.modules, "facecli.render.pytorch3d_backend", raising=False)
    rasterizer._reason.cache_clear()
    assert "pytorch3d" in available_backends()["pytorch3d"]
    with pytest.raises(UsageError, match=r"'pytorch3d' can't be used: .*not installed.*Available: auto, numba, torch"):
        rasterize(torch.ones(1, 3, 3), torch.tensor([[0, 1, 2]]), (4, 4), backend="pytorch3d")
    rasterizer._reason.cache_clear()


def test_doctor_can_check_the_backends(monkeypatch):
    found = available_backends()
    assert found["numba"] == found["torch"] == ""
    assert self_check("numba") == self_check("torch") == ""
    assert "no such rasterizer" in self_check("opengl")

    from facecli.render import numba_backend

    honest = numba_backend.cover

    def one_face_off(*args):
        face_index, bary, depth = honest(*args)
        return face_index + (face_index >= 0).long(), bary, depth

    monkeypatch.setattr(numba_backend, "cover", one_face_off)
    assert "show another face" in self_check("numba")


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 300), st.integers(1, 300))
def test_pixel_integers_land_on_pixel_centres(height, width):
    columns, rows = pixel_centres((height, width))
    x, y = torch.arange(width).float(), torch.arange(height).float()
    grid = torch.stack(torch.broadcast_tensors(x[None], y[:, None], torch.tensor(3.0)), -1).reshape(1, -1, 3)
    ndc = pixels_to_image_ndc(grid, (height, width)).reshape(height, width, 3)
    np.testing.assert_allclose(ndc[0, :, 0], columns, atol=3e-7 * max(1, width / height))
    np.testing.assert_allclose(ndc[:, 0, 1], rows, atol=3e-7 * max(1, height / width))
    assert (ndc[..., 2] == 1).all()


def test_depth_of_any_offset_becomes_drawable_with_gradient():
    projected = torch.tensor([[[0.0, 0, -50], [9, 0, -40], [0, 9, -45]]], requires_grad=True)
    ndc = pixels_to_image_ndc(projected, (8, 8))
    assert ndc[0, :, 2].tolist() == [1, 11, 6]
    fragments = rasterize(ndc, torch.tensor([[0, 1, 2]]), (8, 8))
    assert fragments.mask[0, 1, 1]
    fragments.depth[fragments.mask].sum().backward()
    assert torch.isfinite(projected.grad).all()
    assert projected.grad[..., 2].abs().sum() > 0
    kept = pixels_to_image_ndc(projected, (8, 8), shift_depth=False)
    assert torch.equal(kept[..., 2], projected[..., 2])


@pytest.fixture
def fake_pytorch3d(monkeypatch):
    """A stand-in that records its call and answers in pytorch3d's conventions, drawn with plain torch."""
    calls = []

    class Meshes:
        def __init__(self, verts, faces):
            self.verts, self.faces = verts, faces

    def rasterize_meshes(meshes, **options):
        calls.append((meshes, options))
        size = options["image_size"]
        size = size if isinstance(size, tuple) else (size, size)
        ours = meshes.verts * torch.tensor([-1.0, -1.0, 1.0])
        perspective, cull = options["perspective_correct"], options["cull_backfaces"]
        f = rasterize(ours, meshes.faces[0], size, perspective=perspective, cull=cull, backend="torch")
        offset = torch.arange(len(ours))[:, None, None] * len(meshes.faces[0])
        packed = torch.where(f.mask, f.face_index + offset, f.face_index)
        return packed[..., None], f.depth[..., None], f.bary[..., None, :], f.depth[..., None]

    mesh = types.ModuleType("pytorch3d.renderer.mesh")
    mesh.rasterize_meshes = rasterize_meshes
    structures = types.ModuleType("pytorch3d.structures")
    structures.Meshes = Meshes
    for name in ("pytorch3d", "pytorch3d.renderer"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    monkeypatch.setitem(sys.modules, "pytorch3d.renderer.mesh", mesh)
    monkeypatch.setitem(sys.modules, "pytorch3d.structures", structures)
    rasterizer._reason.cache_clear()
    yield calls
    sys.modules.pop("facecli.render.pytorch3d_backend", None)
    rasterizer._reason.cache_clear()


def test_pytorch3d_is_called_as_the_systems_call_it(heads, fake_pytorch3d):
    assert available_backends()["pytorch3d"] == ""
    verts = heads["verts"].clone()
    assert_equal(rasterize(verts, heads["faces"], (32, 32), backend="pytorch3d"), heads, "s32_")
    assert torch.equal(verts, heads["verts"])  # DECA's side effect isn't copied
    meshes, options = fake_pytorch3d[-1]
    assert torch.equal(meshes.verts[..., :2], -verts[..., :2])
    assert options["image_size"] == 32
    assert options["blur_radius"] == 0.0
    assert options["faces_per_pixel"] == 1
    assert options["bin_size"] is None
    assert options["perspective_correct"] is False
    assert_equal(rasterize(verts[:1], heads["faces"], (48, 80), backend="pytorch3d"), heads, "s48x80_")
    assert fake_pytorch3d[-1][1]["image_size"] == (48, 80)
    broken = verts[:1].clone()
    broken[0, 0, 0] = float("nan")
    wanted = rasterize(broken, heads["faces"], (32, 32), backend="numba")
    found = rasterize(broken, heads["faces"], (32, 32), backend="pytorch3d")
    assert torch.equal(wanted.face_index, found.face_index)
    assert self_check("pytorch3d") == ""


@pytest.mark.skipif(
    importlib.util.find_spec("triton") is None, reason="triton (of torch's CUDA wheels) is not installed"
)
def test_triton_kernel_in_its_interpreter():
    """In a process of its own: the interpreter is chosen when the kernel is defined."""
    script = f"""
import numpy as np, torch
from facecli.render.rasterize import rasterize, self_check, available_backends
assert available_backends()["triton"] == ""
golden = {str(GOLDEN)!r}
for name, prefix, size, options in [
    ("soup", "s64_", (64, 64), {{}}),
    ("soup", "s37x53_", (37, 53), {{}}),
    ("soup", "s64_cull_", (64, 64), {{"cull": True}}),
    ("soup", "s64_persp_", (64, 64), {{"perspective": True}}),
    ("lattice", "s17_", (17, 17), {{}}),
]:
    case = np.load(f"{{golden}}/{{name}}.npz")
    verts, faces = torch.from_numpy(case["verts"]), torch.from_numpy(case["faces"].astype(np.int64))
    found = rasterize(verts, faces, size, backend="triton", **options)
    for key in ("face_index", "depth", "bary"):
        np.testing.assert_array_equal(getattr(found, key).numpy(), case[prefix + key], name + prefix + key)
assert self_check("triton") == "", self_check("triton")
"""
    environment = os.environ | {"TRITON_INTERPRET": "1"}
    subprocess.run([sys.executable, "-c", script], env=environment, check=True, timeout=120)


def test_numba_is_much_faster_than_torch(heads):
    def cpu_seconds(backend):
        times = []
        for _ in range(5):
            start = time.process_time()
            rasterize(heads["verts"][:1], heads["faces"], (224, 224), backend=backend)
            times.append(time.process_time() - start)
        return min(times)

    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        assert cpu_seconds("numba") < cpu_seconds("torch") / 3
    finally:
        torch.set_num_threads(before)
