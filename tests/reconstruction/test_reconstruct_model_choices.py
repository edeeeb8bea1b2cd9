"""What a model has of its own: options, pictures, layouts, and pictures that are its crop already."""

import json
from pathlib import Path

import numpy as np
import pytest

import facecli
from facecli.codes import load_codes
from facecli.errors import PluginError, UsageError
from facecli.io.images import read_image, write_image
from facecli.io.video import VideoReader
from facecli.plugin import LayoutInfo, Option, Plugin
from facecli.reconstruction.settings import Settings, converted_options, parse_options

FACE = (60.0, 50.0, 20.0, 26.0)


def lines(ran):
    return [json.loads(line) for line in ran.out.splitlines()]


def files_below(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()}


@pytest.fixture
def photo(tiny, tmp_path):
    write_image(tmp_path / "photo.png", tiny.picture([FACE, (120, 40, 12, 15)]))
    return tmp_path / "photo.png"


@pytest.fixture
def clip(tiny, tmp_path):
    """12 frames; in frames 4 and 5 nobody is there."""
    away = (4, 5)
    return tiny.write_clip(tmp_path / "clip.mp4", 12, lambda n: [] if n in away else [(50 + 2 * n, 50, 20, 26)])


# --- options ---------------------------------------------------------------------------------------------------------

PLUGIN = Plugin(
    "own", "", "MIT", "MIT", options={
        "fast": Option("", bool), "steps": Option("", int), "size": Option("", float),
        "mode": Option("", str, ("a", "b")),
    },
)  # fmt: skip


def test_options_are_converted():
    words = parse_options(["fast=Yes", "steps=3", "size=.5", "mode = b"])
    assert converted_options(PLUGIN, words) == {"fast": True, "steps": 3, "size": 0.5, "mode": "b"}
    assert converted_options(PLUGIN, {"fast": False, "size": 2}) == {"fast": False, "size": 2.0}
    assert parse_options(["mode=a=b"]) == {"mode": "a=b"}


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["fast"], "NAME=VALUE"),
        (["=3"], "NAME=VALUE"),
        (["mode=a", "mode=b"], "twice"),
        (["fast=perhaps"], "yes or no"),
        (["steps=2.5"], "a whole number"),
        (["size=big"], "a number"),
        (["mode=c"], "one of a, b"),
        (["stpes=3"], "Did you mean steps? It has: fast, steps, size, mode"),
    ],
)
def test_wrong_options_are_one_line(words, says):
    with pytest.raises(UsageError) as caught:
        converted_options(PLUGIN, parse_options(words))
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_options_reach_the_model_and_decide_what_is_done(run, photo):
    first = run(photo, "--save", "ply", "-O", "depth=flat", "--faces", "largest")
    assert first.code == 0, first.err
    assert "1 done before" in run(photo, "--save", "ply", "--option", "depth=flat", "--faces", "largest").err
    flat, round_ = (
        next(facecli.reconstruct(photo, "tiny", landmarker="blobs", options=options))
        for options in ({"depth": "flat"}, {})
    )
    assert np.ptp(flat.mesh.vertices[:, 2]) == pytest.approx(np.ptp(round_.mesh.vertices[:, 2]) / 2)
    other = run(photo, "--save", "ply", "--faces", "largest")
    assert "done before" not in other.err
    for words, says in ((["-O", "depth=deep"], "one of round, flat"), (["-O", "dept=flat"], "Did you mean depth?")):
        wrong = run(photo, *words)
        assert wrong.code == 2
        assert says in wrong.err
    assert "It has none" in run(photo, "--model", "mediapipe", "-O", "a=b").err


def test_a_models_choices_are_shown(cli, tiny):
    ran = cli("models", "tiny")
    assert ran.code == 0
    for word in ("margin", "round, flat", "outline", "--layout tiny --save", "NAME_tiny.png"):
        assert word in ran.out
    shown = json.loads(cli("models", "tiny", "--json").out)
    assert shown["options"]["depth"]["choices"] == ["round", "flat"]
    assert set(shown["pictures"]) == {"outline", "beside"}
    assert shown["layouts"]["tiny"]["default"] == ["picture"]
    assert cli("models", "tinny").code == 2


# --- pictures --------------------------------------------------------------------------------------------------------


