"""`facecli benchmark aflw2000`: models, landmarkers and files against labels; lost faces, broken files, killed runs."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from facecli import registry
from facecli.benchmark.predict import Portrait, Predictor, head_rotation, ibug68_pixels
from facecli.detect.face import Face
from facecli.geometry.euler import label_angles, rotation_of_labels, split_affine
from facecli.io.images import read_image, write_image
from facecli.plugin import Plugin
from standins import tiny as drawn
from standins.aflw2000 import face_points, write_case


@pytest.fixture(autouse=True)
def plots(request, monkeypatch):
    """Are drawn in the tests that look at them: they take longer than all else."""
    from facecli.benchmark.aflw2000 import plots

    if "drawn_plots" not in request.fixturenames:
        monkeypatch.setattr(plots, "write", lambda stem, results: [])


@pytest.fixture
def drawn_plots():
    """Asks for them."""


# --- MediaPipe on real faces -----------------------------------------------------------------------------------------

TURNS = (0, 18, -24)
"""Degrees that the photograph is turned, counter-clockwise."""


def turned(image: np.ndarray, degrees: float, size: int) -> np.ndarray:
    """The astronaut's head in the middle of [size, size, 3]."""
    import cv2

    warp = cv2.getRotationMatrix2D((225, 120), degrees, size / 330)
    warp[:, 2] += size / 2 - np.array([225, 120])
    return cv2.warpAffine(image, warp, (size, size), borderMode=cv2.BORDER_REPLICATE)


@pytest.fixture(scope="module")
def pictures(astronaut) -> dict[str, np.ndarray]:
    """As they are called; the last one is the first's mirror image."""
    image = read_image(astronaut)
    views = [turned(image, degrees, size) for degrees, size in zip(TURNS, (450, 320, 400), strict=True)]
    return {f"image{number:05d}": view for number, view in enumerate([*views, views[0][:, ::-1].copy()], 2)}


@pytest.fixture(scope="module")
def looked_at(pictures) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Name -> MediaPipe's landmarks [68, 2] and angles [3]."""
    with Predictor("mediapipe", device="cpu", workers=0) as predictor:
        found = list(predictor.predict(Portrait(name, image) for name, image in pictures.items()))
    return {one.portrait.name: (ibug68_pixels(one.face), label_angles(head_rotation(one.face))) for one in found}


@pytest.fixture(scope="module")
def astronauts(pictures, looked_at, tmp_path_factory) -> Path:
    """A data set whose labels are MediaPipe's own."""
    folder = tmp_path_factory.mktemp("astronauts")
    for name, image in pictures.items():
        write_case(folder, name, *looked_at[name], image)
    return folder


def test_signs_on_a_real_face(looked_at):
    """A picture turned counter-clockwise leans the head to the image's left; a mirrored one looks the other way."""
    angles = np.array([angles for _, angles in looked_at.values()])
    np.testing.assert_allclose(angles[1:3, 2] - angles[0, 2], -np.array(TURNS[1:]), atol=4)
    np.testing.assert_allclose(angles[3], angles[0] * (-1, 1, -1), atol=3)


@pytest.mark.parametrize(("frame", "looks"), [(48, "right"), (64, "left")])
def test_turns_of_a_real_head(media, frame, looks):
    """The head in the film looks to the image's right by some 40 degrees, later to its left."""
    import cv2

    film = cv2.VideoCapture(str(media / "dafoe.mp4"))
    film.set(cv2.CAP_PROP_POS_FRAMES, frame)
    image = film.read()[1][..., ::-1].copy()
    with Predictor("mediapipe", device="cpu", workers=0) as predictor:
        (found,) = predictor.predict([Portrait("film", image)])
    yaw = label_angles(head_rotation(found.face))[0]
    assert yaw < -30 if looks == "right" else yaw > 10, yaw


def test_a_network_trained_on_these_labels_says_the_same(astronaut):
    """3DDFA_V2's own weights, trained on 300W-LP, gave this camera for the photograph."""
    _agrees("astronaut", astronaut)


def test_the_same_of_heads_that_are_turned_more(media):
    _agrees("two_people", media / "two_people.jpg")


