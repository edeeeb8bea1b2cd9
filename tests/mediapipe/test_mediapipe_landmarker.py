"""The MediaPipe adapter gives the official points, whatever picture it gets."""

from pathlib import Path

import numpy as np
import pytest

from facecli import registry
from facecli.detect.face import Face
from facecli.errors import MissingAssetError
from facecli.io.images import read_image

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests/golden/landmarks/mediapipe_astronaut.npz"

mediapipe = pytest.importorskip("mediapipe")
legacy = pytest.mark.skipif(not hasattr(mediapipe, "solutions"), reason="this mediapipe has no legacy API")


@pytest.fixture(scope="module")
def astronaut():
    return read_image(ROOT / "assets/astronaut.png")


@pytest.fixture(scope="module")
def landmarker():
    landmarker = registry.landmarker("mediapipe")
    yield landmarker
    landmarker.close()


@legacy
def test_points_are_the_official_ones(landmarker, astronaut):
    (face,) = landmarker.detect([astronaut])[0]
    expected = np.load(GOLDEN)["mediapipe_refine1"] * (512, 512, 512)
    np.testing.assert_allclose(face.points, expected, atol=1e-3 * 512)
    assert face.point_set == "mediapipe478"
    assert face.score == pytest.approx(float(np.load(GOLDEN)["detection_score"]), abs=0.05)
    np.testing.assert_allclose(face.box, [*face.points[:, :2].min(0), *face.points[:, :2].max(0)])


@legacy
def test_without_refinement_there_are_468_points(astronaut):
    plain = registry.landmarker("mediapipe", refine=False)
    (face,) = plain.detect([astronaut])[0]
    plain.close()
    np.testing.assert_allclose(face.points, np.load(GOLDEN)["mediapipe_refine0"] * 512, atol=1e-3 * 512)
    assert face.point_set == plain.point_set == "mediapipe468"


def test_it_is_a_function_of_the_picture_alone(landmarker, astronaut):
    first = landmarker.detect([astronaut])[0][0].points
    landmarker.detect([np.zeros((300, 200, 3), np.uint8), astronaut[:, ::-1]])
    again = landmarker.detect([astronaut])[0][0].points
    np.testing.assert_array_equal(first, again)


def test_other_kinds_of_pixels_are_converted(landmarker, astronaut):
    expected = landmarker.detect([astronaut])[0][0].points
    rgba = np.dstack([astronaut, np.full(astronaut.shape[:2], 255, np.uint8)])
    deep = astronaut.astype(np.uint16) * 257
    strided = np.ascontiguousarray(astronaut[:, ::-1])[:, ::-1]
    for image in (rgba, deep, strided):
        np.testing.assert_allclose(landmarker.detect([image])[0][0].points, expected, atol=1e-6)
    grey = astronaut.mean(2).astype(np.uint8)
    np.testing.assert_allclose(landmarker.detect([grey])[0][0].points, expected, atol=8)
    with pytest.raises(TypeError):
        landmarker.detect([astronaut / 255])


def test_small_faces_in_a_large_picture_are_found(landmarker, astronaut):
    picture = np.full((1536, 2048, 3), 127, np.uint8)
    picture[100:612, 100:612] = astronaut
    picture[900:1412, 1400:1912] = astronaut
    faces = landmarker.detect([picture])[0]
    expected = landmarker.detect([astronaut])[0][0].points[:, :2]
    assert len(faces) == 2
    for face, corner in zip(sorted(faces, key=lambda f: f.box[0]), ((100, 100), (1400, 900)), strict=True):
        assert np.linalg.norm(face.points[:, :2] - corner - expected, axis=1).mean() < 3


def test_no_face_is_no_error(landmarker):
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    assert landmarker.detect([np.zeros((40, 30, 3), np.uint8), noise]) == [[], []]


