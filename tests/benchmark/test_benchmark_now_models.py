"""`facecli benchmark now --model`: photographs and boxes become predictions in the benchmark's layout, and errors."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from standins import tiny as drawn
from standins.now import DEEP, Subject, write_now

BOXES = {"multiview_neutral/one.jpg": (30.0, 30.0, 90.0, 110.0), "selfie/two.jpg": (100.0, 20.0, 148.0, 84.0)}
"""Both 3 wide and 4 high: one person's. The tiny model sees in a box what its height is by its width."""


@pytest.fixture
def tiny(monkeypatch):
    """facecli has the model `tiny`: an ellipsoid in the box."""
    from facecli import registry

    known = registry.plugins() | drawn.plugins()
    monkeypatch.setattr(registry, "plugins", lambda: known)
    from tiny_face.model import TinyReconstructor

    return TinyReconstructor


def ellipsoid(model, box: tuple[float, ...]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Vertices, triangles and NoW's landmarks of the face in a box, as the model has it."""
    from facecli.benchmark.predict import now_landmarks

    made = model()
    found = made.decode(made.encode([made.crop_box(np.zeros((128, 192, 3), np.uint8), np.array(box))]))
    return found.vertices[0].numpy(), found.triangles.numpy(), now_landmarks(found).astype(np.float32)


@pytest.fixture
def data(tiny, tmp_path) -> Path:
    """One person's scan, larger by a tenth and elsewhere, with two photographs of other faces beside the one meant."""
    vertices, triangles, landmarks = ellipsoid(tiny, BOXES["selfie/two.jpg"])
    where = np.array([5, -20, 300])
    picture = drawn.picture([(60, 70, 30, 40), (124, 52, 24, 32)], (192, 128))
    person = Subject(vertices * 1.1 + where, triangles, landmarks * 1.1 + where, dict.fromkeys(BOXES, picture), BOXES)
    return write_now(tmp_path / "NoW", {"P1": person})


@pytest.fixture
def evaluate(cli, data, tmp_path):
    def run(*arguments: object):
        ran = cli("benchmark", "now", "--data", data, "-o", tmp_path / "out", "--json", *arguments)
        return ran, [json.loads(line) for line in ran.out.splitlines()]

    return run


def test_a_model_from_boxes_to_errors(evaluate, data, tmp_path, tiny):
    """The boxes say which face is meant; the scale is fitted, or it counts."""
    ran, (row,) = evaluate("--model", "tiny")
    assert ran.code == 0, ran.err
    assert row["method"] == "tiny" and row["images"] == 2 and row["missing"] == 0
    assert row["median"] < 1e-3
    files = sorted(path.relative_to(tmp_path / "out/predictions/tiny").as_posix() for path in
                   (tmp_path / "out/predictions/tiny").rglob("*.*") if path.name[0] != ".")  # fmt: skip
    assert files == [f"P1/{Path(line).with_suffix(suffix).as_posix()}" for line in BOXES for suffix in (".npy", ".ply")]
    _, _, landmarks = ellipsoid(tiny, BOXES["selfie/two.jpg"])
    np.testing.assert_allclose(np.load(tmp_path / "out/predictions/tiny/P1/selfie/two.npy"), landmarks, atol=1e-3)

    # In millimetres, which nobody had to say: 110 % of the head are too much.
    ran, (metrical,) = evaluate("--model", "tiny", "--protocol", "metrical")
    assert "all 2 predictions" in ran.err and 2 < metrical["median"] < 8
    # The same predictions as somebody else's.
    theirs = ["--predictions", f"theirs={tmp_path / 'out/predictions/tiny'}", "--unit", "mm"]
    _, rows = evaluate("--model", "tiny", *theirs, "--protocol", "metrical")
    assert [row["method"] for row in rows] == ["tiny", "theirs"]
    assert rows[0]["median"] == rows[1]["median"] == metrical["median"]


def test_predictions_that_are_there_are_kept(evaluate, tmp_path, monkeypatch):
    from facecli.benchmark.now import predictions, results

    monkeypatch.setattr(results, "write_report", lambda *_, **__: [])  # drawn elsewhere
    written = []
    genuine = predictions.ModelFolder.write

    def write(folder, case, reconstruction):
        written.append(case.name)
        genuine(folder, case, reconstruction)

    def taken() -> list[str]:
        names = written[:]
        written.clear()
        return names

    monkeypatch.setattr(predictions.ModelFolder, "write", write)
    folder = tmp_path / "out/predictions/tiny"
    both = ["P1/multiview_neutral/one", "P1/selfie/two"]
    evaluate("--model", "tiny")
    assert taken() == both
    (folder / "P1/selfie/two.npy").unlink()  # killed between a mesh and its landmarks
    ran, _ = evaluate("--model", "tiny")
    assert taken() == both[1:] and "1 of 1 image predicted, 1 there already" in ran.err
    ran, (flat,) = evaluate("--model", "tiny", "--option", "depth=flat")
    assert taken() == both and "made with other settings" in ran.err and flat["median"] > 1
    evaluate("--model", "tiny", "--option", "depth=flat")
    assert taken() == []
    evaluate("--model", "tiny", "--option", "depth=flat", "--overwrite")
    assert taken() == both

    foreign = tmp_path / "other/predictions/tiny/P1"
    foreign.mkdir(parents=True)
    (foreign / "precious.obj").write_text("v 0 0 0\n")
    ran, _ = evaluate("--model", "tiny", "-o", tmp_path / "other")
    assert ran.code == 2 and "holds files that facecli didn't write" in ran.err and taken() == []
    ran, _ = evaluate("--model", "tiny", "--option", "shape=cube")
    assert ran.code == 2 and "no option 'shape'" in ran.err


def test_images_that_cannot_be_predicted_are_missing(evaluate, data, tmp_path):
    """A broken box and a broken photograph cost one image each; the test set is predicted, too."""
    (data / DEEP / "detected_face/P1/selfie/two.npy").write_bytes(b"no numpy")
    ran, (row,) = evaluate("--model", "tiny")
    assert ran.code == 1 and (row["images"], row["missing"]) == (1, 1)
    assert "two.npy: is not a NumPy .npy file" in ran.errors[0]
    problems = (tmp_path / "out/val-nonmetrical/problems.txt").read_text()
    assert "P1/selfie/two: " in problems and "is not a NumPy .npy file" in problems
    (data / "imagepathsvalidation.txt").rename(data / "imagepathstest.txt")
    for folder in ("scans", "scans_lmks_onlypp"):
        (data / folder).rename(data / f"no_{folder}")
    (data / DEEP / "iphone_pictures/P1/multiview_neutral/one.jpg").write_bytes(b"no picture")
    ran, (row,) = evaluate("--model", "tiny", "--set", "test", "--pack", tmp_path / "tiny.zip", "--overwrite")
    assert ran.code == 1 and row["missing"] == 2 and not (tmp_path / "tiny.zip").exists()


def test_a_photographs_folder_that_is_not_there(evaluate, data):
    (data / DEEP / "detected_face").rename(data / "elsewhere")
    ran, _ = evaluate("--model", "tiny")
    assert ran.code == 3 and len(ran.errors) == 1
    assert f"{DEEP}/detected_face (the faces' boxes)" in ran.err


def test_mediapipe_on_a_photograph(cli, astronaut, tmp_path):
    """A photograph, its box and a scan that is MediaPipe's own canonical face: some millimetres."""
    from facecli.detect.landmarks import convert
    from facecli.io.images import read_image
    from facecli_mediapipe.surface import load_surface

    surface = load_surface()
    vertices = surface.mean[:468]
    landmarks = convert(surface.mean, "mediapipe478", "now7")
    lines = {"selfie/astronaut.png": read_image(astronaut)}
    box = {"selfie/astronaut.png": (171.0, 78.0, 274.0, 211.0)}
    data = write_now(tmp_path / "NoW", {"A": Subject(vertices, surface.triangles, landmarks, lines, box)}, deep=False)
    ran = cli("benchmark", "now", "--data", data, "-m", "mediapipe", "-o", tmp_path / "out", "--json")
    assert ran.code == 0, ran.err
    row = json.loads(ran.out)
    assert row["images"] == 1 and 0.2 < row["median"] < 5
    assert row["notes"] and row["notes"][0] in ran.err  # it can't take the expression away, and says so
