"""`facecli benchmark now` on a folder in the official formats: the official numbers, and all that can be wrong."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

from standins.now import Subject, golden_case, write_now, write_prediction

GOLDEN = Path(__file__).parents[1] / "golden/benchmarks"
SUMMARY = json.loads((GOLDEN / "now_summary.json").read_text())
CASES = {
    "A": ("now_nonmetrical_a", "multiview_neutral/IMG_0001"),
    "B": ("now_nonmetrical_b", "selfie/IMG_0002"),
    "M": ("now_metrical_m", "multiview_expressions/IMG_0003"),
}


def name_of(subject: str) -> str:
    return f"{subject}/{CASES[subject][1]}"


@pytest.fixture(scope="session")
def golden() -> dict[str, dict[str, np.ndarray]]:
    """Subject -> the arrays of its golden case."""
    return {subject: golden_case(file) for subject, (file, _) in CASES.items()}


@pytest.fixture(scope="session")
def now(golden, tmp_path_factory) -> Path:
    """The data set, with predictions/ and further lists beside it; nobody changes it."""
    root = tmp_path_factory.mktemp("now")
    subjects = {
        subject: Subject(case["scan_v"], case["scan_f"], case["gt_lmk"], {f"{CASES[subject][1]}.jpg": None})
        for subject, case in golden.items()
    }
    data = write_now(root / "NoW", subjects)
    kinds = {"A": (".obj", ".npy"), "B": (".ply", ".npy"), "M": (".obj", ".npy")}
    for subject, case in golden.items():
        mesh, points = kinds[subject]
        arrays = case["pred_v"], case["pred_f"], case["pred_lmk"]
        write_prediction(root / "predictions", name_of(subject), *arrays, mesh=mesh, points=points)
    (root / "ab.txt").write_text(f"{name_of('A')}.jpg\r\n\r\n/somewhere/{name_of('B')}.jpg\r\n")
    (root / "m.txt").write_text(f"{name_of('M')}.jpg\n")
    assert (data / "imagepathsvalidation.txt").read_text().count("\n") == 3
    return root


@pytest.fixture
def evaluate(cli, now, tmp_path):
    """Runs the command on the data set, or on a changed copy; with its JSON lines."""

    def run(*arguments: object, data: Path = now / "NoW", out: Path = tmp_path / "out"):
        ran = cli("benchmark", "now", "--data", data, "-o", out, "--json", *arguments)
        return ran, [json.loads(line) for line in ran.out.splitlines()]

    return run


@pytest.fixture
def copied(now, tmp_path) -> Path:
    """A data set and predictions to be broken."""
    import shutil

    return shutil.copytree(now, tmp_path / "copied")


def load_distances(out: Path, method: str) -> dict[str, np.ndarray]:
    """What a run has written: case -> distances."""
    (path,) = out.rglob(f"{method}_distances.npz")
    with np.load(path, allow_pickle=False) as archive:
        parts = np.split(archive["distances"], archive["offsets"][1:-1])
        return dict(zip(archive["names"].tolist(), parts, strict=True))


# --- the numbers -----------------------------------------------------------------------------------------------------


def test_the_official_numbers(evaluate, now, golden, tmp_path):
    """Two runs, one a protocol: each case as the official program has it, and the pooled statistics of all three."""
    ran, (row,) = evaluate("--predictions", now / "predictions", "--imgs-list", now / "ab.txt")
    assert ran.code == 0, ran.err
    assert {key: row[key] for key in ("method", "protocol", "set", "images", "missing", "failed", "warnings")} == {
        "method": "predictions", "protocol": "nonmetrical", "set": "val", "images": 2, "missing": 0, "failed": 0,
        "warnings": 0,
    }  # fmt: skip
    arguments = ["--protocol", "metrical", "--imgs-list", now / "m.txt"]
    ran, (metrical,) = evaluate("--predictions", now / "predictions", *arguments, out=tmp_path / "metrical")
    assert ran.code == 0 and metrical["protocol"] == "metrical", ran.err

    found = load_distances(tmp_path / "out", "predictions") | load_distances(tmp_path / "metrical", "predictions")
    assert list(found) == [name_of(subject) for subject in "ABM"]
    for subject, case in golden.items():
        distances = found[name_of(subject)]
        np.testing.assert_allclose(distances, case["distances"], atol=5e-4)
        np.testing.assert_allclose([np.median(distances), distances.mean(), distances.std()], case["stats"], atol=5e-5)
    assert [metrical[word] for word in ("median", "mean", "std")] == pytest.approx(golden["M"]["stats"], abs=5e-5)
    pooled, all_of_them = SUMMARY["pooled_all"], np.concatenate(list(found.values()))
    assert np.median(all_of_them) == pytest.approx(pooled["median"], abs=5e-5)
    assert all_of_them.std() == pytest.approx(pooled["std"], abs=5e-5)
    two = np.concatenate([golden[subject]["distances"] for subject in "AB"]).astype(float)
    assert [row["median"], row["mean"], row["std"]] == pytest.approx([np.median(two), two.mean(), two.std()], abs=5e-5)


@pytest.mark.parametrize("unit", ["cm", "mm"])
def test_metrical_in_other_units(evaluate, now, golden, tmp_path, unit):
    case, factor = golden["M"], {"cm": 100, "mm": 1000}[unit]
    scaled = case["pred_v"] * np.float32(factor), case["pred_f"], case["pred_lmk"] * np.float32(factor)
    write_prediction(tmp_path / unit, name_of("M"), *scaled, mesh=".ply", points=".txt")
    ran, (row,) = evaluate(
        "--predictions", tmp_path / unit, "--predicted_mesh_unit", unit, "--metrical_evaluation", "True",
        "--challenge", "multiview_expressions",
    )  # fmt: skip
    expected = SUMMARY[f"now_metrical_{unit}"]
    assert ran.code == 0 and row["challenge"] == "multiview_expressions" and row["protocol"] == "metrical"
    assert [row[word] for word in ("median", "mean", "std")] == pytest.approx(
        [expected[word] for word in ("median", "mean", "std")], abs=5e-5
    )


def test_a_wrong_size_is_odd(evaluate, now, golden, tmp_path):
    """Metrically, a head of 1.4 times the size is scored, and told of."""
    case, factor = golden["M"], np.float32(1.4)
    write_prediction(
        tmp_path / "large", name_of("M"), case["pred_v"] * factor, case["pred_f"], case["pred_lmk"] * factor
    )
    ran, (row,) = evaluate("--predictions", tmp_path / "large", "--imgs-list", now / "m.txt", "--protocol", "metrical")
    assert ran.code == 0 and row["warnings"] == 1
    assert "its unit right?" in ran.err and name_of("M") in ran.err


def test_processes_give_the_same(cli, now, tmp_path, evaluate):
    """Two worker processes, and the official program's flags."""
    done = cli(
        "benchmark", "now", "--dataset_folder", now / "NoW",
        "--predicted_mesh_folder", now / "predictions", "--imgs_list", now / "ab.txt",
        "--error_out_path", tmp_path / "out", "--method_identifier", "RECON", "--nproc", "2", "--json",
    )  # fmt: skip
    assert done.code == 0, done.err
    row = json.loads(done.out)
    assert row["method"] == "RECON" and row["images"] == 2
    _, (other,) = evaluate(
        "--predictions", now / "predictions", "--imgs-list", now / "ab.txt", "--workers", 0, out=tmp_path / "serial"
    )
    parallel, serial = load_distances(tmp_path / "out", "RECON"), load_distances(tmp_path / "serial", "predictions")
    for name, distances in serial.items():
        np.testing.assert_array_equal(parallel[name], distances)
    assert row["median"] == other["median"]


