"""The default model: the astronaut's face with the expressions of a video made here, and of an actor."""

import cv2
import numpy as np
import pytest

import facecli
from facecli.codes import load_codes
from facecli.export.animation import read_animation
from facecli.export.glb import read_glb
from facecli.io.images import read_image, write_image
from facecli.io.video import VideoReader, VideoWriter
from facecli_mediapipe.carry import mouth_opening

OPENINGS = (0.0, 0.0, 0.0, 0.25, 0.5, 0.75, 1.0, 0.5)
"""Of the mouth of the video's frames."""


@pytest.fixture(scope="module")
def portrait(astronaut, tmp_path_factory):
    """The astronaut's head, as a photograph of its own."""
    path = tmp_path_factory.mktemp("portrait") / "me.png"
    write_image(path, read_image(astronaut)[:240, 110:330])
    return path


@pytest.fixture(scope="module")
def speaker(portrait, tmp_path_factory):
    """A mirrored astronaut, who drops her jaw."""
    image = np.ascontiguousarray(read_image(portrait)[:, ::-1])
    (face,) = facecli.reconstruct(image)
    points = face.landmarks["mediapipe478"]
    lips, chin, top = points[14], points[152], points[0]
    drop = 0.4 * (chin[1] - lips[1])
    height, width = image.shape[:2]
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    beside = np.clip(1.3 - np.abs(x - lips[0]) / (chin[1] - top[1]), 0, 1)
    path = tmp_path_factory.mktemp("speaker") / "speaker.mp4"
    with VideoWriter(path, (width, height), fps=8) as writer:
        for opening in OPENINGS:
            # Rows between the lips are stretched, those below moved down.
            shift = drop * opening * beside
            middle = (points[13, 1] + lips[1]) / 2
            below = np.clip((y - middle) / (lips[1] - middle + shift + 1e-3), 0, 1)
            moved = y - shift * below * np.clip((height - y) / (height - chin[1]), 0, 1)
            writer.write(
                cv2.remap(image, x, moved.astype(np.float32), cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
            )
    return path


def openings(codes):
    return mouth_opening(codes["surface"].double().numpy())


def frames_of(path):
    with VideoReader(path) as reader:
        return [frame.image for frame in reader]


@pytest.fixture(scope="module")
def spoken(portrait, speaker, tmp_path_factory):
    """The folder of the astronaut with the speaker's expressions."""
    from facecli.cli.main import run

    out = tmp_path_factory.mktemp("spoken")
    assert run(["transfer", "expression", str(portrait), "--target", str(speaker), "-o", str(out), "-q"]) == 0
    return out / "me/speaker"


def test_the_mouth_opens_as_the_targets_does(spoken, portrait):
    (face,) = facecli.reconstruct(portrait)
    own = openings(face.codes)[0]
    codes = load_codes(spoken / "face0/codes.npz").codes
    found = openings(codes)
    assert np.corrcoef(found, OPENINGS)[0, 1] > 0.95
    assert np.abs(found[:3] - own).max() < 0.05  # where the target is at rest, the source is as it was
    assert found.max() - own > 0.1
    for name in ("size", "pose", "camera"):
        np.testing.assert_allclose(codes[name], face.codes[name].expand_as(codes[name]), atol=1e-5)
    drawn = codes["surface"].numpy()
    forehead = np.ptp(drawn[:, [10, 151, 9]], axis=0).max()
    assert forehead < 0.15 * np.ptp(drawn[:, 152], axis=0).max()  # the chin's way


def test_the_animation_plays_in_the_sources_texture(spoken, portrait):
    mesh = read_glb(spoken / "face0/mesh.glb")
    animation = read_animation(spoken / "face0/mesh.glb", len(mesh.vertices))
    assert len(animation.times) == len(OPENINGS)
    (face,) = facecli.reconstruct(portrait)
    skin = face.mesh.texture.reshape(-1, 3).mean(0)
    assert np.abs(mesh.texture.reshape(-1, 3).mean(0) - skin).max() < 3
    strip = frames_of(spoken / "animation.mp4")
    assert [image.shape for image in strip] == [(320, 1600, 3)] * len(OPENINGS)
    look = [image[:, 1280:].astype(int) for image in strip]
    still = strip[0][:, :320].astype(int)
    assert np.abs(look[1] - still).mean() < 3  # at rest it is the photograph
    lower = slice(180, 300), slice(80, 240)
    assert np.abs(look[6] - still)[lower].mean() > 4 * np.abs(look[1] - still)[lower].mean()


def test_the_speakers_own_rest_is_found_and_can_be_told(cli, portrait, speaker, spoken, tmp_path):
    words = ("transfer", portrait, "-t", speaker, "--save", "codes", "-q")
    assert cli(*words, "--neutral", 1, "-o", tmp_path / "told").code == 0
    assert cli(*words, "--neutral", 6, "-o", tmp_path / "open").code == 0
    found, told, wide = (
        openings(load_codes(folder / "face0/codes.npz").codes)
        for folder in (spoken, tmp_path / "told/me/speaker", tmp_path / "open/me/speaker")
    )
    np.testing.assert_allclose(found, told, atol=0.03)
    assert wide[6] == pytest.approx(told[1], abs=0.02)  # "at rest" with an open mouth
    ran = cli(*words, "--neutral", 99, "-o", tmp_path / "none")
    assert ran.code == 1
    assert "shows face 0 in no frame 99" in ran.errors[0]


def test_a_photographs_rest_is_guessed_or_given(cli, portrait, speaker, tmp_path):
    open_, shut = tmp_path / "open.png", tmp_path / "shut.png"
    images = frames_of(speaker)
    write_image(open_, images[6])
    write_image(shut, images[0])
    words = ("transfer", portrait, "-t", open_, "--save", "codes")
    guessed = cli(*words, "-o", tmp_path / "guess")
    assert guessed.code == 0, guessed.err
    assert "warning: " in guessed.err
    assert "isn't known, but guessed (--neutral takes a picture of it)" in guessed.err.replace("\n", " ")
    given = cli(*words, "--neutral", shut, "-o", tmp_path / "given")
    assert given.code == 0
    assert "guessed" not in given.err
    a, b = (openings(load_codes(tmp_path / f"{name}/me/open/face0/codes.npz").codes)[0] for name in ("guess", "given"))
    (face,) = facecli.reconstruct(portrait)
    own = openings(face.codes)[0]
    assert b > own + 0.1
    assert a > own
    same = cli("transfer", portrait, "-t", shut, "--neutral", shut, "--save", "codes,obj", "-o", tmp_path / "same")
    assert same.code == 0
    codes = load_codes(tmp_path / "same/me/shut/face0/codes.npz").codes
    np.testing.assert_allclose(codes["surface"], face.codes["surface"], atol=1e-4)
    assert cli(*words, "--neutral", tmp_path / "away.png", "-o", tmp_path / "no").code == 1


def test_in_memory(portrait, speaker):
    image = read_image(portrait)
    faces = list(facecli.transfer(image, speaker, take="expression,pose", neutral="0"))
    assert [face.index for face in faces] == list(range(len(OPENINGS)))
    assert np.corrcoef(openings(faces[0].codes.concatenate([face.codes for face in faces])), OPENINGS)[0, 1] > 0.95
    (own,) = facecli.reconstruct(image)
    poses = np.stack([face.codes["pose"][0].numpy() for face in faces])
    assert np.abs(poses - own.codes["pose"].numpy()).max() > 0.02  # the speaker's
    (still,) = facecli.transfer(image, image)
    assert still.mesh.texture.shape == own.mesh.texture.shape
    assert np.abs(still.mesh.texture.astype(int) - own.mesh.texture).mean() < 1
    with pytest.raises(facecli.errors.InputError, match="no face found"):
        list(facecli.transfer(image, np.zeros((64, 64, 3), np.uint8)))


def test_what_mediapipe_cannot_do_is_refused(cli, portrait, speaker, tmp_path):
    ran = cli("transfer", portrait, "-t", portrait, "--take", "light", "-o", tmp_path)
    assert ran.code == 1
    assert "it can take expression and pose, not light" in ran.errors[0]
    ran = cli("transfer", portrait, "-t", portrait, "--teaser", "-o", tmp_path)
    assert ran.code == 2
    assert "the teaser opens jaws, which the model mediapipe has no code for" in ran.errors[0]
    ran = cli("transfer", portrait, "-t", portrait, "-m", "mediapipe", "--target-model", "deca", "-o", tmp_path)
    assert ran.code == 2
    assert (
        "mediapipe and deca can't be mixed: their codes are of different families, mediapipe and flame" in ran.errors[0]
    )


def test_an_actors_expressions(cli, media, astronaut, tmp_path):
    """He smiles at first, cries out about frame 38, and is angry in the end."""
    ran = cli("transfer", astronaut, "-t", media / "dafoe.mp4", "--save", "codes", "-o", tmp_path, "-q")
    assert ran.code == 0, ran.err
    surface = load_codes(tmp_path / "astronaut/dafoe/face0/codes.npz").codes["surface"].numpy()
    mouth = mouth_opening(surface.astype(float))
    assert mouth[36:42].max() > 2 * mouth[85:95].max()
    wide = np.linalg.norm(surface[:, 61] - surface[:, 291], axis=1)
    assert wide[:20].min() > wide[60:].max() * 0.98
    assert np.abs(np.diff(surface[:, 10], axis=0)).max() < 2.5  # the forehead is quiet, however he turns
