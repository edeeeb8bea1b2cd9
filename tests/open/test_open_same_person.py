"""Several pictures of one person: the open model finds people nearer to themselves than to others."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from facecli.codes import Codes, load_codes
from facecli.data.head_set import HeadSet, renderer
from facecli.data.heads import HeadChoice
from facecli.io.images import write_image
from facecli.io.video import VideoReader

pytest.importorskip("mediapipe")

PEOPLE, VIEWS, SEED = 3, 2, 77
FOLLOWING = ("expression", "pose", "camera")


@pytest.fixture(scope="module")
def heads(ict_file):
    """[person][view] rendered, with another pose, light and expression each."""
    drawn = renderer(HeadSet(HeadChoice("ict", ict_file), "easy", SEED, size=400))
    return [
        [drawn.render(SEED, 100 + VIEWS * person + view, person) for view in range(VIEWS)] for person in range(PEOPLE)
    ]


def distances(ict, identities: dict[str, np.ndarray]):
    """(of one person's, of two people's) mean distances of faces at rest, mm; names begin with the person."""
    shapes = {name: ict.vertices(code[None], np.zeros((1, 57)))[0, :9409] for name, code in identities.items()}
    same, others = [], []
    for a, b in itertools.combinations(shapes, 2):
        pairs = same if a.split("-")[0] == b.split("-")[0] else others
        pairs.append(float(np.linalg.norm(shapes[a] - shapes[b], axis=1).mean()))
    return same, others


def test_a_renderers_person_stays(heads):
    first, second = heads[0]
    np.testing.assert_array_equal(first.identity, second.identity)
    np.testing.assert_array_equal(first.neutral, second.neutral)
    np.testing.assert_array_equal(first.palette.skin, second.palette.skin)
    assert not np.array_equal(first.light.sky, second.light.sky)
    assert first.view.distance != second.view.distance and not np.array_equal(first.expression, second.expression)
    assert not np.array_equal(first.identity, heads[1][0].identity)


def test_rendered_people(cli, heads, ict, head, with_ict, tmp_path):
    for person, pictures in enumerate(heads):
        for view, picture in enumerate(pictures):
            write_image(tmp_path / f"in/{person}-{view}.png", picture.image)
    ran = cli("reconstruct", "in", "--model", "open", "--save", "codes", "--faces", "largest", "-o", "apart")
    assert ran.code == 0, ran.err
    own = {path.name: _identity(path) for path in (tmp_path / "apart").iterdir()}
    same, others = distances(ict, own)
    assert len(same) == PEOPLE and np.mean(same) < 0.8 * np.mean(others)
    words = [f"in/0-{view}.png" for view in range(VIEWS)]
    ran = cli("reconstruct", *words, "--model", "open", "--same-person", "--save", "codes", "-o", "together")
    assert ran.code == 0, ran.err
    shared = [_identity(tmp_path / f"together/0-{view}") for view in range(VIEWS)]
    np.testing.assert_array_equal(shared[0], shared[1])
    weights = [_frontal(head) for head in heads[0]]
    mean = np.average([own["0-0"], own["0-1"]], axis=0, weights=weights)
    np.testing.assert_allclose(shared[0], mean, atol=0.15)  # of heads turned a bit otherwise than the model thinks
    assert np.abs(own["0-0"] - own["0-1"]).max() > 0.5
    for view in range(VIEWS):  # and the heads lie where they did
        stored = load_codes(tmp_path / f"together/0-{view}/face0/codes.npz")
        raw = stored.codes.replace(
            **{name: torch.from_numpy(stored.extras[f"raw/{name}"]) for name in ("identity", *FOLLOWING)}
        )
        points, own_points = (head.decode(codes).landmarks["mediapipe478"][0] for codes in (stored.codes, raw))
        stiff = head.decode(raw.replace(identity=stored.codes["identity"])).landmarks["mediapipe478"][0]
        assert (points - own_points).norm(dim=1).mean() < 0.9 * (stiff - own_points).norm(dim=1).mean()


def _identity(folder) -> np.ndarray:
    return load_codes(folder / "face0/codes.npz").codes["identity"][0].numpy()


def _frontal(head) -> float:
    return float(head.view.rotation[2, 2]) ** 2


def test_an_actor_in_a_video_and_others(cli, media, ict, with_ict, astronaut, tmp_path):
    with VideoReader(media / "dafoe.mp4") as reader:
        frames = [frame.image for frame in reader.frames() if frame.index in (0, 40)][:2]
    for number, frame in enumerate(frames):
        write_image(tmp_path / f"in/dafoe-{number}.png", frame)
    ran = cli("reconstruct", "in", media / "test_image1.png", astronaut, "--model", "open", "--save", "codes",
              "--faces", "largest", "-o", "out")  # fmt: skip
    assert ran.code == 0, ran.err
    same, others = distances(ict, {path.name: _identity(path) for path in (tmp_path / "out").iterdir()})
    assert len(same) == 1 and max(same) < min(others)


# --- codes that follow, made by hand ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def model(ict_file):
    """The open model, which looks at no picture here."""
    from facecli.assets import places

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FACECLI_ASSETS", str(ict_file.parent))
        places.rescan()
        from facecli_open.reconstructor import OpenReconstructor

        yield OpenReconstructor()
    places.rescan()


@pytest.fixture(scope="module")
def found() -> Codes:
    """Four faces: turned, smiling, looking aside, far from the photograph's middle."""
    rng = np.random.default_rng(5)
    expression = rng.uniform(0, 0.3, (4, 57)) * (rng.random((4, 57)) < 0.4)
    distance, scale = rng.uniform(400, 1200, 4), rng.uniform(0.8, 2.0, 4)
    values = {
        "identity": rng.standard_normal((4, 100)) * 0.7,
        "expression": expression,
        "pose": rng.uniform(-0.4, 0.4, (4, 3)),
        "camera": np.stack([distance * scale, scale, rng.uniform(150, 500, 4), rng.uniform(150, 350, 4)], 1),
        "warp": np.tile(np.eye(3), (4, 1, 1)),
        "photo_size": np.tile([480.0, 640.0], (4, 1)),
    }
    return Codes({name: torch.from_numpy(value).float() for name, value in values.items()}, "open", "ict")