def _agrees(name: str, path: Path) -> None:
    golden = np.load(Path(__file__).parents[1] / "golden/synergynet/tddfa_v2_photos.npz")
    portraits = []
    for roi in golden[f"{name}.roi_f64"]:
        middle, half = (roi[:2] + roi[2:]) / 2, (roi[2:] - roi[:2]) / 2 * 0.65  # of the face in the crop
        portraits.append(Portrait(name, path, np.concatenate([middle - half, middle + half])))
    with Predictor("mediapipe", device="cpu", workers=0) as predictor:
        ours = np.array([label_angles(head_rotation(one.face)) for one in predictor.predict(portraits)])
    theirs = label_angles(split_affine(golden[f"{name}.param"][:, :12].reshape(-1, 3, 4))[0])
    np.testing.assert_allclose(ours, theirs, atol=6)
    assert (np.abs(theirs).max(1) > 9).all()


@pytest.mark.parametrize("angles", np.array([(30, 0, 0), (0, 25, 0), (0, 0, 20), (-35, 15, -10)]), ids=str)
def test_mediapipe_says_how_a_surface_is_turned(angles):
    """Its mean face, turned as labels mean it: the nose points there, and the angles come out."""
    from facecli_mediapipe.reconstructor import MediaPipeReconstructor
    from facecli_mediapipe.surface import load_surface

    surface = load_surface().mean @ rotation_of_labels(angles).T
    points = surface * (3, -3, -3) + (320, 240, 0)  # pixels: y down, depth away from us
    face = Face(np.array([200.0, 100, 440, 380]), 1.0, points, "mediapipe478")
    model = MediaPipeReconstructor()
    codes = model.encode([model.crop(np.zeros((480, 640, 3), np.uint8), face)])
    np.testing.assert_allclose(label_angles(head_rotation(model.decode(codes))), angles, atol=0.01)
    nose = points[4, :2] - points[[33, 263], :2].mean(0)  # from between the eyes
    straight = (load_surface().mean * 3)[[4, 33, 263]]
    below = straight[1:, 1].mean() - straight[0, 1]
    if angles[0] > 0 and not angles[1:].any():
        assert nose[0] < -10
    if angles[1] > 0 and not angles[[0, 2]].any():
        assert nose[1] < below - 10  # it went up
    if angles[2] > 0 and not angles[:2].any():
        assert nose[0] < -5  # below the eyes, and the top leans right


def test_a_model_against_its_own_labels_has_no_error(cli, astronauts, tmp_path, drawn_plots):
    """From the pictures and .mat files alone, through files, command line and back; with nothing lost on the way."""
    ran = cli("benchmark", "aflw2000", "--data", astronauts, "-o", tmp_path / "out", "--json", "--workers", 0)
    assert ran.code == 0, ran.err
    (record,) = map(json.loads, ran.out.splitlines())
    assert (record["method"], record["labels"]) == ("mediapipe", "original")
    assert (record["images"], record["missing"]) == (4, 0)
    assert record["nme"]["0-30"] < 1e-3
    assert record["nme"]["30-60"] is None and record["nme"]["mean"] is None  # nobody in these bins
    for way in ("mae_exact", "mae_offset_removed"):
        assert record["pose"][way]["mean"] < 1e-3
    assert record["mae"]["pitch"] < 1e-3 and record["mae"]["roll"] < 1e-3
    assert 0.1 < record["mae"]["yaw"] < 5  # SynergyNet's yaw isn't the labels', even of a perfect answer
    assert record["auc"] == pytest.approx(1, abs=1e-3)
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names >= {"results.json", "results.csv", "images.csv", "table.txt", "nme.svg", "nme.png"}


# --- drawn faces -----------------------------------------------------------------------------------------------------

FACES = {"image00002": (110, 330, 90), "image00004": (130, 300, 110), "image00006": (120, 340, 100)}
"""Middle and width of the landmarks. Somebody else is larger, elsewhere in the picture."""
YAWS = dict(zip(FACES, (0.0, 45.0, -70.0), strict=True))
OTHER = (330, 110, 170)


