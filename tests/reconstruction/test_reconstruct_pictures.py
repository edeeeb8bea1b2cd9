"""`facecli reconstruct` on photographs, as a user runs it."""

import json
import os
import shutil

import cv2
import numpy as np
import pytest
import trimesh
from PIL import Image

from facecli.codes import load_codes
from facecli.export.obj import read_obj
from facecli.io.images import read_image, write_image

NOSE = (224, 126)
"""The astronaut's nose tip, looked up by eye."""


def lines(ran):
    return [json.loads(line) for line in ran.out.splitlines()]


def test_sample_photograph_with_everything(cli, astronaut, tmp_path):
    ran = cli("reconstruct", astronaut, "-o", tmp_path / "out", "--save", "all", "--json", "--report")
    assert ran.code == 0, ran.err
    (record,) = lines(ran)
    assert {"input", "frame", "face", "model", "box", "score", "mesh", "overlay", "codes"} <= set(record)
    assert record["input"] == str(astronaut)
    assert (record["frame"], record["face"], record["model"]) == (0, 0, "mediapipe")
    x0, y0, x1, y1 = record["box"]
    assert x0 < NOSE[0] < x1
    assert y0 < NOSE[1] < y1
    folder = tmp_path / "out/astronaut/face0"
    names = {path.name for path in folder.iterdir()}
    assert names == {
        "mesh.obj", "mesh.mtl", "mesh.png", "mesh.glb", "mesh.ply", "codes.npz", "face.json",
        "overlay.png", "depth.png", "normals.png", "crop.png",
    }  # fmt: skip
    for key in ("mesh", "overlay", "codes"):
        assert (tmp_path / record[key]).exists()
    check_meshes(folder)
    check_pictures(folder, read_image(astronaut))
    face = json.loads((folder / "face.json").read_text())
    nose = np.array(face["landmarks"]["ibug68"])[30, :2]
    assert np.linalg.norm(nose - NOSE) < 3
    assert abs(face["head_angles"]["yaw"]) < 10
    assert load_codes(folder / "codes.npz").codes["surface"].shape == (1, 478, 3)
    assert (tmp_path / "out/report.html").stat().st_size > 50_000


def check_meshes(folder):
    obj = read_obj(folder / "mesh.obj")
    assert obj.vertices.shape == (468, 3)
    assert obj.triangles.shape == (898, 3)
    assert obj.texture.shape == (512, 512, 3)  # enough for a face of a hundred pixels
    assert 130 < np.ptp(obj.vertices[:, 1]) < 200  # millimetres, forehead to chin
    ply = trimesh.load(folder / "mesh.ply", process=False)
    np.testing.assert_allclose(ply.vertices, obj.vertices, atol=1e-3)
    (glb,) = trimesh.load(folder / "mesh.glb", process=False).geometry.values()
    np.testing.assert_allclose(np.asarray(glb.vertices)[:468] * 1000, obj.vertices, atol=1e-3)
    assert glb.visual.material.baseColorTexture.size == (512, 512)
    skin = obj.texture[236:256, 150:170].reshape(-1, 3).mean(0)  # a cheek
    assert skin[0] > skin[1] > skin[2]
    assert skin[0] > 120


def check_pictures(folder, photo):
    overlay = read_image(folder / "overlay.png")
    changed = np.abs(overlay.astype(int) - photo).sum(2) > 30
    ys, xs = np.nonzero(changed)
    assert changed[NOSE[1], NOSE[0]]
    assert changed.mean() < 0.05
    assert (xs.min(), ys.min()) > (170, 60)
    assert (xs.max(), ys.max()) < (280, 190)
    depth = cv2.imread(str(folder / "depth.png"), cv2.IMREAD_UNCHANGED)
    assert depth.dtype == np.uint16
    assert depth.shape == photo.shape[:2]
    nearest = np.unravel_index(np.where(depth == 0, 65535, depth).argmin(), depth.shape)
    assert np.hypot(nearest[1] - NOSE[0], nearest[0] - NOSE[1]) < 6  # the nose
    normals = read_image(folder / "normals.png")
    np.testing.assert_array_equal(depth > 0, normals.any(2))
    assert normals[125, 226, 2] > 200  # the face looks at us
    assert read_image(folder / "crop.png").shape == (256, 256, 3)


def test_every_face_largest_first(cli, media, tmp_path):
    ran = cli("reconstruct", media / "two_people.jpg", "-o", tmp_path, "--save", "json,overlay", "--json")
    first, second = lines(ran)
    areas = [(r["box"][2] - r["box"][0]) * (r["box"][3] - r["box"][1]) for r in (first, second)]
    assert [r["face"] for r in (first, second)] == [0, 1]
    assert areas[0] > areas[1]
    assert first["mesh"] is None
    assert (tmp_path / "two_people/overlay.png").exists()  # both faces
    for keep, count in (("largest", 1), ("1", 1), ("5", 2)):
        out = tmp_path / f"keep-{keep}"
        ran = cli("reconstruct", media / "two_people.jpg", "-o", out, "--save", "codes", "--json", "--faces", keep)
        assert len(lines(ran)) == count