def test_a_models_pictures(run, photo, tmp_path):
    ran = run(photo, "--save", "json,pictures", "--render-orig")
    assert ran.code == 0, ran.err
    first, second = lines(ran)
    assert set(first["pictures"]) == {"outline", "beside", "outline_photo", "beside_photo"}
    assert all(Path(path).exists() for record in (first, second) for path in record["pictures"].values())
    folder = tmp_path / "out/photo"
    assert files_below(folder) == {"run.json", "faces.jsonl"} | {
        f"face{n}/{name}" for n in (0, 1)
        for name in ("face.json", "outline.png", "beside.png", "outline_photo.png", "beside_photo.png")
    }  # fmt: skip
    outline = read_image(folder / "face0/outline_photo.png")
    assert outline.shape == (120, 160, 3)
    ys, xs = np.nonzero(outline.any(2))
    np.testing.assert_allclose([xs.mean(), ys.mean()], FACE[:2], atol=1)
    assert not read_image(folder / "face1/outline_photo.png")[50, 60].any()  # each face's own
    assert read_image(folder / "face0/outline.png").shape == (64, 64, 3)
    assert json.loads((folder / "face0/face.json").read_text())["pictures"]["beside"] == "beside.png"


def test_pictures_are_asked_for_by_name(run, photo, tmp_path):
    assert run(photo, "--save", "outline").code == 0
    assert files_below(tmp_path / "out/photo/face0") == {"outline.png"}
    ran = run(photo, "--save", "all", out="all")
    assert ran.code == 0, ran.err
    assert not (tmp_path / "all/photo/face0/outline.png").exists()
    assert (tmp_path / "all/photo/face0/depth.png").exists()
    wrong = run(photo, "--save", "outlines")
    assert wrong.code == 2
    assert "outline, beside" in wrong.err
    assert "no pictures of its own" in run(photo, "--save", "pictures", "--model", "mediapipe").err
    detail = run(photo, "--save", "detail", out="detail")
    assert detail.code == 2
    assert "no detail" in detail.err
    assert not (tmp_path / "detail/photo").exists()


def test_what_a_model_cannot_draw_is_left_out_unless_named(run, photo, tmp_path, monkeypatch, tiny):
    from tiny_face.model import TinyReconstructor

    honest = TinyReconstructor.draw

    def some(self, names, *rest, **further):
        if "beside" in names:
            raise UsageError("no beside today")
        return honest(self, names, *rest, **further)

    monkeypatch.setattr(TinyReconstructor, "draw", some)
    assert run(photo, "--save", "pictures").code == 0
    assert files_below(tmp_path / "out/photo/face0") == {"outline.png"}
    named = run(photo, "--save", "pictures,beside", out="named")
    assert named.code == 2
    assert named.errors == ["error: no beside today"]


def test_pictures_of_a_video(run, clip, tmp_path):
    ran = run(clip, "--save", "outline,json", "--render_orig")
    assert ran.code == 0, ran.err
    face = tmp_path / "out/clip/face0"
    seen = [n for n in range(12) if n not in (4, 5)]
    for name, size in (("outline", (64, 64)), ("outline_photo", (160, 120))):
        assert sorted(path.name for path in (face / name).iterdir()) == [f"{n:06d}.png" for n in seen]
        with VideoReader(face / f"{name}.mp4") as video, VideoReader(clip) as source:
            assert video.size == size
            frames = list(video)
            np.testing.assert_allclose([f.time for f in frames], [f.time for f in source], atol=1e-3)
        black = [n for n, frame in enumerate(frames) if frame.image.mean() < 3]
        assert black == [4, 5]
    record = lines(ran)[0]
    assert record["pictures"]["outline"].endswith("face0/outline.mp4")
    assert Path(record["pictures"]["outline_photo"]).exists()


def test_a_picture_may_not_have_a_word_of_ours():
    with pytest.raises(PluginError, match="'depth'"):
        Settings().of_model(Plugin("own", "", "MIT", "MIT", pictures={"depth": ""}))


# --- whole pictures --------------------------------------------------------------------------------------------------


def test_whole_pictures_need_no_face(run, tiny, tmp_path):
    write_image(tmp_path / "a.png", tiny.picture([], (64, 64)))
    write_image(tmp_path / "b.png", tiny.picture([FACE, (120, 40, 12, 15)]))
    ran = run(tmp_path / "a.png", tmp_path / "b.png", "--no-crop", "--save", "crop,json")
    assert ran.code == 0, ran.err
    nobody, somebody = lines(ran)
    assert (nobody["box"], nobody["score"]) == ([0, 0, 63, 63], 0)
    assert somebody["box"] == pytest.approx([40, 24, 80, 76], abs=1)  # the larger one's
    seen = read_image(tmp_path / "out/a/face0/crop.png")
    np.testing.assert_allclose(seen, tiny.picture([], (64, 64)), atol=1)
    assert run(tmp_path / "a.png", out="cropped").code == 1
    refused = run(tmp_path / "a.png", "--no-crop", "--model", "mediapipe")
    assert refused.code == 2
    assert "mediapipe can't take a whole picture" in refused.err