class Sketcher(drawn.BlobLandmarker):
    """A landmarker that puts the schematic face into each red ellipse, as its box says."""

    point_set = "ibug68"
    stop_after = 10**6

    def __init__(self, **options):
        super().__init__(**options)

    def detect(self, images):
        if type(self).calls >= self.stop_after:
            raise KeyboardInterrupt
        return super().detect(images)

    def _faces(self, image):
        found = super()._faces(image)
        for face in found:
            unit = face_points(0, 0, 1)
            low, high = unit.min(0), unit.max(0)
            face.points = face.box[:2] + (unit - low) / (high - low) * (face.box[2:] - face.box[:2])
            face.point_set = "ibug68"
        return found


@pytest.fixture
def sketcher(monkeypatch):
    """facecli has the model `tiny`, and the landmarkers `blobs` and `sketcher`."""
    known = registry.plugins() | drawn.plugins()
    known["sketch"] = Plugin(
        "sketch", "drawn faces", "Apache-2.0", "none needed", landmarkers={"sketcher": f"{__name__}:Sketcher"}
    )
    monkeypatch.setattr(registry, "plugins", lambda: known)
    monkeypatch.setattr(Sketcher, "calls", 0)
    monkeypatch.setattr(Sketcher, "stop_after", 10**6)
    return Sketcher


def ellipse(x: float, y: float, size: float) -> tuple[float, float, float, float]:
    """Around the schematic face."""
    box = face_points(x, y, size)
    low, high = box.min(0), box.max(0)
    return (*(low + high) / 2, *(high - low) / 2)


@pytest.fixture
def sketches(tmp_path) -> Path:
    folder = tmp_path / "sketches"
    for name, face in FACES.items():
        image = drawn.picture([ellipse(*OTHER), ellipse(*face)], (450, 450))
        write_case(folder, name, face_points(*face), (YAWS[name], 5, 0), image)
    return folder


def records(ran) -> list[dict]:
    return [json.loads(line) for line in ran.out.splitlines()]


def test_of_several_faces_the_labelled_one_counts(cli, sketcher, sketches, tmp_path):
    ran = cli("benchmark", "aflw2000", "--data", sketches, "-m", "sketcher", "-o", tmp_path / "out", "--json")
    (record,) = records(ran)
    assert ran.code == 0 and record["missing"] == 0
    assert record["nme"]["mean"] < 1.5  # a pixel or so: drawn faces have edges of whole pixels
    assert record["mae"] is None and "gives no head pose" in ran.err


@pytest.mark.parametrize("faces", ["detected", "labels"])
def test_a_face_elsewhere_is_not_the_labelled_one(cli, sketcher, sketches, tmp_path, faces):
    """It is missing, loudly, and counts as a failure; numbers are over the others."""
    write_image(sketches / "image00004.png", drawn.picture([ellipse(*OTHER)], (450, 450)))
    command = ("benchmark", "aflw2000", "--data", sketches, "-m", "sketcher", "-o", tmp_path / "out", "--faces", faces)
    ran = cli(*command, "--json")
    (record,) = records(ran)
    assert ran.code == 0
    assert (record["images"], record["missing"]) == (2, 1)
    assert record["missing_by_bin"] == {"0-30": 0, "30-60": 1, "60-90": 0}
    assert record["nme"]["30-60"] is None and record["nme"]["mean"] is None
    assert record["nme_over_images"] < 1.5
    assert record["failure_rate"] == pytest.approx(1 / 3)
    assert "sketcher: 1 of 3 images MISSING" in ran.err and "image00004" in ran.err
    table = cli(*command).out
    assert "1 (0/1/0)" in table
    assert "image00004,45" in (tmp_path / "out/images.csv").read_text()


