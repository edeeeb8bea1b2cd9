"""The report and the animated GLB in a real browser, without network."""

from __future__ import annotations

import base64
import dataclasses
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest
import trimesh
from PIL import Image
from scipy.spatial.transform import Rotation
from surfaces import dome
from webdriver import CHROMIUM, DRIVER, Browser
from wrinkles import toy_rig, wrinkled_head

from facecli.export.animation import write_animated_glb
from facecli.export.detail import dense_mesh, with_normal_map
from facecli.export.glb import write_glb
from facecli.export.report import ReportEntry, write_report
from facecli.geometry.mesh import TriangleMesh
from facecli.geometry.normals import vertex_normals
from facecli.render.window import render_window

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(not (CHROMIUM and DRIVER), reason="needs chromium and chromedriver"),
]

# The pixels of a 3D view, read from a copy: Chromium complains of pages that read back their own canvases.
PIXELS = """
  const { width, height } = document.querySelectorAll("canvas.face3d")[arguments[0]];
  const copy = Object.assign(document.createElement("canvas"), { width, height });
  const context = copy.getContext("2d", { willReadFrequently: true });
  context.drawImage(document.querySelectorAll("canvas.face3d")[arguments[0]], 0, 0);
  let text = ""; for (const value of context.getImageData(0, 0, width, height).data) text += String.fromCharCode(value);
  return [width, height, btoa(text)];
"""


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    browser = Browser(tmp_path_factory.mktemp("browser"))
    yield browser
    browser.close()