def test_whole_frames_are_one_person(run, clip, tmp_path):
    ran = run(clip, "--no-crop", "--save", "codes")
    assert ran.code == 0, ran.err
    assert [(record["face"], record["frame"]) for record in lines(ran)] == [(0, n) for n in range(12)]
    codes = load_codes(tmp_path / "out/clip/face0/codes.npz").codes
    assert np.isfinite(codes["camera"].numpy()).all()


# --- layouts ---------------------------------------------------------------------------------------------------------


def test_a_layout_writes_its_own_files(run, photo, tmp_path):
    ran = run(photo, "--layout", "tiny", "--save", "all", "--report")
    assert ran.code == 0, ran.err
    assert files_below(tmp_path / "out") == {
        "photo_tiny.png", "photo/photo_points.txt", "photo/run.json", "photo/faces.jsonl",
        ".facecli-layout.jsonl", "report.html",
    }  # fmt: skip
    first, second = lines(ran)
    assert (
        first["files"]
        == second["files"]
        == [str(tmp_path / "out" / name) for name in ("photo_tiny.png", "photo/photo_points.txt")]
    )
    assert first["mesh"] is None
    assert read_image(tmp_path / "out/photo_tiny.png").shape == (64, 64, 3)
    assert "1 done before" in run(photo, "--layout", "tiny", "--save", "all").err
    (tmp_path / "out/photo_tiny.png").unlink()  # a part is gone: done again
    assert "done before" not in run(photo, "--layout", "tiny", "--save", "all").err
    larger = run(photo, "--layout", "tiny", "--render-orig")  # other settings; the points aren't asked for
    assert larger.code == 0, larger.err
    assert read_image(tmp_path / "out/photo_tiny.png").shape == (120, 160, 3)
    assert not (tmp_path / "out/photo/photo_points.txt").exists()


def test_a_layouts_words(run, photo):
    for words, says in (
        (["--layout", "deca"], "no layout 'deca'; it has tiny"),
        (["--layout", "tiny", "--save", "obj"], "choose from picture, points, all"),
        (["--layout", "tiny", "--model", "mediapipe"], "it has none"),
    ):
        ran = run(photo, *words)
        assert ran.code == 2
        assert says in ran.err


def test_a_layout_never_replaces_what_is_not_ours(run, photo, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "photo_tiny.png").write_text("mine")
    for words in ([], ["--overwrite"]):
        ran = run(photo, "--layout", "tiny", *words)
        assert ran.code == 1
        (line,) = ran.errors
        assert "photo_tiny.png is there already and is not of facecli's making" in line
        assert (out / "photo_tiny.png").read_text() == "mine"
        assert not list(out.glob("photo"))
        assert not [path for path in out.rglob("*") if path.name.startswith(".facecli-") and path.is_dir()]
    (out / "photo_tiny.png").unlink()
    assert run(photo, "--layout", "tiny").code == 0
    assert run(photo, "--layout", "tiny", "--overwrite").code == 0


def test_a_killed_runs_files_are_known_as_ours(run, photo, tmp_path):
    from facecli.io.journal import LAYOUT_JOURNAL, Journal

    out = tmp_path / "out"
    out.mkdir()
    Journal(out, LAYOUT_JOURNAL).begin(["photo_tiny.png"])
    (out / "photo_tiny.png").write_text("half")
    assert run(photo, "--layout", "tiny").code == 0
    assert read_image(out / "photo_tiny.png").shape == (64, 64, 3)


def test_what_belongs_to_another_result_stays(run, photo, tmp_path):
    from facecli.io.journal import LAYOUT_JOURNAL, Entry, Journal

    out = tmp_path / "out"
    out.mkdir()
    (out / "photo_tiny.png").write_text("another's")
    Journal(out, LAYOUT_JOURNAL).done(Entry(["photo_tiny.png"], {"result": "another"}))
    ran = run(photo, "--layout", "tiny", "--overwrite")
    assert ran.code == 1
    assert f"belongs to {out / 'another'}" in ran.err
    assert (out / "photo_tiny.png").read_text() == "another's"


def test_two_inputs_never_share_a_layouts_file(run, tiny, tmp_path, monkeypatch):
    from tiny_face.layout import TinyLayout

    def careless(self, root, views):
        (root / "all.txt").write_text(views[0].stem)

    monkeypatch.setattr(TinyLayout, "write_photograph", careless)
    for name in ("one", "two"):
        write_image(tmp_path / f"{name}.png", tiny.picture([FACE]))
    ran = run(tmp_path / "one.png", tmp_path / "two.png", "--layout", "tiny")
    assert ran.code == 1
    (line,) = ran.errors
    assert "all.txt was written for another input" in line or "all.txt is there already and belongs to" in line
    (record,) = (record for record in lines(ran) if "files" in record)
    assert (tmp_path / "out/all.txt").read_text() == Path(record["input"]).stem
    assert len(list((tmp_path / "out").glob("*/run.json"))) == 1