def missing(model, codes: Codes, before: Codes) -> np.ndarray:
    """[B] mean mm at the head between MediaPipe's points of the two."""
    points, wanted = (model.decode(given).landmarks["mediapipe478"][:, :468] for given in (codes, before))
    return ((points - wanted).norm(dim=2).mean(1) / before["camera"][:, 1]).numpy()


def test_codes_follow_a_shared_identity(model, found):
    shared = found.replace(identity=found["identity"].mean(0, keepdim=True).expand(4, -1))
    followed = model.follow(shared, found)
    stiff, after = missing(model, shared, found), missing(model, followed, found)
    assert stiff.mean() > 2 and (after < 0.75 * stiff).all() and after.mean() < 0.55 * stiff.mean()
    looks = [number for number, name in enumerate(model.head.expression_names) if name.startswith("eyeLook")]
    assert float(found["expression"][:, looks].max()) > 0.1
    assert torch.equal(followed["expression"][:, looks], found["expression"][:, looks])
    assert torch.equal(followed["identity"], shared["identity"])
    assert float(followed["expression"].min()) >= 0 and float(followed["expression"].max()) <= 1
    np.testing.assert_allclose(followed["camera"][:, 0], found["camera"][:, 0], rtol=1e-6)  # it is the photograph's
    for row in range(4):  # a batch gives what single faces give
        alone = model.follow(shared.select(row), found.select(row))
        for name in FOLLOWING:
            assert torch.equal(alone[name][0], followed[name][row])


def test_codes_that_lie_well_stay(model, found):
    followed = model.follow(found, found)
    assert missing(model, followed, found).max() < 0.02
    for name in FOLLOWING:
        np.testing.assert_allclose(followed[name], found[name], rtol=1e-3, atol=2e-3)


def test_codes_that_nobody_could_follow_stay(model, found):
    broken = found.replace(camera=found["camera"] * torch.tensor([[0.0], [-1.0], [1.0], [1.0]]))
    broken = broken.replace(pose=broken["pose"] * torch.tensor([[1.0], [1.0], [np.nan], [1.0]]))
    shared = broken.replace(identity=torch.zeros(4, 100))
    followed = model.follow(shared, broken)
    for name in FOLLOWING:
        assert torch.equal(followed[name][:2], broken[name][:2])
        np.testing.assert_array_equal(followed[name][2], broken[name][2])
    assert not torch.equal(followed["pose"][3], broken["pose"][3])


def test_without_refining_the_pose_alone_follows(model, found, monkeypatch):
    monkeypatch.setattr(model, "_refine", False)
    shared = found.replace(identity=torch.zeros(4, 100))
    followed = model.follow(shared, found)
    assert torch.equal(followed["expression"], found["expression"])
    assert (missing(model, followed, found) < missing(model, shared, found)).all()