# --- what can be wrong -----------------------------------------------------------------------------------------------


def test_everything_that_is_wrong_is_named_and_the_rest_evaluated(evaluate, copied, golden):
    """Six subjects: a sound one, a missing mesh, broken landmarks, mirrored ones, a NaN, a scan without faces."""
    case, data, predictions = golden["A"], copied / "NoW", copied / "predictions"
    arrays = {name: (case["pred_v"].copy(), case["pred_f"], case["pred_lmk"].copy()) for name in "CDEFGH"}
    subjects = {
        name: Subject(case["scan_v"], case["scan_f"] if name != "G" else np.empty((0, 3)), case["gt_lmk"],
                      {"selfie/i.jpg": None})
        for name in "CDEFGH"
    }  # fmt: skip
    write_now(data, subjects)
    swap = [3, 2, 1, 0, 4, 6, 5]
    arrays["E"] = (*arrays["E"][:2], case["pred_lmk"][swap])
    arrays["F"][0][17, 1] = np.nan
    for name, mesh in arrays.items():
        write_prediction(predictions, f"{name}/selfie/i", *mesh)
    (predictions / "C/selfie/i.obj").unlink()
    (predictions / "D/selfie/i.npy").write_bytes((predictions / "D/selfie/i.npy").read_bytes()[:-9])
    (data / "scans_lmks_onlypp/H/H.000001_picked_points.pp").write_text("<PickedPoints>")

    ran, (row,) = evaluate("--predictions", predictions, data=data)
    assert ran.code == 1
    assert (row["images"], row["missing"], row["failed"]) == (1, 1, 4)
    assert row["median"] == pytest.approx(golden["A"]["stats"][0], abs=5e-5)  # of G: a scan needs no faces
    errors = "\n".join(ran.errors)
    assert len(ran.errors) == 4
    assert "D/selfie/i.npy" in errors and "is cut" in errors
    assert "E/selfie/i.npy: its landmarks are mirrored" in errors
    assert "F/selfie/i.obj: 1 of 5023 vertices are not finite numbers, the first is 17" in errors
    assert "H.000001_picked_points.pp" in errors and "1 image of H" in errors
    # A case of a scan without faces can be looked at, too: it has points only.
    looked, _ = evaluate("--predictions", predictions, "--check", "G/selfie/i", data=data)
    assert looked.code == 0, looked.err
    (cropped,) = copied.parent.rglob("cropped_scan.obj")
    assert sum(line.startswith("v ") for line in cropped.read_text().splitlines()) == len(case["crop_index"])

    warnings = [line for line in ran.err.splitlines() if line.startswith("warning: ")]
    assert any("G.000001.obj: has no triangles" in line for line in warnings)
    assert any("1 OF 6 PREDICTIONS ARE MISSING (C/selfie/i)" in line for line in warnings)
    assert any("4 OF 6 IMAGES CAN'T BE SCORED" in line for line in warnings)