def test_a_box_from_the_label_is_cropped_as_the_model_says(cli, sketcher, sketches, tmp_path, monkeypatch):
    """No landmarker is asked; the model has no pose and says so."""
    from tiny_face.model import TinyReconstructor

    asked = []
    own = TinyReconstructor.crop_box
    monkeypatch.setattr(TinyReconstructor, "crop_box", lambda self, i, box: asked.append(box) or own(self, i, box))
    ran = cli(
        "benchmark", "aflw2000", "--data", sketches, "-m", "tiny", "--faces", "labels", "-o", tmp_path, "--json",
        "--workers", 0,
    )  # fmt: skip
    (record,) = records(ran)
    assert record["images"] == 3 and record["mae"] is None
    expected = [np.concatenate([points.min(0), points.max(0)]) for points in (face_points(*f) for f in FACES.values())]
    np.testing.assert_allclose(asked, expected, atol=1e-3)
    assert "tiny gives no head pose" in ran.err


def test_several_methods_and_the_faces_that_all_found(cli, sketcher, sketches, tmp_path):
    points = np.stack([face_points(*face) for face in FACES.values()])
    points[1] += 5
    points[2] = np.nan
    np.savez(tmp_path / "theirs.npz", names=np.array(list(FACES)), landmarks=points)
    ran = cli(
        "benchmark", "aflw2000", "--data", sketches, "-m", "sketcher", "--predictions", tmp_path / "theirs.npz", "-o",
        tmp_path / "out", "--json",
    )  # fmt: skip
    ours, theirs = records(ran)
    assert [one["images"] for one in (ours, theirs)] == [3, 2]
    assert ours["images_found_by_all"] == theirs["images_found_by_all"] == 2
    assert ours["nme"]["60-90"] is not None and ours["nme_found_by_all"]["60-90"] is None
    size = np.sqrt(np.prod(np.ptp(face_points(*FACES["image00004"]), axis=0)))
    assert theirs["nme"]["30-60"] == pytest.approx(100 * 5 * np.sqrt(2) / size, rel=1e-5)
    whole = json.loads((tmp_path / "out/results.json").read_text())
    assert [result["method"] for result in whole["results"]] == ["sketcher", "theirs"]
    assert "unverified" in (tmp_path / "out/table.txt").read_text()


def test_what_was_asked_before_is_not_asked_again(cli, sketcher, sketches, tmp_path):
    command = ("benchmark", "aflw2000", "--data", sketches, "-m", "sketcher", "-o", tmp_path / "out", "--workers", 0)
    cli(*command, "--limit", 2)
    assert sketcher.calls == 2
    first = cli(*command)
    assert sketcher.calls == 3
    again = cli(*command)
    assert sketcher.calls == 3
    assert (again.out, again.err) == (first.out, first.err)  # also what is to be said of the method
    image = drawn.picture([ellipse(*OTHER), ellipse(*FACES["image00002"])], (450, 450), [(250, 90, 60)])
    write_image(sketches / "image00002.png", image)  # another picture than before
    cli(*command)
    assert sketcher.calls == 4
    cli(*command, "--confidence", 0.3)  # another question
    assert sketcher.calls == 7
    cli(*command, "--overwrite")
    assert sketcher.calls == 10


def test_a_killed_run_goes_on(cli, sketcher, sketches, tmp_path):
    command = ("benchmark", "aflw2000", "--data", sketches, "-m", "sketcher", "-o", tmp_path / "out", "--workers", 0)
    sketcher.stop_after = 2
    ran = cli(*command)
    assert ran.code == 130 and "go on" in ran.err
    assert not (tmp_path / "out/results.json").exists()
    sketcher.stop_after = 10**6
    assert cli(*command).code == 0
    assert sketcher.calls == 3


def test_answers_that_something_has_broken_are_asked_again(cli, sketcher, sketches, tmp_path):
    command = ("benchmark", "aflw2000", "--data", sketches, "-m", "sketcher", "-o", tmp_path / "out", "--workers", 0)
    cli(*command)
    (chunk,) = (tmp_path / "out/predictions").rglob("*.npz")
    chunk.write_bytes(chunk.read_bytes()[:100])
    assert cli(*command).code == 0
    assert sketcher.calls == 6