@pytest.fixture
def mixed_folder(tmp_path, astronaut):
    """Good and bad pictures, a tree, and names that are not English."""
    folder = tmp_path / "pictures"
    (folder / "below/deeper").mkdir(parents=True)
    photo = Image.open(astronaut).convert("RGB")
    shutil.copy(astronaut, folder / "a.png")
    photo.save(folder / "a.jpg")
    photo.save(folder / "below/deeper/Фото ü.jpg")
    photo.convert("CMYK").save(folder / "cmyk.jpg")
    exif = Image.Exif()
    exif[0x0112] = 6
    photo.rotate(90, expand=True).save(folder / "turned.jpg", exif=exif)
    (folder / "empty.jpg").touch()
    (folder / "words.png").write_text("not a picture")
    (folder / "cut.jpg").write_bytes((folder / "a.jpg").read_bytes()[:9000])
    Image.new("RGB", (80, 80), "gray").save(folder / "nobody.png")
    photo.save(folder / "moving.gif", save_all=True, append_images=[photo.rotate(5), photo.rotate(9)])
    return folder


def test_bad_inputs_get_a_line_each_and_the_others_go_on(cli, mixed_folder, tmp_path):
    out = tmp_path / "out"
    missing = tmp_path / "missing.jpg"
    ran = cli("reconstruct", mixed_folder, missing, "-r", "-o", out, "--save", "json", "--json")
    assert ran.code == 1
    records = lines(ran)
    failed = {record["input"]: record["error"] for record in records if "error" in record}
    bad = ["empty.jpg", "words.png", "cut.jpg", "nobody.png", "moving.gif"]
    assert set(failed) == {str(mixed_folder / name) for name in bad} | {str(missing)}
    assert len(ran.errors) == len(failed)
    for name, error in failed.items():
        assert any(name in line for line in ran.errors)
        assert "\n" not in error
    boxes = [record["box"] for record in records if "box" in record]
    assert len(boxes) == 5
    np.testing.assert_allclose(boxes, [boxes[0]] * 5, atol=3)
    folders = sorted(str(path.parent.relative_to(out)) for path in out.rglob("run.json"))
    assert folders == ["a", "a.png", "below/deeper/Фото ü", "cmyk", "turned"] or folders == [
        "a", "a.jpg", "below/deeper/Фото ü", "cmyk", "turned",
    ]  # fmt: skip
    assert not [path for path in out.rglob("*") if path.name.startswith(".facecli")]


def test_a_second_run_does_only_what_is_left(cli, astronaut, tmp_path):
    shutil.copy(astronaut, tmp_path / "one.png")
    first = cli("reconstruct", tmp_path / "one.png", "-o", tmp_path / "out", "--save", "codes", "--json")
    made = (tmp_path / "out/one/face0/codes.npz").stat().st_mtime_ns
    second = cli("reconstruct", tmp_path / "one.png", astronaut, "-o", tmp_path / "out", "--save", "codes", "--json")
    assert lines(second)[0] == lines(first)[0]
    assert len(lines(second)) == 2
    assert "1 done before" in second.err
    assert (tmp_path / "out/one/face0/codes.npz").stat().st_mtime_ns == made
    other = cli("reconstruct", tmp_path / "one.png", "-o", tmp_path / "out", "--save", "codes,json", "--json")
    assert "done before" not in other.err  # other settings: done again
    assert (tmp_path / "out/one/face0/face.json").exists()
    again = cli("reconstruct", tmp_path / "one.png", "-o", tmp_path / "out", "--save", "codes,json", "--overwrite")
    assert "done before" not in again.err
    Image.open(astronaut).rotate(5).save(tmp_path / "one.png")
    changed = cli("reconstruct", tmp_path / "one.png", "-o", tmp_path / "out", "--save", "codes,json", "--json")
    assert lines(changed)[0]["box"] != lines(first)[0]["box"]


def test_a_list_on_standard_input(cli, astronaut, tmp_path):
    ran = cli("reconstruct", "-", "-o", tmp_path, "--save", "codes", "--json", stdin=f"{astronaut}\n\n/no/such.jpg\n")
    assert ran.code == 1
    assert [("error" in record) for record in lines(ran)] == [False, True]


def test_an_unwritable_output_folder_is_one_line(cli, astronaut, tmp_path):
    (tmp_path / "file").touch()
    ran = cli("reconstruct", astronaut, "-o", tmp_path / "file")
    assert ran.code == 1
    (line,) = ran.errors
    assert "can't be written" in line


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (["--model", "mediapip"], 2, "Did you mean mediapipe?"),
        (["--model", "fan"], 2, "models that do:"),
        (["--landmarker", "nobody"], 2, "unknown landmarker"),
        (["--save", "obj,fbx"], 2, "can't save fbx"),
        (["--faces", "some"], 2, "--faces"),
        (["--faces", "²"], 2, "--faces"),
        (["--confidence", "7"], 2, "--confidence"),
        (["--device", "cuda:99"], 2, "cuda:99"),
        (["--rasterizer", "crayon"], 2, "crayon"),
        (["--nonsense"], 2, "nonsense"),
    ],
)
def test_wrong_words(cli, astronaut, tmp_path, words, code, says):
    ran = cli("reconstruct", astronaut, "-o", tmp_path / "out", *words)
    assert ran.code == code
    assert says in ran.err
    assert not list((tmp_path / "out").rglob("*.npz"))