def test_hundreds_of_problems_are_counted(evaluate, copied, monkeypatch):
    """20 are named; the written report has all."""
    lines = [f"A/selfie/n{number:02}.jpg" for number in range(30)]
    (copied / "many.txt").write_text("\n".join(lines))
    for line in lines:
        mesh = (copied / "predictions" / line).with_suffix(".obj")
        mesh.parent.mkdir(exist_ok=True)
        mesh.write_text("v 0 0 0\n")
    ran, (row,) = evaluate("--predictions", copied / "predictions", "--imgs-list", copied / "many.txt")
    assert ran.code == 1 and row["failed"] == 30 and row["median"] is None
    assert len([line for line in ran.errors if "selfie/n" in line]) == 20
    assert any("and 40 more problems" in line for line in ran.errors)  # no triangles, no landmarks: two of each
    (problems,) = copied.parent.rglob("problems.txt")
    assert sum("A/selfie/n29: " in line for line in problems.read_text().splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--data", "nowhere", "--predictions", "NoW"], 3, "no such folder; --data is the one with the NoW data set"),
        (["--data", "NoW", "--predictions", "nowhere"], 2, "no such folder"),
        (["--data", "NoW"], 2, "give --model NAME or --predictions FOLDER"),
        (["--data", "NoW", "--predictions", "NoW", "--set", "train"], 2, "--set is val or test"),
        (["--data", "NoW", "--predictions", "NoW", "--set", "test"], 3, "imagepathstest.txt: no such file"),
        (["--data", "NoW", "--predictions", "NoW", "--protocol", "euclid"], 2, "nonmetrical or metrical"),
        (["--data", "NoW", "--predictions", "NoW", "--challenge", "sun"], 2, "--challenge is one of multiview_neutral"),
        (["--data", "NoW", "--predictions", "NoW", "--pack", "a.zip"], 2, "--pack is for the test set"),
        (["--data", "NoW", "--predictions", "NoW", "--unit", "inch"], 2, "--unit is mm, cm, m"),
        (["--data", "NoW", "--predictions", "NoW", "--predictions", "./NoW"], 2, "two methods are called NoW"),
        (["--data", "NoW", "--predictions", "../x=NoW"], 2, "can't be a method's name"),
        (["--data", "NoW", "--predictions", "NoW", "--scans", "elsewhere"], 3, "elsewhere (the scans)"),
        (["--data", "NoW", "--predictions", "NoW", "--check", "A/selfie/x"], 2, "doesn't list it"),
        (["--data", "NoW", "--predictions", "NoW", "--curve", "x"], 2, "--curve is NAME=FILE"),
        (["--data", "NoW", "--model", "sculptor"], 2, "sculptor"),
        (["--data", "NoW", "--predictions", "NoW", "--option", "a=b"], 2, "--option needs --model"),
    ],
)
def test_wrong_words_are_one_line(cli, now, monkeypatch, arguments, code, words):
    monkeypatch.chdir(now)
    ran = cli("benchmark", "now", *arguments)
    assert ran.code == code
    assert len(ran.errors) == 1 and words in ran.err


