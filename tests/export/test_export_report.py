from __future__ import annotations

import base64
import dataclasses
import json
import re
import tracemalloc
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from surfaces import checks, dome

from facecli.errors import OutputError
from facecli.export.report import ReportEntry, ReportWriter, write_report


class Page(HTMLParser):
    """Elements, and the text that people see, of a page."""

    def __init__(self, text: str):
        super().__init__()
        self.elements: list[tuple[str, dict]] = [("", {})]
        self.words: list[str] = []
        self.data: dict[str, dict] = {}
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_data(self, data):
        tag, attributes = self.elements[-1]
        if tag == "script":
            if attributes.get("type") == "application/json" and data.strip():
                self.data[attributes["id"]] = json.loads(data)
        elif tag != "style" and data.strip():
            self.words.append(data.strip())


def entry(title="foto.jpg", **changes) -> ReportEntry:
    random = np.random.default_rng(0)
    picture = random.integers(0, 255, (90, 160, 3), dtype=np.uint8)
    return ReportEntry(title, picture, picture[::-1], dome(), **changes)


def test_page_needs_nothing_from_elsewhere(tmp_path):
    write_report(tmp_path / "report.html", [entry(facts={"Licence": "Apache-2.0"})])
    text = (tmp_path / "report.html").read_text("utf-8")
    assert not re.search(r"""(src|href)\s*=\s*["']?\s*(https?:)?//""", text)
    assert "@import" not in text and "fetch(" not in text
    page = Page(text)
    assert {"Licence", "Apache-2.0", "foto.jpg", "Photograph", "Overlay", "3D"} <= set(page.words)
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]


def test_names_can_not_become_markup(tmp_path):
    evil = '<script>alert("1")</script>\' onerror="x".jpg'
    made = entry(evil, facts={evil: evil}, files={evil: tmp_path / "a" / f"{evil[:8]} ü#.glb"})
    write_report(tmp_path / "report.html", [made], {evil: f"{evil}: is empty"})
    page = Page((tmp_path / "report.html").read_text("utf-8"))
    assert page.words.count(evil) == 4  # title, fact's name, fact, link
    assert f"{evil}: is empty" in page.words
    scripts = [attributes for tag, attributes in page.elements if tag == "script"]
    assert len(scripts) == 3  # topology, mesh, viewer
    assert not any("onerror" in attributes for _, attributes in page.elements)
    links = [attributes["href"] for tag, attributes in page.elements if tag == "a"]
    assert links == ["./a/%3Cscript%3E%20%C3%BC%23.glb"]


def test_mesh_in_the_page_is_the_mesh(tmp_path):
    mesh = dome()
    write_report(tmp_path / "report.html", [entry()])
    data = Page((tmp_path / "report.html").read_text("utf-8")).data
    packed = data["mesh0"]
    raw = np.frombuffer(base64.b64decode(packed["positions"]["data"]), "<i2").reshape(-1, 3)
    positions = raw * packed["positions"]["scale"]
    used = np.unique(mesh.triangles)
    offset = (mesh.vertices - positions)[used]
    np.testing.assert_allclose(offset, np.broadcast_to(offset[0], offset.shape), atol=0.005)  # millimetres
    assert np.linalg.norm(positions[used], axis=1).max() == pytest.approx(packed["radius"], abs=0.01)

    surface = data[packed["topology"]]
    triangles = np.frombuffer(base64.b64decode(surface["triangles"]["data"]), "<u2").reshape(-1, 3)
    source = np.frombuffer(base64.b64decode(surface["source"]["data"]), "<u2")
    uv = np.frombuffer(base64.b64decode(surface["uv"]["data"]), "<f4").reshape(-1, 2)
    np.testing.assert_array_equal(source[triangles], mesh.triangles)
    np.testing.assert_array_equal(uv[triangles], mesh.uv[mesh.uv_triangles])


def test_what_faces_share_is_in_the_page_once(tmp_path):
    other = dataclasses.replace(entry("dense"), mesh=dome(20, 21))
    write_report(tmp_path / "report.html", [entry("a"), entry("b"), other, entry("c")])
    page = Page((tmp_path / "report.html").read_text("utf-8"))
    shared = [name for name in page.data if name.startswith("topology-")]
    assert len(shared) == 2
    used = [page.data[f"mesh{i}"]["topology"] for i in range(4)]
    assert used[0] == used[1] == used[3] != used[2]