def test_broken_files_are_named_and_the_rest_is_evaluated(cli, sketcher, sketches, tmp_path):
    (sketches / "image00002.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    (sketches / "image00004.png").unlink()
    write_case(sketches, "image00008", face_points(200, 200, 90), (10, 0, 0), drawn.picture([], (450, 450)))
    (sketches / "image00008.mat").write_bytes(b"nothing")
    ran = cli("benchmark", "aflw2000", "--data", sketches, "-m", "sketcher", "-o", tmp_path / "out", "--json")
    assert ran.code == 1
    for name in ("image00002.png", "image00004", "image00008.mat"):
        assert sum(name in line for line in ran.errors) == 1, ran.err
    (record,) = records(ran)
    assert (record["images"], record["missing"], record["failed"]) == (1, 2, 1)
    # Of a picture that could not be read nothing is kept: mended, it is asked about.
    write_image(sketches / "image00002.png", drawn.picture([ellipse(*FACES["image00002"])], (450, 450)))
    ran = cli("benchmark", "aflw2000", "--data", sketches, "-m", "sketcher", "-o", tmp_path / "out", "--json")
    assert records(ran)[0]["images"] == 2


def test_a_landmarker_without_68_points_and_a_missing_model_let_the_others_go_on(
    cli, sketcher, sketches, tmp_path, own_assets
):
    """The exit code is the missing file's."""
    ran = cli("benchmark", "aflw2000", "--data", sketches, "-m", "blobs,fan3d,sketcher", "-o", tmp_path / "o", "--json")
    assert ran.code == 3
    assert [record["method"] for record in records(ran)] == ["sketcher"]
    assert any("five points" in line for line in ran.errors)
    assert any("facecli assets get" in line for line in ran.errors)


# --- predictions of others -------------------------------------------------------------------------------------------


def perfect() -> np.ndarray:
    return np.stack([face_points(*face) for face in FACES.values()])


def turns() -> np.ndarray:
    return np.array([(yaw, 5.0, 0.0) for yaw in YAWS.values()])


def in_folder(folder: Path, write) -> Path:
    folder.mkdir()
    for name, points in zip(FACES, perfect(), strict=True):
        write(folder, name, points)
    return folder


def as_facecli(folder: Path, name: str, points: np.ndarray) -> None:
    from facecli.detect.formats import Landmarks, write_npz

    face = Face(np.array([0.0, 0, 10, 10]), 1.0, points, "ibug68")
    write_npz(folder / f"{name}.npz", Landmarks.of_picture([face], "ibug68", (450, 450)))


def as_text(folder: Path, name: str, points: np.ndarray) -> None:
    (folder / f"{name}.txt").write_text("".join(f"{x} {y}\n" for x, y in points))


FORMS = {
    "by order": lambda p: np.savez(p / "m.npz", landmarks=perfect(), angles=turns()) or p / "m.npz",
    "by name, backwards, as 3DDFA": lambda p: (
        np.savez(
            p / "m.npz",
            names=np.array([f"AFLW2000/{name}.jpg" for name in FACES])[::-1],
            landmarks=np.concatenate([perfect(), np.zeros((3, 68, 1))], 2).transpose(0, 2, 1)[::-1],
            rotation=rotation_of_labels(turns())[::-1],
        )
        or p / "m.npz"
    ),
    "npz": lambda p: in_folder(p / "m", lambda f, n, x: np.savez(f / f"{n}.npz", landmarks=x, angles=(YAWS[n], 5, 0))),
    "facecli's npz": lambda p: in_folder(p / "m", as_facecli),
    "npy": lambda p: in_folder(p / "m", lambda f, n, x: np.save(f / f"{n}.npy", x.T)),
    "txt": lambda p: in_folder(p / "m", as_text),
}


@pytest.mark.parametrize("form", FORMS)
def test_forms_of_predictions(cli, sketches, tmp_path, form):
    path = FORMS[form](tmp_path)
    ran = cli("benchmark", "aflw2000", "--data", sketches, "--predictions", path, "-o", tmp_path / "out", "--json")
    (record,) = records(ran)
    assert ran.code == 0, ran.err
    assert record["method"] == "m" and record["images"] == 3
    assert record["nme"]["mean"] < 1e-3
    if record["mae"]:
        assert record["pose"]["mae_exact"]["mean"] < 1e-3
        assert record["pose"]["own_angles"] == (form != "by name, backwards, as 3DDFA")
    assert bool(record["mae"]) == (form in ("by order", "by name, backwards, as 3DDFA", "npz"))


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"landmarks": np.zeros((2, 68, 2))}, "has 2 rows, but the data set 3 pictures"),
        ({"landmarks": np.zeros((3, 21, 2))}, "[3, 21, 2], not [N, 68, 2]"),
        ({"points": np.zeros((3, 68, 2))}, "has none of landmarks"),
        ({"landmarks": np.zeros((3, 68, 2)), "angles": np.zeros((2, 3))}, "different lengths"),
    ],
)
def test_predictions_that_cant_be_used(cli, sketches, tmp_path, arrays, words):
    np.savez(tmp_path / "m.npz", **arrays)
    ran = cli("benchmark", "aflw2000", "--data", sketches, "--predictions", tmp_path / "m.npz", "-o", tmp_path / "out")
    assert ran.code == 1
    (line,) = ran.errors
    assert words in line and "m.npz" in line