def test_a_folder_without_any_prediction(evaluate, now):
    ran, (row,) = evaluate("--predictions", now / "NoW", "--imgs-list", now / "ab.txt")
    assert ran.code == 1 and row["missing"] == 2 and row["median"] is None
    assert f"they are called {name_of('A')}.obj (or .ply) and .npy (or .txt)" in ran.err


@pytest.mark.parametrize(
    ("line", "words"),
    [("selfie/a.jpg", "names no image"), ("a/../b.jpg", "names no image"), ("", "lists no image")],
)
def test_a_list_that_is_none(evaluate, now, tmp_path, line, words):
    (tmp_path / "list.txt").write_text(f"{line}\n")
    ran, _ = evaluate("--predictions", now / "predictions", "--imgs-list", tmp_path / "list.txt")
    assert ran.code == 1 and words in ran.err


# --- going on after an interruption ----------------------------------------------------------------------------------


class Counted:
    """Stands before `score`, in this process: what is evaluated, and a Ctrl-C at a place of it."""

    def __init__(self, genuine):
        self.genuine, self.names, self.interrupt_at = genuine, [], 0

    def __call__(self, task):
        self.names.append(task.case.name)
        if len(self.names) == self.interrupt_at:
            raise KeyboardInterrupt
        return self.genuine(task)

    def taken(self) -> list[str]:
        taken, self.names, self.interrupt_at = self.names, [], 0
        return taken


@pytest.fixture
def scored(monkeypatch) -> Counted:
    from facecli.benchmark.now import evaluate

    counted = Counted(evaluate.score)
    monkeypatch.setattr(evaluate, "score", counted)
    return counted