def test_a_full_page_says_what_it_leaves_out(tmp_path):
    with ReportWriter(tmp_path / "report.html", max_bytes=150_000) as report:
        for i in range(30):
            report.add(entry(f"face {i}"))
    assert report.left_out > 0 and report.faces + report.left_out == 30
    text = (tmp_path / "report.html").read_text("utf-8")
    assert len(text) < 150_000 + 30_000  # the viewer comes last
    assert f"{report.left_out} more were left out" in text
    assert text.count("<article>") == report.faces


def test_a_topology_that_did_not_fit_comes_with_the_next_face_of_its_kind(tmp_path):
    large = dataclasses.replace(entry("large"), mesh=dome(60, 61))
    report = ReportWriter(tmp_path / "report.html")
    report.add(entry())
    report.max_bytes = 100_000
    report.add(large)
    report.max_bytes = 10_000_000
    report.add(large)
    report.close()
    assert (report.faces, report.left_out) == (2, 1)
    data = Page((tmp_path / "report.html").read_text("utf-8")).data
    assert data["mesh1"]["topology"] in data


def test_big_pictures_become_small(tmp_path):
    large = np.random.default_rng(0).integers(0, 255, (3000, 4000, 3), dtype=np.uint8)
    mesh = dataclasses.replace(dome(), texture=np.tile(checks(64), (32, 32, 1)))
    write_report(tmp_path / "report.html", [ReportEntry("large", large, large, mesh)])
    assert (tmp_path / "report.html").stat().st_size < 1_000_000


def test_memory_stays_flat(tmp_path):
    with ReportWriter(tmp_path / "report.html") as report:
        report.add(entry())
        tracemalloc.start()
        for i in range(100):
            report.add(entry(f"face {i}"))
            report.add_error(f"bad {i}", "is empty")
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    assert (tmp_path / "report.html").stat().st_size > 1_500_000
    assert peak < 1_000_000


def test_many_errors_are_counted_not_all_listed(tmp_path):
    with ReportWriter(tmp_path / "report.html") as report:
        for i in range(1200):
            report.add_error(f"{i}.jpg", "is empty")
    page = Page((tmp_path / "report.html").read_text("utf-8"))
    assert "and 700 more" in page.words
    assert "0.jpg: is empty" in page.words
    assert any("1200 inputs failed" in word for word in page.words)


def test_nothing_half_written(tmp_path):
    (tmp_path / "report.html").write_text("the old one")
    with pytest.raises(KeyboardInterrupt), ReportWriter(tmp_path / "report.html") as report:
        report.add(entry())
        raise KeyboardInterrupt
    assert (tmp_path / "report.html").read_text() == "the old one"
    assert [p.name for p in tmp_path.iterdir()] == ["report.html"]


def test_an_output_that_is_no_folder_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=re.escape(str(tmp_path / "file" / "report.html"))):
        ReportWriter(tmp_path / "file" / "report.html")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_named(tmp_path):
    report = ReportWriter(tmp_path / "report.html")
    report._file.close()
    with Path("/dev/full").open("wb", buffering=0) as report._file:
        with pytest.raises(OutputError, match="No space left"):
            report.add(entry())
        with pytest.raises(OutputError, match="No space left"):
            report.close()
    assert not list(tmp_path.iterdir())


def test_small_videos_are_in_the_page_and_large_ones_linked(tmp_path):
    small, large = tmp_path / "small.mp4", tmp_path / "videos" / "large.mp4"
    large.parent.mkdir()
    small.write_bytes(b"small")
    large.write_bytes(bytes(5 << 20))
    write_report(tmp_path / "report.html", [entry(video=small), entry(video=large)])
    page = Page((tmp_path / "report.html").read_text("utf-8"))
    sources = [attributes["src"] for tag, attributes in page.elements if tag == "video"]
    assert sources == ["data:video/mp4;base64,c21hbGw=", "./videos/large.mp4"]