def test_the_tasks_api_without_its_file_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setenv("FACECLI_ASSETS", str(tmp_path))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.setenv("FACECLI_MIRROR", "http://127.0.0.1:9")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(Exception) as caught:
        registry.landmarker("mediapipe-tasks")
    assert caught.value.exit_code == 3
    assert isinstance(caught.value, MissingAssetError)
    assert "face_landmarker.task" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    """A folder with a face_landmarker.task whose network is the legacy one."""
    if not hasattr(mediapipe, "solutions"):
        pytest.skip("made of the legacy models")
    from task_bundle import bundle_bytes

    folder = tmp_path_factory.mktemp("assets")
    (folder / "face_landmarker.task").write_bytes(bundle_bytes())
    return folder


@pytest.mark.parametrize("track", [False, True])
def test_the_tasks_api_gives_the_same_points_from_the_same_network(bundle, monkeypatch, astronaut, track):
    monkeypatch.setenv("FACECLI_ASSETS", str(bundle))
    tasks = registry.landmarker("mediapipe-tasks", track=track)
    wide = np.zeros((600, 900, 3), np.uint8)
    wide[40:552, 300:812] = astronaut
    pictures = [astronaut] if track else [astronaut, wide]
    legacy_landmarker = registry.landmarker("mediapipe", refine=False)
    for found, expected in zip(tasks.detect(pictures), legacy_landmarker.detect(pictures), strict=True):
        assert [face.point_set for face in found] == ["mediapipe478"]
        np.testing.assert_allclose(found[0].points[:468, :2], expected[0].points[:, :2], atol=0.1)
    assert tasks.api == "tasks"
    tasks.close()
    legacy_landmarker.close()


def test_reconstruct_with_the_tasks_api(cli, bundle, monkeypatch, tmp_path):
    monkeypatch.setenv("FACECLI_ASSETS", str(bundle))
    sample = ROOT / "assets/astronaut.png"
    ran = cli("reconstruct", sample, "-o", tmp_path, "--landmarker", "mediapipe-tasks", "--save", "overlay,glb")
    assert ran.code == 0, ran.err
    assert (tmp_path / "astronaut/face0/overlay.png").exists()


def test_a_broken_task_file_is_named_with_its_mend(monkeypatch, tmp_path):
    import zipfile

    monkeypatch.setenv("FACECLI_ASSETS", str(tmp_path))
    with zipfile.ZipFile(tmp_path / "face_landmarker.task", "w") as archive:
        archive.writestr("hands.tflite", b"no face in here")
    with pytest.raises(MissingAssetError, match=r"face_landmarker\.task") as caught:
        registry.landmarker("mediapipe-tasks")
    assert "facecli assets get face_landmarker" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_task_file_is_fetched_at_first_use(bundle, monkeypatch, tmp_path, astronaut):
    import functools
    import http.server
    import threading

    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(bundle))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("FACECLI_MIRROR", f"http://127.0.0.1:{server.server_port}")
        monkeypatch.setenv("FACECLI_ASSETS", str(tmp_path / "none"))
        monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
        monkeypatch.chdir(tmp_path)
        (face,) = facecli_landmarks(astronaut)
        server.shutdown()
    assert face.points.shape == (478, 3)
    assert list((tmp_path / "data").rglob("face_landmarker.task"))
    (again,) = facecli_landmarks(astronaut)  # no server any more
    np.testing.assert_array_equal(face.points, again.points)


def facecli_landmarks(image):
    import facecli

    return facecli.landmarks(image, "mediapipe-tasks")


def test_further_faces_must_be_surer_than_the_surest():
    from facecli_mediapipe.landmarker import MediaPipeLandmarker

    def face(score):
        return Face(np.array([0.0, 0.0, 10.0, 10.0]), score)

    landmarker = MediaPipeLandmarker(confidence=0.1, small_faces=False, further_confidence=0.5)
    landmarker._backend.close()
    for scores, kept in (((0.9, 0.1, 0.6), [0.9, 0.6]), ((0.15, 0.12), [0.15]), ((0.3,), [0.3]), ((), [])):
        landmarker._backend = type("Found", (), {"detect": lambda self, image, s=scores: [face(one) for one in s]})()
        assert [found.score for found in landmarker.detect([np.zeros((20, 20, 3), np.uint8)])[0]] == kept
