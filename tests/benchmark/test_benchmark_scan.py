"""`facecli benchmark scan` on the golden heads, as files in folders."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from facecli.export.obj import write_obj
from facecli.export.ply import write_ply
from facecli.geometry.mesh import TriangleMesh
from facecli.io.meshes import read_mesh
from standins.now import golden_case

A, B, M = "now_nonmetrical_a", "now_nonmetrical_b", "now_metrical_m"


@pytest.fixture(scope="module")
def golden() -> dict:
    return {name: golden_case(name) for name in (A, B, M)}


@pytest.fixture(scope="module")
def heads(golden, tmp_path_factory) -> Path:
    """`predicted/SUBJECT/img.obj`, `scans/SUBJECT/scan.ply`, landmarks beside both. Not to be changed."""
    root = tmp_path_factory.mktemp("heads")
    for name, subject in ((A, "anna"), (B, "bert")):
        write_head(root, golden[name], subject)
    return root


def write_head(root: Path, case: dict, subject: str, image: str = "img") -> None:
    scan, mesh = root / "scans" / subject, root / "predicted" / subject
    for folder in (scan, mesh):
        folder.mkdir(parents=True, exist_ok=True)
    write_ply(scan / "scan.ply", TriangleMesh(case["scan_v"], case["scan_f"].astype(int)))
    np.save(scan / "scan.npy", case["gt_lmk"])
    write_obj(mesh / f"{image}.obj", TriangleMesh(case["pred_v"], case["pred_f"].astype(int)))
    np.save(mesh / f"{image}.npy", case["pred_lmk"])


@pytest.fixture
def own_heads(heads, tmp_path) -> Path:
    """A copy to be changed."""
    for name in ("predicted", "scans"):
        shutil.copytree(heads / name, tmp_path / name)
    return tmp_path


def folders(root: Path) -> list[object]:
    return ["benchmark", "scan", "-p", root / "predicted", "-s", root / "scans", "--workers", 0]


def lines(ran) -> list[dict]:
    return [json.loads(line) for line in ran.out.splitlines()]


def stats(row: dict) -> list[float]:
    return [row[name] for name in ("median", "mean", "std")]


# --- NoW's numbers ---------------------------------------------------------------------------------------------------


def test_one_pair_gives_the_golden_numbers(cli, heads, golden):
    pair = heads / "predicted/anna/img.obj", heads / "scans/anna/scan.ply"
    ran = cli("benchmark", "scan", *pair, "--json")
    case, method = lines(ran)
    assert ran.code == 0
    assert np.abs(np.array(stats(case)) - golden[A]["stats"]).max() < 1e-5
    assert (case["points"], case["iterations"]) == (5543, 7)
    assert case["scan_landmarks"] == str(heads / "scans/anna/scan.npy")
    assert case["scale"] == pytest.approx(971.438 * 1.03058, rel=1e-5)
    assert (method["method"], method["protocol"], method["images"], method["missing"]) == ("img", "nonmetrical", 1, 0)
    table = cli("benchmark", "scan", *pair)
    assert "0.84     0.92   0.62" in table.out


def test_folders_are_matched_by_subject_and_pooled(cli, heads, golden):
    ran = cli(*folders(heads), "--json", "--name", "mine")
    *cases, method = lines(ran)
    assert [case["case"] for case in cases] == ["anna/img", "bert/img"]
    pooled = np.concatenate([golden[A]["distances"], golden[B]["distances"]]).astype(float)
    expected = [np.median(pooled), pooled.mean(), pooled.std()]
    assert np.abs(np.array(stats(method)) - expected).max() < 5e-5  # OBJ's decimals are not float32's
    means = [golden[name]["distances"].astype(float).mean() for name in (A, B)]
    assert method["mean_of_cases"] == pytest.approx(np.mean(means), abs=1e-5)
    assert method["std_of_cases"] == pytest.approx(np.std(means), abs=1e-5)
    assert method["method"] == "mine"


def test_processes_give_what_one_does(cli, heads):
    one, two = cli(*folders(heads), "--json"), cli(*folders(heads)[:-1], 2, "--json")
    assert (two.code, two.out) == (0, one.out)


def test_rigid_is_nows_metrical_protocol(cli, golden, tmp_path):
    write_head(tmp_path, golden[M], "mia")
    ran = cli(*folders(tmp_path), "--align", "rigid", "--unit", "m", "--json")
    assert np.abs(np.array(stats(lines(ran)[0])) - golden[M]["stats"]).max() < 1e-5
    assert lines(ran)[1]["protocol"] == "metrical"
    wrong = cli(*folders(tmp_path), "--align", "rigid", "--unit", "m", "--refine", "icp-plane", "--scan-unit", "cm")
    assert "times the scan's size: is its unit right?" in wrong.err


def test_units_of_scans_and_sets_of_landmarks_change_nothing(cli, heads, golden, tmp_path):
    case = golden[A]
    write_ply(tmp_path / "scan.ply", TriangleMesh(case["scan_v"] / 1000, case["scan_f"].astype(int)))
    inner = np.zeros((51, 3), np.float32)  # the seven among iBUG's points without the jaw
    inner[[19, 22, 25, 28, 16, 31, 37]] = case["gt_lmk"] / 1000
    np.save(tmp_path / "points.npy", inner)
    ran = cli(
        "benchmark", "scan", heads / "predicted/anna/img.obj", tmp_path / "scan.ply", "--json",
        "--scan-landmarks", tmp_path / "points.npy", "--scan-unit", "m",
    )  # fmt: skip
    assert np.abs(np.array(stats(lines(ran)[0])) - case["stats"]).max() < 1e-4


# --- pairs -----------------------------------------------------------------------------------------------------------


def test_a_list_of_pairs(cli, heads, tmp_path):
    anna, bert = heads / "predicted/anna", heads / "scans/bert"
    (tmp_path / "points.txt").write_text("\n".join(" ".join(map(str, p)) for p in np.load(anna / "img.npy")))
    (tmp_path / "list.csv").write_text(
        "name,predicted,scan,landmarks\n"
        f"one,{anna / 'img.obj'},{heads / 'scans/anna/scan.ply'},points.txt\n"
        f",{heads / 'predicted/bert/img.obj'},{bert / 'scan.ply'},\n"
        f"gone,nothing.obj,{bert / 'scan.ply'},\n"
        f"lost,{anna / 'img.obj'},nowhere.ply,\n"
    )
    ran = cli("benchmark", "scan", "--pairs", tmp_path / "list.csv", "--json", "--workers", 0)
    cases = {row["case"]: row for row in lines(ran) if "case" in row}
    assert ran.code == 1
    assert cases["one"]["landmarks"] == str(tmp_path / "points.txt")
    assert cases["one"]["median"] == pytest.approx(0.83699, abs=1e-4)
    assert cases["gone"]["status"] == "missing"
    assert "1 OF 4 PREDICTIONS ARE MISSING (gone)" in ran.err
    assert ran.errors == [f"error: {anna / 'img.obj'}: {tmp_path / 'nowhere.ply'}: no such file"]
    assert lines(ran)[-1]["method"] == "list"
    (tmp_path / "list.csv").write_text(f"{anna / 'img.obj'},{heads / 'scans/anna/scan.ply'}\n")
    assert cli("benchmark", "scan", "--pairs", tmp_path / "list.csv").code == 0
    (tmp_path / "list.csv").write_text("a.obj\n")
    assert "line 1 names no prediction or no scan" in cli("benchmark", "scan", "--pairs", tmp_path / "list.csv").err


def test_names_decide_what_belongs_together(tmp_path):
    from facecli.benchmark.scan.pairs import match_folders

    def matched(predicted: str, scans: str) -> dict[str, str | None]:
        for folder, names in (("p", predicted), ("s", scans)):
            shutil.rmtree(tmp_path / folder, ignore_errors=True)
            for name in names.split():
                (tmp_path / folder / name).parent.mkdir(parents=True, exist_ok=True)
                (tmp_path / folder / name).touch()
        pairs = match_folders(tmp_path / "p", tmp_path / "s", without=tmp_path / "p/results")
        return {pair.name: pair.problem or (str(pair.scan.relative_to(tmp_path / "s"))) for pair in pairs}

    assert matched("a.obj b.ply", "a.ply b.obj c.ply") == {"a": "a.ply", "b": "b.obj", "c": "c.ply"}
    assert matched("1/10.obj 1/9.obj", "1.ply") == {"1/9": "1.ply", "1/10": "1.ply"}
    assert matched("HQ/tim/x.obj", "tim/scan0.ply anna/x.ply")["HQ/tim/x"] == "tim/scan0.ply"
    assert matched("HQ/x.obj", "tim/x.ply") == {"HQ/x": "tim/x.ply"}
    assert matched("tim.obj", "tim/neutral.ply") == {"tim": "tim/neutral.ply"}
    assert "holds 2 files" in matched("tim/x.obj", "tim/a.ply tim/b.ply")["tim/x"]
    assert matched("tim/a.obj tim/b.obj", "tim/a.ply tim/b.ply") == {"tim/a": "tim/a.ply", "tim/b": "tim/b.ply"}
    assert "nothing named like it" in matched("eva/x.obj", "tim/a.ply")["eva/x"]
    assert matched("a.obj a.ply results/b.obj .c.obj", "a.ply") == {"a": "a.ply"}


def test_stirlings_sets_are_scored_apart_and_lists_count(cli, heads, tmp_path):
    for quality, subject in (("HQ", "anna"), ("HQ", "bert"), ("LQ", "anna")):
        shutil.copytree(heads / "predicted" / subject, tmp_path / "predicted" / quality / subject)
    shutil.copytree(heads / "scans", tmp_path / "scans")
    (tmp_path / "list.txt").write_text("HQ/anna/img.jpg\nHQ/bert/img.jpg\nLQ/anna/img.jpg\nLQ/bert/img.jpg\n")
    ran = cli(
        *folders(tmp_path), "--recipe", "stirling", "--list", tmp_path / "list.txt", "--json", "-o", tmp_path / "o"
    )
    methods = {row["method"]: row for row in lines(ran) if "case" not in row}
    assert ran.code == 0
    assert list(methods) == ["predicted HQ", "predicted LQ"]
    assert [(row["images"], row["missing"]) for row in methods.values()] == [(2, 0), (1, 1)]
    assert methods["predicted LQ"]["median"] == pytest.approx(0.83699, abs=1e-5)
    assert "1 OF 2 PREDICTIONS ARE MISSING (bert/img)" in ran.err
    assert {path.name for path in (tmp_path / "o").iterdir()} >= {"results.json", "results.csv", "curve.svg"}
    (tmp_path / "list.txt").write_text("anna/img.jpg\n")
    ran = cli(*folders(tmp_path), "--recipe", "stirling", "--list", tmp_path / "list.txt")
    assert "line 1 says no set" in ran.err
    one = ["benchmark", "scan", "-p", tmp_path / "predicted/LQ", "-s", tmp_path / "scans", "--recipe", "stirling"]
    assert cli(*one, "--list", tmp_path / "list.txt").code == 0


# --- what is wrong ---------------------------------------------------------------------------------------------------


def test_everything_wrong_is_named_and_the_rest_goes_on(cli, own_heads, golden):
    predicted, scans = own_heads / "predicted", own_heads / "scans"
    case = golden[A]

    def spoilt(name: str, change) -> None:
        for folder in (predicted, scans):
            (folder / name).mkdir()
        write_head(own_heads, case, name)
        change(predicted / name / "img.obj", predicted / name / "img.npy", scans / name / "scan.ply")

    def nan(mesh, points, scan):
        mesh.write_text(mesh.read_text().replace("\nv ", "\nv nan 0 0\nv ", 1))

    spoilt("c_nan", nan)
    spoilt("d_points", lambda mesh, points, scan: mesh.write_text("v 0 0 0\nv 1 0 0\nv 0 1 0\n"))
    spoilt("e_alone", lambda mesh, points, scan: points.unlink())
    spoilt("f_six", lambda mesh, points, scan: np.save(points, case["pred_lmk"][:6]))
    spoilt("g_broken", lambda mesh, points, scan: mesh.write_text("v 0 0 0\nf 1 2 3\n"))
    spoilt("h_scanless", lambda mesh, points, scan: (scan.unlink(), scan.with_suffix(".npy").unlink()))
    spoilt("i_far", lambda mesh, points, scan: np.save(scan.with_suffix(".npy"), case["gt_lmk"] + 1000))
    spoilt("j_mirrored", lambda mesh, points, scan: np.save(points, case["pred_lmk"][[3, 2, 1, 0, 4, 6, 5]]))
    ran = cli(*folders(own_heads), "--json")
    assert ran.code == 1
    assert "Traceback" not in ran.err
    expected = {
        "c_nan": "1 of the mesh's 5024 vertices are not finite",
        "d_points": "the mesh has no triangles",
        "e_alone": "it has no landmarks, which the alignment starts from (put",
        "f_six": "has 6 landmarks and its scan 7",
        "g_broken": "has a triangle of vertices",
        "h_scanless": "holds nothing named like it or its folder",
        "i_far": "only 0 of the scan's 20021 vertices are in the region",
    }
    assert len(ran.errors) == len(expected)
    for name, words in expected.items():
        assert sum(words in line and f"{name}" in line for line in ran.errors) == 1, (words, ran.errors)
    method = lines(ran)[-1]
    assert (method["images"], method["failed"], method["missing"]) == (3, 7, 0)
    assert "j_mirrored/img: mirrored" in ran.err


def test_wrong_usage_is_said(cli, heads, tmp_path):
    pair = ["benchmark", "scan", heads / "predicted/anna/img.obj", heads / "scans/anna/scan.ply"]
    for words, message in (
        (["--recipe", "realy"], "--recipe is one of"),
        (["--crop", "big"], "--crop is now, none, or a radius"),
        (["--crop", "-3"], "more than 0 mm"),
        (["--align", "affine"], "--align is one of similarity, rigid, none"),
        (["--align", "none", "--refine", "now"], "leaves the mesh where it is"),
        (["--trim", "0.1"], "--trim is ICP's"),
        (["--heatmap"], "--heatmap needs -o"),
        (["--list", "x"], "--list is for folders"),
        (["--pairs", "x"], "give PREDICTED and SCAN"),
        (["--scan-unit", "inch"], "--scan-unit is one of"),
    ):
        ran = cli(*pair, *words)
        assert ran.code == 2, words
        assert message in ran.err
    assert cli("benchmark", "scan", pair[2]).code == 2
    assert "no such folder" in cli("benchmark", "scan", "-p", tmp_path / "p", "-s", tmp_path).err
    assert "holds no meshes" in cli("benchmark", "scan", "-p", heads / "predicted", "-s", tmp_path).err
    assert "no such file" in cli("benchmark", "scan", tmp_path / "x.obj", pair[3]).err


# --- other settings --------------------------------------------------------------------------------------------------


def test_micc_measures_to_planes_95_mm_around_the_nose_tip(cli, heads, golden):
    ran = cli(*folders(heads), "--recipe", "micc", "--json")
    case, *_, method = lines(ran)
    scan, seven = golden[A]["scan_v"].astype(float), golden[A]["gt_lmk"].astype(float)
    from facecli.benchmark.scan.landmarks import nose_tip

    tip = nose_tip(golden[A]["gt_lmk"], scan)
    assert 3 < np.linalg.norm(tip - seven[4]) < 40
    assert case["points"] == np.count_nonzero(np.linalg.norm(scan - tip, axis=1) <= 95)
    assert 0.3 < case["mean"] < golden[A]["stats"][1]  # planes are nearer than surfaces, and ICP minimizes to planes
    assert method["protocol"] == "similarity, icp-plane, 95 mm, plane"
    assert any("near the paper's numbers, not equal" in note for note in method["notes"])
    assert f"{method['mean_of_cases']:.2f} ± {method['std_of_cases']:.2f}" in method["notes"][1]
    assert method["mean_of_cases"] == pytest.approx(np.mean([row["mean"] for row in lines(ran)[:2]]))


def test_facewarehouse_is_nows_region_with_icp(cli, heads):
    case, *_, method = lines(cli(*folders(heads), "--recipe", "facewarehouse", "--json"))
    assert case["points"] == 5543
    assert method["protocol"] == "similarity, icp-plane, NoW's crop, plane"


def sheet(size: float, height: float, n: int = 30) -> tuple[np.ndarray, np.ndarray]:
    """A flat square at z = `height`."""
    x, y = (axis.ravel() for axis in np.meshgrid(np.linspace(-size, size, n), np.linspace(-size, size, n)))
    first = (np.arange(n - 1)[:, None] * n + np.arange(n - 1)).ravel()
    quads = np.stack([first, first + 1, first + n + 1, first + n], axis=1)
    return np.stack([x, y, np.full(n * n, height)], axis=1), np.concatenate([quads[:, [0, 1, 2]], quads[:, [0, 2, 3]]])


def test_meshes_that_lie_right_are_measured_as_they_lie(cli, tmp_path):
    write_ply(tmp_path / "scan.ply", TriangleMesh(*sheet(50, 0)))
    write_ply(tmp_path / "mesh.ply", TriangleMesh(*sheet(4, 0.2)))  # centimetres, and smaller
    placed = ["benchmark", "scan", tmp_path / "mesh.ply", tmp_path / "scan.ply", "--align", "none", "--crop", "none"]
    to_mesh, planes, to_scan = (
        lines(cli(*placed, "--unit", "cm", "--json", *words))[0]
        for words in ([], ["--error", "plane"], ["--direction", "mesh-to-scan"])
    )
    assert to_mesh["points"] == to_scan["points"] == 900
    assert to_mesh["mean"] > 2.5  # the rim lies beyond the mesh
    assert to_mesh["median"] == pytest.approx(2, abs=1e-5)
    assert stats(planes) == pytest.approx([2, 2, 0], abs=1e-5)
    assert stats(to_scan) == pytest.approx([2, 2, 0], abs=1e-5)
    assert "no landmarks, which --crop needs" in cli(*placed[:-1], "now").err
    moved = cli(
        *placed[:4],
        "--unit",
        "cm",
        "--start",
        "placed",
        "--refine",
        "icp-point",
        "--align",
        "rigid",
        "--crop",
        "none",
        "--json",
    )
    assert lines(moved)[0]["median"] < 1e-3


def test_scans_of_points_are_measured_from_but_not_to(cli, heads, golden, tmp_path):
    write_ply(tmp_path / "scan.ply", TriangleMesh(golden[A]["scan_v"], np.zeros((0, 3), int)))
    np.save(tmp_path / "scan.npy", golden[A]["gt_lmk"])
    pair = ["benchmark", "scan", heads / "predicted/anna/img.obj", tmp_path / "scan.ply"]
    assert np.abs(np.array(stats(lines(cli(*pair, "--json"))[0])) - golden[A]["stats"]).max() < 1e-5
    ran = cli(*pair, "--direction", "mesh-to-scan")
    assert ran.code == 1
    assert "the scan has no triangles to measure to" in ran.err


def test_landmarks_tell_the_nose_tip_and_what_is_in_common():
    from facecli.benchmark.scan.landmarks import in_common, nose_tip

    ibug = np.random.default_rng(0).normal(size=(68, 3)).astype(np.float32)
    seven = ibug[[36, 39, 42, 45, 33, 48, 54]]
    five = np.stack([ibug[[36, 39]].mean(axis=0), ibug[[42, 45]].mean(axis=0), *ibug[[30, 48, 54]]])
    for scan, mesh, expected in (
        (ibug, ibug[17:], seven),
        (seven, ibug, seven),
        (ibug, five, five),
        (five, five, five),
    ):
        found = in_common(scan, mesh)
        assert all(np.array_equal(side, expected) and side.dtype == np.float32 for side in found)
    odd = np.zeros((12, 3))
    assert in_common(odd, odd)[0] is odd
    for scan, mesh in ((seven, five), (odd, seven)):
        with pytest.raises(ValueError, match="landmarks and its scan"):
            in_common(scan, mesh)
    for points in (ibug, ibug[17:], five):
        assert np.array_equal(nose_tip(points, np.zeros((0, 3))), ibug[30])
    with pytest.raises(ValueError, match="don't tell"):
        nose_tip(odd, np.zeros((1, 3)))


# --- results ---------------------------------------------------------------------------------------------------------


def test_results_heat_maps_and_a_second_run(cli, own_heads, golden):
    out = own_heads / "predicted/results"  # what is in there is no prediction
    first = cli(*folders(own_heads), "-o", out, "--heatmap", "--json")
    assert first.code == 0
    written = json.loads((out / "results.json").read_text())
    assert written["methods"][0]["median"] == pytest.approx(lines(first)[-1]["median"])
    scan, triangles = read_mesh(out / "heatmaps/anna/img_scan.ply")
    mesh, _ = read_mesh(out / "heatmaps/anna/img_mesh.ply")
    assert np.array_equal(scan, golden[A]["scan_v"])
    assert len(triangles) == len(golden[A]["scan_f"])
    # The mesh lies where it was measured, and the colours are those of the distances.
    from facecli.benchmark.closest_point import ClosestPoints

    index, distances = golden[A]["crop_index"], golden[A]["distances"]
    found = ClosestPoints(mesh, golden[A]["pred_f"]).query(scan[index]).distance
    assert np.abs(found - distances).max() < 1e-3
    painted = colours_of(out / "heatmaps/anna/img_scan.ply")
    assert np.array_equal(np.unique(painted[np.setdiff1d(np.arange(len(scan)), index)], axis=0), [[150, 150, 150]])
    order = np.argsort(distances)
    greens = painted[index][order, 1].astype(float)
    assert (np.diff(greens) >= -1).all()  # viridis gets greener throughout
    assert greens[-1] > greens[0] + 50

    before = (out / "heatmaps/anna/img_scan.ply").stat().st_mtime_ns
    second = cli(*folders(own_heads), "-o", out, "--heatmap", "--json")
    assert second.out == first.out
    assert "2 were scored in earlier runs" in second.err
    assert (out / "heatmaps/anna/img_scan.ply").stat().st_mtime_ns == before

    np.save(own_heads / "scans/bert/scan.npy", golden[B]["gt_lmk"] + 5)
    third = cli(*folders(own_heads), "-o", out, "--json")
    assert "1 were scored in earlier runs" in third.err
    assert lines(third)[1]["points"] != lines(first)[1]["points"]
    assert "earlier runs" not in cli(*folders(own_heads), "-o", out, "--overwrite").err
    assert "earlier runs" not in cli(*folders(own_heads), "-o", out, "--recipe", "micc").err


def colours_of(path: Path) -> np.ndarray:
    import trimesh

    return np.asarray(trimesh.load(path, process=False).visual.vertex_colors)[:, :3]