def test_an_interrupted_run_goes_on(evaluate, copied, scored, tmp_path, monkeypatch):
    from facecli.benchmark.now import results

    monkeypatch.setattr(results, "write_report", lambda *_, **__: [])  # drawn elsewhere
    words = ["--predictions", copied / "predictions", "--imgs-list", copied / "ab.txt", "--workers", 0]
    scored.interrupt_at = 2
    ran, _ = evaluate(*words)
    assert ran.code == 130 and not list((tmp_path / "out").rglob("*_distances.npz"))
    assert scored.taken() == [name_of("A"), name_of("B")]

    ran, (row,) = evaluate(*words)
    assert scored.taken() == [name_of("B")] and row["images"] == 2 and "1 more in earlier runs" in ran.err
    _, (again,) = evaluate(*words)
    assert scored.taken() == [] and again == row

    # A file that changes is evaluated again, and only what it belongs to; so is what was cut on the disk.
    landmarks = copied / "predictions" / f"{name_of('A')}.npy"
    np.save(landmarks, np.load(landmarks) + np.float32(1e-4))
    evaluate(*words)
    assert scored.taken() == [name_of("A")]
    (stored,) = (tmp_path / "out/.cases").rglob(f"{Path(name_of('B')).name}.npz")
    stored.write_bytes(stored.read_bytes()[:5000])
    evaluate(*words)
    assert scored.taken() == [name_of("B")]
    evaluate(*words, "--overwrite")
    assert len(scored.taken()) == 2


# --- files -----------------------------------------------------------------------------------------------------------


def test_official_files_and_curves(evaluate, now, golden, tmp_path):
    """What --official-npy writes reads back, as a curve, too."""
    words = ["--predictions", now / "predictions", "--imgs-list", now / "ab.txt"]
    ran, (row,) = evaluate(*words, "--official-npy")
    assert ran.code == 0, ran.err
    (path,) = (tmp_path / "out").rglob("predictions_computed_distances.npy")
    assert b"numpy._core" not in path.read_bytes()  # numpy 1 doesn't know that
    content = np.load(path, allow_pickle=True).item()
    assert set(content) == {"computed_distances", "num_missing_files", "input_files"}
    assert content["num_missing_files"] == 0 and content["input_files"] == [name_of("A"), name_of("B")]
    for shuffled, subject in zip(content["computed_distances"], "AB", strict=True):
        expected = golden[subject]["distances"]
        assert not np.allclose(shuffled, expected, atol=5e-4)
        np.testing.assert_allclose(np.sort(shuffled), np.sort(expected), atol=5e-4)
    means = path.with_name(f"{path.name}.meanmedian").read_text().split()
    assert [float(word) for word in means] == [row["median"], row["mean"]]

    before = path.read_bytes()
    ran, _ = evaluate(*words, "--official-npy", "--curve", f"theirs={path}")
    assert ran.code == 0 and path.read_bytes() == before
    assert any("theirs" in svg.read_text() for svg in (tmp_path / "out").rglob("*.svg"))


def test_published_results_stand_beside_equals_alone(cli, now, golden, tmp_path):
    """The table of the validation set has those of the validation set; that of a part of it has none."""
    case = golden["A"]
    write_prediction(tmp_path / "mine", name_of("A"), case["pred_v"], case["pred_f"], case["pred_lmk"], mesh=".ply")
    words = ["--data", now / "NoW", "-o", tmp_path / "out", "-p", tmp_path / "mine", "--published", "all,mica"]
    ran = cli("benchmark", "now", *words)
    assert ran.code == 0 and "DAD-3DHeads" in ran.out and "published" in ran.out
    assert "MICA" not in ran.out and "in the curve only" in ran.err
    assert "MICA" in (tmp_path / "out/val-nonmetrical/curve.svg").read_text()
    ran = cli("benchmark", "now", *words, "--challenge", "multiview_neutral")
    assert ran.code == 0 and "DAD-3DHeads" not in ran.out and "mine" in ran.out
    ran = cli("benchmark", "now", *words[:-1], "sculptor")
    assert ran.code == 2 and "sculptor" in ran.err


def test_a_curve_that_is_code_is_refused(evaluate, now, tmp_path):
    import pickle

    class Harmful:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "harm"),)

    array = np.empty((), object)
    array[()] = {"computed_distances": Harmful()}
    with (tmp_path / "bad.npy").open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "|O", "fortran_order": False, "shape": ()})
        pickle.dump(array, file)
    ran, _ = evaluate("--predictions", now / "predictions", "--curve", f"bad={tmp_path / 'bad.npy'}")
    assert ran.code == 1 and "is refused" in ran.err and not (tmp_path / "harm").exists()


