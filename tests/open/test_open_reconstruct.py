"""The open model on photographs, from the command line and from Python."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
import torch
import trimesh

import facecli
from facecli import registry
from facecli.codes import load_codes
from facecli.detect.face import Face
from facecli.errors import UsageError
from facecli.export.arkit import NAMES
from facecli.io.images import read_image
from facecli_open.crop import SIZE, crop_head

pytest.importorskip("mediapipe")


@pytest.fixture(scope="module")
def found(astronaut):
    """(photograph, its face with MediaPipe's points)."""
    landmarker = registry.landmarker("mediapipe")
    image = read_image(astronaut)
    try:
        ((face,),) = landmarker.detect([image])
    finally:
        landmarker.close()
    return image, face


@pytest.fixture
def model(with_ict):
    return registry.reconstructor("open")


def error_of(points: np.ndarray, face: Face) -> float:
    """Mean distance to MediaPipe's face points, in percent of the face's box."""
    x0, y0, x1, y1 = face.box
    away = np.linalg.norm(points[:468] - face.points[:468, :2], axis=1)
    return 100 * float(away.mean()) / float(np.sqrt((x1 - x0) * (y1 - y0)))


def test_the_crop_is_upright_and_holds_the_head(found):
    image, face = found
    crop = crop_head(image, face)
    assert crop.image.shape == (3, SIZE, SIZE) and crop.image.dtype == np.float32
    points = face.points[:, :2] @ crop.warp[:2, :2].T + crop.warp[:2, 2]
    assert points.min() > 20 and points.max() < SIZE - 20
    eyes = points[[33, 263]]
    assert abs(eyes[1, 1] - eyes[0, 1]) < 3 and eyes[1, 0] > eyes[0, 0]


@pytest.mark.parametrize("degrees", [30, -70])
def test_the_crop_turns_with_the_head(found, degrees):
    image, face = found
    around = cv2.getRotationMatrix2D(tuple(face.points[4, :2]), degrees, 1.7)
    height, width = image.shape[:2]
    turned = cv2.warpAffine(image, around, (width, height), borderMode=cv2.BORDER_REPLICATE)
    points = face.points * (1, 1, 1.7)
    points[:, :2] = face.points[:, :2] @ around[:, :2].T + around[:, 2]
    straight, again = crop_head(image, face), crop_head(turned, Face(face.box, 1.0, points, "mediapipe478"))
    inside = slice(30, -30), slice(30, -30)
    assert np.abs(straight.image - again.image)[:, *inside].mean() < 0.02


def test_other_landmarks_are_refused(found):
    image, face = found
    with pytest.raises(UsageError, match="needs MediaPipe's 478 points, not ibug68"):
        crop_head(image, Face(face.box, 1.0, np.zeros((68, 2)), "ibug68"))


def test_the_head_lies_on_the_landmarks(found, model):
    image, face = found
    made = model.decode(model.encode([model.crop(image, face)]))
    assert error_of(made.landmarks["mediapipe478"][0].numpy(), face) < 1.5
    assert 400 < -made.head_pose[0, 2, 3] < 2000
    rough = registry.reconstructor("open", refine=False)
    unrefined = rough.decode(rough.encode([rough.crop(image, face)]))
    assert error_of(unrefined.landmarks["mediapipe478"][0].numpy(), face) > 1.1 * error_of(
        made.landmarks["mediapipe478"][0].numpy(), face
    )


def test_a_batch_gives_what_single_faces_give(found, model):
    image, face = found
    mirrored = facecli.detect.landmarks.mirror(face.points, "mediapipe478", image.shape[1])
    other = Face(face.box, 1.0, mirrored, "mediapipe478")
    crops = [model.crop(image, face), model.crop(np.ascontiguousarray(image[:, ::-1]), other)]
    both, singles = model.encode(crops), [model.encode([crop]) for crop in crops]
    for number, single in enumerate(singles):
        for name, value in single.values.items():
            assert torch.equal(both[name][number], value[0]), name


def test_a_smile_in_arkit_words(found, model):
    image, face = found
    weights = model.arkit(model.encode([model.crop(image, face)]))
    assert weights.shape == (1, 52) and float(weights.min()) >= 0 and float(weights.max()) <= 1
    words = dict(zip(NAMES, weights[0].tolist(), strict=True))
    assert words["mouthSmileLeft"] + words["mouthSmileRight"] > 0.6
    assert words["mouthFrownLeft"] + words["mouthFrownRight"] < 0.2 and words["eyeBlinkLeft"] < 0.5


def test_a_known_field_of_view(found, with_ict):
    image, face = found
    model = registry.reconstructor("open", fov=20.0)
    made = model.decode(model.encode([model.crop(image, face)]))
    assert made.camera["focal_pixels"][0] == pytest.approx(image.shape[0] / 2 / np.tan(np.radians(10)), rel=1e-4)
    with pytest.raises(UsageError, match="1 to 170 degrees"):
        registry.reconstructor("open", fov=200.0)


def test_everything_from_the_command_line(cli, astronaut, with_ict, tmp_path):
    ran = cli("reconstruct", astronaut, "--model", "open", "-o", "out", "--save", "obj,glb,codes,json,overlay")
    assert ran.code == 0, ran.err
    folder = tmp_path / "out/astronaut/face0"
    record = json.loads((folder / "face.json").read_text())
    assert record["camera"]["kind"] == "perspective" and record["model"] == "open"
    glb, obj = trimesh.load(folder / "mesh.glb", process=False), trimesh.load(folder / "mesh.obj", process=False)
    assert len(obj.faces) == sum(len(part.faces) for part in glb.geometry.values()) == 25480
    height = np.ptp(trimesh.util.concatenate(list(glb.geometry.values())).vertices[:, 1])
    assert 0.25 < height < 0.45  # metres, with the neck
    assert b"mouthSmile" in (folder / "mesh.glb").read_bytes()
    codes = load_codes(folder / "codes.npz").codes
    assert codes.family == "ict" and {n: tuple(codes[n].shape[1:]) for n in ("identity", "expression", "camera")} == {
        "identity": (100,), "expression": (57,), "camera": (4,),
    }  # fmt: skip
    ran = cli("reconstruct", folder / "codes.npz", "--photo", astronaut, "-o", "again", "--save", "overlay")
    assert ran.code == 0, ran.err
    first, again = (read_image(next(tmp_path.glob(f"{name}/**/overlay.png"))) for name in ("out", "again"))
    assert np.abs(first.astype(int) - again.astype(int)).max() <= 2


def test_without_the_file_it_says_how_to_get_it(cli, astronaut, own_assets):
    ran = cli("reconstruct", astronaut, "--model", "open", "-o", "out")
    assert ran.code == 3 and "facecli assets get ict-facekit" in ran.err


def test_a_video_keeps_its_person(media, with_ict, tmp_path, cli):
    """Four frames; the identity is held."""
    import imageio_ffmpeg

    from facecli.io.video import VideoReader

    with_images = zip(range(4), VideoReader(media / "dafoe.mp4"), strict=False)
    frames = [frame.image for _, frame in with_images]
    height, width = frames[0].shape[:2]
    writer = imageio_ffmpeg.write_frames(str(tmp_path / "few.mp4"), (width, height), fps=25, macro_block_size=1)
    writer.send(None)
    for frame in frames:
        writer.send(np.ascontiguousarray(frame))
    writer.close()
    ran = cli("reconstruct", tmp_path / "few.mp4", "--model", "open", "-o", "out", "--hold", "auto", "--smooth",
              "--faces", "largest")  # fmt: skip
    assert ran.code == 0, ran.err
    codes = load_codes(next((tmp_path / "out").glob("**/codes.npz"))).codes
    assert len(codes) == 4 and torch.equal(codes["identity"][0], codes["identity"][3])
    assert next((tmp_path / "out").glob("**/*.glb")).stat().st_size > 1e6


def test_it_is_the_default_as_soon_as_its_file_is_there(own_assets, ict_file, cli):
    from facecli.assets import places
    from facecli.reconstruction.settings import default_model

    assert default_model() == "mediapipe"
    (own_assets / ict_file.name).write_bytes(b"no archive")  # is no file of it
    places.rescan()
    assert default_model() == "mediapipe"
    (own_assets / ict_file.name).unlink()
    (own_assets / ict_file.name).symlink_to(ict_file)
    places.rescan()
    assert default_model() == "open"