def test_pose_alone(cli, sketches, tmp_path):
    np.savez(tmp_path / "m.npz", angles=turns() + np.array([3, 0, 0]))
    ran = cli(
        "benchmark", "aflw2000", "--data", sketches, "--predictions", tmp_path / "m.npz", "-o", tmp_path / "out",
        "--what", "pose", "--json",
    )  # fmt: skip
    (record,) = records(ran)
    assert record["labels"] is None and record["nme"] is None
    assert record["mae"]["yaw"] == pytest.approx(3) and record["mae"]["mean"] == pytest.approx(1)
    assert record["pose"]["offset"] == pytest.approx(3, abs=0.1)
    assert not (tmp_path / "out/nme.svg").exists()


# --- words -----------------------------------------------------------------------------------------------------------


def test_the_official_words(cli, sketches, tmp_path):
    """Both sets of labels, as far as they are there; printed, and in a file."""
    truth = perfect().transpose(0, 2, 1)
    np.save(sketches / "AFLW2000-3D-Reannotated.pts68.npy", truth + 1)
    np.savez(tmp_path / "m.npz", landmarks=perfect(), angles=turns())
    command = ("benchmark", "aflw2000", "--data", sketches, "--predictions", tmp_path / "m.npz", "-o", tmp_path / "o")
    ran = cli(*command, "--official-text")
    assert "Facial Alignment on AFLW2000-3D (NME):\n[ 0, 30]\tMean: 0.000, Std: 0.000\n" in ran.out
    assert "Facial Alignment on AFLW2000-3D Reannotated (NME):" in ran.out
    assert "Mean MAE = 0.000 (in deg), [yaw,pitch,roll] = [0.000, 0.000, 0.000]" in ran.out
    assert (tmp_path / "o/official_m.txt").read_text().strip() in ran.out
    only = records(cli(*command, "--labels", "reannotated", "--json"))
    assert [record["labels"] for record in only] == ["reannotated"]
    assert only[0]["nme"]["0-30"] > 0.5


def test_usage(cli, sketches, tmp_path):
    command = ("benchmark", "aflw2000", "-o", tmp_path / "out")
    for arguments, words in (
        (("--data", tmp_path / "nowhere"), "no such folder"),
        (("--data", sketches, "--labels", "best"), "--labels"),
        (("--data", sketches, "--what", "all"), "--what"),
        (("--data", sketches, "--faces", "some"), "--faces"),
        (("--data", sketches, "-m", "mediapip"), "unknown model or landmarker"),
        (("--data", sketches, "-m", "fan", "-O", "a=b"), "--option"),
        (("--data", sketches, "--predictions", tmp_path / "a/m.npz", "--predictions", tmp_path / "b/m.npz"), "two"),
    ):
        ran = cli(*command, *arguments)
        assert ran.code == 2 and words in ran.err, (arguments, ran.err)
    ran = cli(*command, "--data", sketches, "--labels", "reannotated")
    assert ran.code == 3 and "Reannotated.pts68.npy" in ran.err