def test_check_exports_one_case(cli, now, golden, tmp_path):
    """The mesh as it was aligned, the part of the scan that counts, and colours; in the scan's coordinates."""
    from facecli.benchmark.closest_point import ClosestPoints
    from facecli.io.meshes import read_mesh

    words = ["--data", now / "NoW", "-o", tmp_path / "out", "--check", f"{name_of('A')}.jpg"]
    ran = cli("benchmark", "now", *words, "-p", now / "predictions", "-p", f"twin={now / 'predictions'}")
    assert ran.code == 0, ran.err
    assert "predictions: A/multiview_neutral/IMG_0001: median 0.84 mm, mean 0.92 mm, rms 1.11 mm" in ran.err
    folders = [tmp_path / "out/check" / method / name_of("A").replace("/", "_") for method in ("predictions", "twin")]
    names = ["cropped_scan.obj", "predicted_mesh_aligned.obj", "scan_error.ply"]
    assert [sorted(path.name for path in folder.iterdir()) for folder in folders] == [names, names]
    case = golden["A"]
    cropped, faces = read_mesh(folders[0] / "cropped_scan.obj")
    np.testing.assert_allclose(cropped, case["scan_v"][case["crop_index"]], atol=1e-4)
    assert len(faces) > 5000
    aligned, triangles = read_mesh(folders[0] / "predicted_mesh_aligned.obj")
    assert len(aligned) == len(case["pred_v"]) and (triangles == case["pred_f"]).all()
    distance = ClosestPoints(aligned, triangles).query(cropped).distance
    np.testing.assert_allclose(distance, case["distances"], atol=1e-3)
    coloured, _ = read_mesh(folders[1] / "scan_error.ply")
    assert len(coloured) == len(cropped) and b"property uchar red" in (folders[1] / "scan_error.ply").read_bytes()


def test_pack_for_the_test_set(evaluate, now, golden, tmp_path):
    """No scans here: predictions are checked against a typical face, and packed if all are there."""
    import zipfile

    case = golden["A"]
    lines = {"selfie/a.jpg": None, "multiview_neutral/b.jpg": None}
    data = write_now(tmp_path / "Test", {"T1": Subject(None, None, None, lines)}, image_set="test")
    for name, mesh in (("T1/selfie/a", ".obj"), ("T1/multiview_neutral/b", ".ply")):
        write_prediction(tmp_path / "mine", name, case["pred_v"], case["pred_f"], case["pred_lmk"], mesh=mesh)
    words = ["--set", "test", "--predictions", tmp_path / "mine", "--pack", tmp_path / "mine.zip"]
    ran, (row,) = evaluate(*words, data=data)
    assert ran.code == 0, ran.err
    assert (row["images"], row["missing"], row["failed"], row["median"]) == (0, 0, 0, None)
    assert "ringnet@tue.mpg.de" in ran.err
    with zipfile.ZipFile(tmp_path / "mine.zip") as archive:
        assert sorted(archive.namelist()) == [
            "mine/T1/multiview_neutral/b.npy", "mine/T1/multiview_neutral/b.ply",
            "mine/T1/selfie/a.npy", "mine/T1/selfie/a.obj",
        ]  # fmt: skip
        assert archive.read("mine/T1/selfie/a.obj") == (tmp_path / "mine/T1/selfie/a.obj").read_bytes()

    (tmp_path / "mine.zip").unlink()
    np.save(tmp_path / "mine/T1/selfie/a.npy", case["pred_lmk"] * np.float32([-1, 1, 1]))
    (tmp_path / "mine/T1/multiview_neutral/b.ply").unlink()
    ran, (row,) = evaluate(*words, data=data)
    assert ran.code == 1 and (row["missing"], row["failed"]) == (1, 1)
    assert "mirrored" in ran.err and "not written, since 2 of 2 predictions are missing or broken" in ran.err
    assert not (tmp_path / "mine.zip").exists()