def nodding(mesh) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Two seconds in which the shape bulges and the head turns; frames 20 to 24 have no face."""
    times = np.arange(50) / 25
    bulge = np.exp(-np.square(mesh.vertices[:, :2]).sum(1) / 800)[None, :, None] * np.array([0, 0, 25.0])
    positions = mesh.vertices + np.sin(times * np.pi / 2)[:, None, None] * bulge
    poses = np.tile(np.eye(4), (50, 1, 1))
    poses[:, :3, :3] = Rotation.from_euler("y", np.linspace(-50, 50, 50)[:, None], degrees=True).as_matrix()
    poses[:, :3, 3] = 0, 0, -600
    positions[20:25] = np.nan
    return times, positions, poses


@pytest.fixture(scope="module")
def animated(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("glb") / "video.glb"
    times, positions, poses = nodding(dome())
    write_animated_glb(path, dome(), times, positions, poses)
    return path


@pytest.fixture(scope="module")
def report(tmp_path_factory, animated) -> Path:
    picture = np.full((120, 200, 3), (90, 140, 200), np.uint8)
    mesh = dome()
    entries = [ReportEntry("<script>.jpg", picture, picture, mesh, None, {"Licence": "Apache-2.0"})]
    entries += [ReportEntry("video", picture, picture, mesh, animated)]
    entries += [ReportEntry(f"face {i}", picture, picture, mesh) for i in range(25)]
    path = tmp_path_factory.mktemp("page") / "Bericht ü.html"
    write_report(path, entries, {"bad.png": "bad.png: is empty (0 bytes)"})
    return path


def pixels(browser: Browser, index: int = 0) -> np.ndarray:
    width, height, text = browser.run(PIXELS, index)
    return np.frombuffer(base64.b64decode(text), np.uint8).reshape(height, width, 4)


def opened(browser: Browser, report: Path, index: int = 0, **window) -> dict:
    """Open the page, scroll to the 3D view `index` and wait until it is drawn; returns its place in the window."""
    browser.open(report, **window)
    view = f"document.querySelectorAll('canvas.face3d')[{index}]"
    browser.run(f"{view}.scrollIntoView({{ block: 'center' }})")
    browser.wait(f"{view}.dataset.drawn")
    return browser.run(f"return {view}.getBoundingClientRect().toJSON()")


def settle(browser: Browser) -> None:
    """Until the next picture is on the canvas."""
    browser.run("window.settled = false; requestAnimationFrame(() => requestAnimationFrame(() => (settled = true)))")
    browser.wait("window.settled")


def changed(before: np.ndarray, after: np.ndarray) -> float:
    """Share of pixels that differ clearly."""
    return float((np.abs(before.astype(int) - after).max(-1) > 12).mean())


def test_page_opens_offline_and_shows_the_textured_mesh(browser, report):
    opened(browser, report)
    shown = pixels(browser)
    covered = shown[..., 3] == 255
    assert 0.15 < covered.mean() < 0.9
    assert shown[covered][:, :3].std(0).min() > 25  # the texture, not one colour
    left, right = np.array_split(shown[..., 0] * covered, 2, axis=1)
    assert right.sum() / right.astype(bool).sum() > left.sum() / left.astype(bool).sum() + 30  # red grows with u
    top, bottom = np.array_split(shown[..., 1] * covered, 2, axis=0)
    assert bottom.sum() / bottom.astype(bool).sum() > top.sum() / top.astype(bool).sum() + 30  # green grows downwards
    loaded = browser.run("return performance.getEntriesByType('resource').map((entry) => entry.name.slice(0, 5))")
    assert set(loaded) <= {"data:"}
    assert browser.run("return document.querySelector('article h2').textContent") == "<script>.jpg"
    assert browser.console() == []


def test_dragging_turns_and_double_click_returns(browser, report):
    place = opened(browser, report)
    x, y = place["x"] + place["width"] / 2, place["y"] + place["height"] / 2
    front = pixels(browser)
    browser.drag(x, y, 80, 0)
    settle(browser)
    turned = pixels(browser)
    assert changed(front, turned) > 0.05
    browser.drag(x, y, 0, 40)
    settle(browser)
    assert changed(turned, pixels(browser)) > 0.05
    browser.run("document.querySelector('canvas').dispatchEvent(new MouseEvent('dblclick'))")
    settle(browser)
    assert changed(front, pixels(browser)) == 0


def test_wheel_keys_and_modes(browser, report):
    opened(browser, report)
    first = pixels(browser)
    wheel = (
        "document.querySelector('canvas').dispatchEvent(new WheelEvent('wheel', { deltaY: -300, cancelable: true }))"
    )
    browser.run(wheel)
    settle(browser)
    assert changed(first, pixels(browser)) == 0  # the page scrolls; only a view that was clicked zooms
    browser.run("document.querySelector('canvas').focus();" + wheel)
    settle(browser)
    assert (pixels(browser)[..., 3] > 0).mean() > 1.3 * (first[..., 3] > 0).mean()
    browser.run("document.querySelector('canvas').dispatchEvent(new KeyboardEvent('keydown', { key: '0' }))")
    for mode in (1, 2):
        browser.run("document.querySelectorAll('.tools')[0].children[arguments[0]].click()", mode)
        settle(browser)
        assert changed(first, pixels(browser)) > 0.1
    assert browser.console() == []


def test_more_views_than_browsers_allow_contexts(browser, report):
    browser.open(report)
    for i in range(27):
        browser.run("document.querySelectorAll('canvas')[arguments[0]].scrollIntoView({ block: 'center' })", i)
        browser.wait(f"document.querySelectorAll('canvas')[{i}].dataset.drawn")
    assert (pixels(browser, 26)[..., 3] > 0).mean() > 0.15
    browser.run("document.querySelector('canvas').scrollIntoView({ block: 'center' })")
    settle(browser)
    assert (pixels(browser, 0)[..., 3] > 0).mean() > 0.15  # uploaded again after it was freed
    assert browser.console() == []


def test_a_lost_context_comes_back(browser, report):
    browser.run_before_pages("""
      const get = HTMLCanvasElement.prototype.getContext;
      HTMLCanvasElement.prototype.getContext = function (...words) {
        const context = get.apply(this, words);
        if (words[0] === "webgl2") window.shared = context.getExtension("WEBGL_lose_context");
        return context;
      };""")
    opened(browser, report)
    before = pixels(browser)
    turn = "document.querySelector('canvas').dispatchEvent(new KeyboardEvent('keydown', { key: arguments[0] }));"
    browser.run("shared.loseContext();" + turn, "ArrowLeft")
    settle(browser)
    assert changed(before, pixels(browser)) > 0.05
    browser.run("shared.restoreContext();" + turn, "ArrowRight")
    browser.wait("true")
    settle(browser)
    assert changed(before, pixels(browser)) == 0


def test_phone_width_needs_no_sideways_scrolling(browser, report):
    place = opened(browser, report, width=500, height=900)
    assert browser.run("return document.documentElement.scrollWidth <= window.innerWidth")
    assert place["width"] > 400  # below the pictures, over the whole width
    assert (pixels(browser)[..., 3] > 0).mean() > 0.15


def test_dark_and_light(browser, report):
    opened(browser, report)
    colors = set()
    for scheme in ("light", "dark"):
        browser.color_scheme(scheme)
        colors.add(browser.run("return getComputedStyle(document.body).backgroundColor"))
    assert len(colors) == 2


def test_videos_play_in_the_report(browser, report):
    opened(browser, report, 1)
    seek = """
      const slider = document.querySelector("input[type=range]");
      slider.value = arguments[0]; slider.dispatchEvent(new Event("input"));"""
    shown = {}
    for time in (0.02, 0.5, 0.9, 1.9):
        browser.run(seek, time)
        settle(browser)
        shown[time] = pixels(browser, 1)
    assert changed(shown[0.02], shown[0.5]) > 0.05
    assert changed(shown[0.5], shown[1.9]) > 0.05
    assert not shown[0.9].any()  # no face in these frames
    browser.run("[...document.querySelectorAll('.tools button')].find((b) => b.textContent === 'Play').click()")
    browser.wait("document.querySelector('input[type=range]').value < 1.8")  # it started again from the beginning
    browser.run("[...document.querySelectorAll('.tools button')].find((b) => b.textContent === 'Pause').click()")
    assert browser.console() == []


PLAYER = """<!DOCTYPE html><meta charset="utf-8"><link rel="icon" href="data:,"><body style="margin:0;background:#fff">
<script>SCRIPT</script><script>
const camera = new THREE.PerspectiveCamera(30, 1, 0.01, 10), scene = new THREE.Scene();
const renderer = new THREE.WebGLRenderer({ preserveDrawingBuffer: true });
renderer.setSize(400, 400); document.body.append(renderer.domElement);
renderer.setClearColor(0xffffff);
scene.add(new THREE.AmbientLight(0xffffff, 1));
const buffer = Uint8Array.from(atob("GLB"), (c) => c.charCodeAt(0)).buffer;
new THREE.GLTFLoader().parse(buffer, "", (gltf) => {
  scene.add(gltf.scene);
  const mixer = new THREE.AnimationMixer(gltf.scene);
  mixer.clipAction(gltf.animations[0]).play();
  let face; gltf.scene.traverse((object) => { if (object.isMesh) face = object; });
  const start = new THREE.Vector3();
  window.show = (time) => {
    mixer.setTime(time); scene.updateMatrixWorld(true); renderer.render(scene, camera);
    return { weights: [...face.morphTargetInfluences], matrix: face.matrixWorld.elements };
  };
}, (error) => { window.problem = String(error); console.error(error); });
</script>"""


def three_js() -> str:
    """three.js with its GLTF loader, as trimesh ships them inside its viewer."""
    template = Path(trimesh.__file__).parent / "resources/templates/viewer.zip"
    if not template.exists():
        pytest.skip("this trimesh has no viewer.zip with three.js")
    text = zipfile.ZipFile(template).read("viewer.html.template").decode()
    start, end = text.find("<script>"), text.find("var camera,controls,scene,renderer")
    if min(start, end) < 0:
        pytest.skip("this trimesh's viewer is laid out in another way")
    return text[start + len("<script>") : end]


def test_animated_glb_plays_in_three_js(browser, animated, tmp_path):
    glb = base64.b64encode(animated.read_bytes()).decode()
    (tmp_path / "player.html").write_text(PLAYER.replace("GLB", glb).replace("SCRIPT", three_js()), "utf-8")
    browser.open(tmp_path / "player.html", 400, 600)
    browser.wait("window.show")
    times, _, poses = nodding(dome())
    shown = {}
    for frame in (2, 12, 22, 40):
        state = browser.run("return show(arguments[0])", float(times[frame]) + 1e-4)
        browser.screenshot(tmp_path / f"{frame}.png")
        shown[frame] = np.asarray(Image.open(tmp_path / f"{frame}.png").convert("RGB"))[:400, :400]
        matrix = np.array(state["matrix"]).reshape(4, 4).T
        if frame == 22:  # hidden
            assert np.abs(matrix[:3, :3]).max() == 0
            assert (shown[frame] == 255).all()
        else:
            np.testing.assert_allclose(matrix[:3, :3], poses[frame, :3, :3], atol=1e-3)
            np.testing.assert_allclose(matrix[:3, 3], poses[frame, :3, 3] / 1000, atol=1e-5)
            assert 0.03 < (shown[frame] != 255).any(-1).mean() < 0.9
            assert len(state["weights"]) == 2  # there and back
    assert changed(shown[2], shown[12]) > 0.03
    assert changed(shown[12], shown[40]) > 0.03
    weights = [browser.run("return show(arguments[0])", float(times[frame]))["weights"] for frame in (0, 12, 40)]
    assert weights[1] != weights[0] and weights[2] != weights[1]
    assert [line for line in browser.console() if not line.startswith(("INFO", "WARNING"))] == []


STUDIO = """<!DOCTYPE html><meta charset="utf-8"><link rel="icon" href="data:,"><body><script>SCRIPT</script><script>
// Straight from the front, a millimetre a pixel's 0.65, under one lamp that grazes the face.
const camera = new THREE.OrthographicCamera(-0.13, 0.13, 0.13, -0.13, 0.1, 2);
camera.position.z = 1;
const renderer = new THREE.WebGLRenderer({ preserveDrawingBuffer: true });
renderer.setSize(400, 400); document.body.append(renderer.domElement);
renderer.setClearColor(0xffffff);
const lamp = new THREE.DirectionalLight(0xffffff, 1);
lamp.position.set(1, 1.4, 0.8);
window.shoot = (glb, weights) => {
  window.done = window.problem = undefined;
  const buffer = Uint8Array.from(atob(glb), (c) => c.charCodeAt(0)).buffer;
  new THREE.GLTFLoader().parse(buffer, "", (gltf) => {
    const scene = new THREE.Scene();
    scene.add(gltf.scene, lamp);
    scene.traverse((object) => { if (object.isMesh && weights) object.morphTargetInfluences = weights; });
    renderer.render(scene, camera);
    const { width, height } = renderer.domElement;
    const copy = Object.assign(document.createElement("canvas"), { width, height });
    const context = copy.getContext("2d", { willReadFrequently: true });
    context.drawImage(renderer.domElement, 0, 0);
    const { data } = context.getImageData(0, 0, width, height);
    let text = ""; for (let i = 0; i < data.length; i += 4) text += String.fromCharCode(data[i]);
    window.done = btoa(text);
  }, (error) => { window.problem = String(error); console.error(error); });
};
</script>"""
LAMP = np.array([1, 1.4, 0.8]) / np.linalg.norm([1, 1.4, 0.8])


@pytest.fixture(scope="module")
def studio(browser, tmp_path_factory):
    """What three.js shows of a mesh's GLB from the front: grey levels [400, 400], 255 beside the face."""
    folder = tmp_path_factory.mktemp("studio")
    (folder / "studio.html").write_text(STUDIO.replace("SCRIPT", three_js()), "utf-8")

    def shoot(mesh: TriangleMesh, sliders: list[float] | None = None, **words) -> np.ndarray:
        if not browser.run("return window.shoot"):
            browser.open(folder / "studio.html")
        write_glb(folder / "mesh.glb", mesh, **words)
        glb = base64.b64encode((folder / "mesh.glb").read_bytes()).decode()
        browser.run("shoot(arguments[0], arguments[1])", glb, sliders)
        browser.wait("window.done || window.problem")
        assert browser.run("return window.problem") is None
        return np.frombuffer(base64.b64decode(browser.run("return done")), np.uint8).reshape(400, 400).astype(float)

    return shoot