def test_the_rasterizers_agree(cli, astronaut, tmp_path):
    for backend in ("numba", "torch"):
        ran = cli(
            "reconstruct", astronaut, "-o", tmp_path / backend, "--save", "overlay,obj", "--rasterizer", backend,
            "--texture-size", "256",
        )  # fmt: skip
        assert ran.code == 0, ran.err
    overlays, textures = (
        [read_image(tmp_path / backend / "astronaut/face0" / name).astype(int) for backend in ("numba", "torch")]
        for name in ("overlay.png", "mesh.png")
    )
    assert np.abs(overlays[0] - overlays[1]).max() <= 1  # grey levels
    # Without numba, OpenCV moves pixels about, to 1/32 of a texel.
    assert (np.abs(textures[0] - textures[1]) > 2).mean() < 0.005


def test_what_is_not_ours_is_never_replaced(cli, astronaut, tmp_path):
    theirs = tmp_path / "out/astronaut"
    theirs.mkdir(parents=True)
    (theirs / "diary.txt").write_text("dear")
    (theirs / "run.json").write_text("{}")
    shutil.copy(astronaut, tmp_path / "b.png")
    for words in ([], ["--overwrite"]):
        ran = cli("reconstruct", astronaut, tmp_path / "b.png", "-o", tmp_path / "out", "--save", "codes", *words)
        assert ran.code == 1
        assert len(ran.errors) == 1
        assert "--overwrite" not in ran.err
        assert (theirs / "diary.txt").exists()
        assert (tmp_path / "out/b/face0/codes.npz").exists()  # the others are done


def test_results_of_another_picture_or_model_are_kept(cli, astronaut, tmp_path):
    for folder, degrees in (("one", 0), ("two", 5)):
        (tmp_path / folder).mkdir()
        Image.open(astronaut).rotate(degrees).save(tmp_path / folder / "x.png")
    words = ["-o", tmp_path / "out", "--save", "codes"]
    assert cli("reconstruct", tmp_path / "one/x.png", *words).code == 0
    kept = (tmp_path / "out/x/face0/codes.npz").read_bytes()
    ran = cli("reconstruct", tmp_path / "two/x.png", *words)
    assert ran.code == 1
    assert "holds results of" in ran.err
    assert (tmp_path / "out/x/face0/codes.npz").read_bytes() == kept
    assert cli("reconstruct", tmp_path / "two/x.png", *words, "--overwrite").code == 0
    assert (tmp_path / "out/x/face0/codes.npz").read_bytes() != kept
    shutil.move(tmp_path / "two", tmp_path / "moved")  # keeps size and time: the same picture
    assert "1 done before" in cli("reconstruct", tmp_path / "moved/x.png", *words).err


@pytest.mark.skipif(os.name != "posix", reason="such names are POSIX's")
def test_names_that_are_no_text(cli, astronaut, tmp_path):
    name = os.fsencode(tmp_path) + b"/bad\xff.png"
    shutil.copy(astronaut, name)
    ran = cli("reconstruct", os.fsdecode(name), "-o", tmp_path / "out", "--save", "json", "--json")
    assert ran.code == 0, ran.err
    (record,) = lines(ran)
    assert os.fsencode(record["input"]) == name
    assert "1 done before" in cli("reconstruct", os.fsdecode(name), "-o", tmp_path / "out", "--save", "json").err


def test_two_runs_at_once_do_not_disturb_each_other(tiny, tmp_path):
    for number in range(12):
        write_image(tmp_path / f"{number}.png", tiny.picture([(60, 50, 20, 26)]))
    words = ["reconstruct", tmp_path / "*.png", "-o", tmp_path / "out", "--save", "codes,glb", "-q"]
    runs = [tiny.start(*words, "--model", "tiny", "--landmarker", "blobs") for _ in range(2)]
    for run in runs:
        _, words_said = run.communicate(timeout=120)
        assert (run.returncode, words_said) == (0, "")
    assert len(list((tmp_path / "out").glob("*/face0/mesh.glb"))) == 12
    assert not list((tmp_path / "out").glob(".facecli*"))


def test_own_results_are_no_inputs(cli, astronaut, tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    shutil.copy(astronaut, folder / "a.png")
    for output in (folder / "out", folder):
        for _ in range(2):
            ran = cli("reconstruct", folder, "-r", "-o", output, "--save", "overlay,obj")
            assert ran.code == 0, ran.err
            assert ran.err.splitlines()[-1].startswith("1 input, 1 face")