def test_layouts_tell_inputs_of_one_name_apart(run, tiny, tmp_path):
    for name, x in (("a/one.png", 40), ("b/one.png", 60), ("a/one.jpg", 80)):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        write_image(tmp_path / name, tiny.picture([(x, 50, 20, 26)]))
    ran = run(
        tmp_path / "a/one.jpg", tmp_path / "a/one.png", tmp_path / "b/one.png", "--layout", "tiny", "--save", "all"
    )
    assert ran.code == 0, ran.err
    names = [[Path(file).name for file in record["files"]] for record in lines(ran)]
    assert names == [[f"{stem}_tiny.png", f"{stem}_points.txt"] for stem in ("one", "one-2", "one-3")]
    tree = run(tmp_path, "-r", "--layout", "tiny", out="tree")
    assert tree.code == 0, tree.err
    assert {name for name in files_below(tmp_path / "tree") if name.endswith("_tiny.png")} == {
        "a/one_tiny.png", "a/one-2_tiny.png", "b/one_tiny.png",
    }  # fmt: skip


def test_a_layouts_files_are_no_inputs(run, photo, tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    (folder / "photo.png").write_bytes(photo.read_bytes())
    assert run(folder, "--layout", "tiny", out="pictures").code == 0
    again = run(folder, "-r", "--layout", "tiny", out="pictures")
    assert "1 input, 2 faces" in again.err and "1 done before" in again.err
    assert "1 input, 2 faces" in run(folder, "-r", "--save", "json", out="elsewhere").err


def test_a_layout_of_a_video(run, clip, tmp_path):
    ran = run(clip, "--layout", "tiny", "--save", "all", "--report")
    assert ran.code == 0, ran.err
    out = tmp_path / "out"
    assert "<video" in (out / "report.html").read_text()
    (out / "report.html").unlink()
    assert {tuple(record["files"]) for record in lines(ran)} == {(str(out / "clip_tiny.mp4"),)}
    points = {f"clip/clip_{n:06d}_points.txt" for n in range(12) if n not in (4, 5)}
    assert files_below(out) == {"clip_tiny.mp4", "clip/run.json", "clip/faces.jsonl", ".facecli-layout.jsonl"} | points
    with VideoReader(out / "clip_tiny.mp4") as video, VideoReader(clip) as source:
        frames = list(video)
        np.testing.assert_allclose([f.time for f in frames], [f.time for f in source], atol=1e-3)
    assert [n for n, frame in enumerate(frames) if frame.image.mean() < 3] == [4, 5]
    assert "1 done before" in run(clip, "--layout", "tiny", "--save", "all").err
    (out / "clip_tiny.mp4").write_text("mine")
    (out / "clip/run.json").unlink()
    (out / ".facecli-layout.jsonl").unlink()
    ran = run(clip, "--layout", "tiny", "--save", "all")
    assert ran.code == 1
    assert (out / "clip_tiny.mp4").read_text() == "mine"


def test_a_layout_may_not_take_the_place_of_the_results(run, tiny, photo, monkeypatch, tmp_path):
    from tiny_face.layout import TinyLayout

    def rude(self, root, views):
        (root / views[0].stem).write_text("a file where the folder of results belongs")

    monkeypatch.setattr(TinyLayout, "write_photograph", rude)
    ran = run(photo, "--layout", "tiny")
    assert ran.code == 1
    assert "rename the input" in ran.err

    def ruder(self, root, views):
        (root / views[0].stem).mkdir()
        (root / views[0].stem / "run.json").write_text("{}")

    monkeypatch.setattr(TinyLayout, "write_photograph", ruder)
    ran = run(photo, "--layout", "tiny")
    assert ran.code == 2
    assert "a file of facecli's own" in ran.err
    assert not files_below(tmp_path / "out") - {".facecli-layout.jsonl"}


def test_the_layouts_words_are_resolved():
    layout = LayoutInfo("nowhere:Nothing", "", saves={"a": "", "b": ""}, default=("b",))
    plugin = Plugin("own", "", "MIT", "MIT", layouts={"own": layout})
    for save, meant in (((), ("b",)), (("all",), ("a", "b")), (("a",), ("a",))):
        chosen = Settings(layout="own", save=save).of_model(plugin)
        assert (chosen.save, chosen.saves(video=False), chosen.pictures) == (meant, (), ())
        assert chosen.of_model(plugin).save == meant