def shaded(mesh: TriangleMesh) -> tuple[np.ndarray, np.ndarray]:
    """Our own picture of the same view: (the light on a matte surface [400, 400], where it is seen well)."""
    x, y, z = np.asarray(mesh.vertices, np.float64).T
    projected = np.stack([(x / 260 + 0.5) * 400 - 0.5, (0.5 - y / 260) * 400 - 0.5, -z], 1)
    window = render_window(projected, mesh.triangles, (400, 400), scale=1.0)
    found = window.interpolate(vertex_normals(np.asarray(mesh.vertices, np.float64), mesh.triangles))
    found /= np.linalg.norm(found, axis=1, keepdims=True)
    light, frontal = np.zeros((400, 400)), np.zeros((400, 400), bool)
    light[window.slices][window.mask] = np.maximum(found @ LAMP, 0)
    frontal[window.slices][window.mask] = found[:, 2] > 0.45
    return light, cv2.erode(frontal.astype(np.uint8), np.ones((7, 7))).astype(bool)


def test_a_viewer_shows_the_wrinkles_of_the_normal_map(studio, browser):
    head = wrinkled_head()
    mesh, dense = with_normal_map(head.mesh(0), head, 0), dense_mesh(head, 0)
    light, seen = shaded(dense)
    wrinkles = light - shaded(mesh)[0]
    strong = seen & (np.abs(wrinkles) > 0.05)
    assert strong.sum() > 3000  # there is something to see

    def grey(picture):
        return picture / (np.median(picture[seen] / np.maximum(light[seen], 0.2)))

    def error(picture, where=strong):
        """Mean difference to our picture of the dense mesh, whose light runs from 0 to 1."""
        return float(np.abs(grey(picture) - light)[where].mean())

    flat, bumpy = studio(dataclasses.replace(mesh, normal_map=None)), studio(mesh)
    assert error(studio(dense)) < 0.005  # we agree on the light
    assert error(bumpy, seen) < 0.006
    assert error(bumpy) < 0.012 < 0.06 < error(flat)
    # The same map in other conventions would look quite wrong.
    for turned in (mesh.normal_map * [1, -1, 1] + np.array([0, 255, 0]), mesh.normal_map * [-1, 1, 1] + [255, 0, 0]):
        other = studio(dataclasses.replace(mesh, normal_map=turned.astype(np.uint8)))
        assert error(other) > 5 * error(bumpy)
    assert [line for line in browser.console() if not line.startswith(("INFO", "WARNING"))] == []


def test_a_rig_opens_with_the_expression_and_its_sliders_move_the_face(studio, browser):
    head, rig, weights = wrinkled_head(), toy_rig(), np.zeros(20, np.float32)
    mesh = with_normal_map(head.mesh(0), head, 0)
    weights[[0, 3, 7, 11]] = 2.5, -3, 2, -1.5
    posed = dataclasses.replace(mesh, vertices=mesh.vertices + np.tensordot(weights, rig.shapes, 1))
    words = {"rig": rig, "weights": weights, "neutral": mesh.vertices}

    def outlines_differ(one, other):
        return float(((one == 255) != (other == 255)).mean())

    plain, opened_with = studio(posed), studio(posed, **words)
    assert np.abs(plain - opened_with).max() <= 3
    at_rest = studio(posed, [0.0] * 20, **words)
    assert outlines_differ(at_rest, studio(mesh)) < 0.0005 < 0.005 < outlines_differ(at_rest, opened_with)
    assert [line for line in browser.console() if not line.startswith(("INFO", "WARNING"))] == []
