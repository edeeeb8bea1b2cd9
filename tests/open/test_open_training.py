"""`facecli train open`: a small set through all of it."""

import numpy as np
import pytest
import torch

from facecli.data.ict_head import IctHead
from facecli_open.training.labels import Loss, metrics, mirror, typical
from facecli_open.weights import read_weights

WORDS = (
    "heads=7", "tested=3", "set=easy", "seed=5", "size=160",
    "epochs=3", "second_epochs=2", "batch=4", "local=2", "hidden=8", "second_local=2", "second_hidden=8",
)  # fmt: skip


@pytest.fixture(scope="module")
def heads(ict_file) -> IctHead:
    return IctHead(ict_file)


def test_mirrored_codes_are_of_mirrored_heads(heads):
    rng = np.random.default_rng(0)
    identity, expression = heads.sample_identity(rng), heads.sample_expression(rng)
    turned = mirror(heads)
    own = heads.model.vertices(identity, expression)[0]
    twin = heads.model.vertices(identity @ turned.identity, expression[turned.expression])[0]
    from scipy.spatial import cKDTree

    skin = np.flatnonzero(heads.model.arrays.source_vertex < 11_248)
    mean = heads.model.arrays.mean[skin]
    _, other = cKDTree(mean).query(mean * (-1, 1, 1))
    distance = np.linalg.norm(twin[skin] - own[skin][other] * (-1, 1, 1), axis=1)
    assert distance.max() < 0.5  # mm; the head without its mirror is 7 mm away
    assert distance.mean() < 0.1


def test_the_metric_is_nows_error(heads):
    from facecli.benchmark.scan_to_mesh import scan_to_mesh_error
    from facecli.benchmark.synthetic.heads import now7
    from facecli.data.scan_points import ScanPoints

    loss, scan, zeros = Loss(metrics(heads)), ScanPoints(heads), np.zeros((1, 57), np.float32)
    mean = heads.vertices(np.zeros((1, 100), np.float32), zeros)[0]
    skin = heads.triangles[heads.skin]
    told, true = [], []
    for number in range(3):
        identity = heads.sample_identity(np.random.default_rng(number))[None]
        person = heads.vertices(identity, zeros)[0]
        points7 = now7(heads.landmarks(person[None])[0]), now7(heads.landmarks(mean[None])[0])
        error = scan_to_mesh_error(scan.of(person), points7[0], mean, skin, points7[1], protocol="nonmetrical")
        true.append(np.median(error.distances))
        told.append(typical(torch.from_numpy(identity), loss.face))
    assert np.mean(told) == pytest.approx(np.mean(true), rel=0.25)
    assert np.corrcoef(told, true)[0, 1] > 0.8


def test_a_training_from_the_command_line_again_and_stopped(cli, with_ict, tmp_path, monkeypatch):
    from facecli.cli.voice import Voice
    from facecli.train.settings import read_settings
    from facecli_open.training import fit, run
    from facecli_open.training.settings import Settings

    out = tmp_path / "trained"
    done = cli("train", "open", *WORDS, "-o", str(out), "--workers", "0")
    assert done.code == 0, done.err
    whole = (out / "open.safetensors").read_bytes()
    rows = (out / "curve.csv").read_text().splitlines()
    assert [row.split(",")[0] for row in rows] == ["look", *"11122"]
    assert rows[0].startswith("look,epoch,loss,face_mm,mean_face_mm")
    assert (out / "curve.png").stat().st_size > 1000
    read = read_weights(out / "open.safetensors")
    assert read.facts["command"].startswith("facecli train open heads=7 ")
    assert read.facts["taught"] == "4"

    # The same command finds all of it done.
    again = cli("train", "open", *WORDS, "-o", str(out), "--workers", "0")
    assert again.code == 0
    assert (out / "open.safetensors").read_bytes() == whole

    # A training that is stopped, in either network's second epoch, goes on and ends the same.
    save, saved = fit.Keeper.save, []

    def stop(keeper, *what):
        save(keeper, *what)
        saved.append(what)
        if len(saved) in (2, 9):
            raise KeyboardInterrupt

    cut = tmp_path / "cut"
    cut.mkdir()
    (cut / "examples").symlink_to(out / "examples")
    chosen = read_settings(Settings, WORDS)
    monkeypatch.setattr(fit.Keeper, "save", stop)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            run.train(chosen, cut, Voice(True), 0)
    assert len(saved) == 9
    assert run.train(chosen, cut, Voice(True), 0).read_bytes() == whole


def test_damaged_examples_are_made_again(heads, with_ict, tmp_path):
    from facecli.cli.voice import Voice
    from facecli.data.head_set import HeadSet
    from facecli.data.heads import choose_heads
    from facecli_open.training.examples import NAMES, make_examples
    from facecli_open.training.shards import read_shards

    few = HeadSet(choose_heads("ict"), "easy", 5, 160)
    first = read_shards(make_examples(few, 3, tmp_path / "examples", Voice(True), 0), NAMES)
    (file,) = tmp_path.glob("examples/*/*.npz")
    file.write_bytes(file.read_bytes()[:1000])
    second = read_shards(make_examples(few, 3, tmp_path / "examples", Voice(True), 0), NAMES)
    for name in NAMES:
        assert np.array_equal(first[name], second[name])
        assert np.isfinite(first[name]).all()
    assert first["grey"].shape == (3, 192, 192)

    # A larger set isn't taken for this one.
    more = read_shards(make_examples(few, 5, tmp_path / "examples", Voice(True), 0), NAMES)
    assert more["index"].tolist() == [0, 1, 2, 3, 4]
    assert np.array_equal(more["grey"][:3], first["grey"])


def test_a_set_in_which_nobody_is_found(tmp_path, with_ict, monkeypatch):
    from facecli.cli.voice import Voice
    from facecli.errors import InputError
    from facecli.train.settings import read_settings
    from facecli_open.training import examples, run
    from facecli_open.training.settings import Settings

    monkeypatch.setattr(examples, "found", lambda head: None)
    with pytest.raises(InputError, match="found 0 heads, too few"):
        run.train(read_settings(Settings, WORDS), tmp_path / "out", Voice(True), 0)
