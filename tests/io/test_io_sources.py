"""What users name becomes files, each once, in natural order, with outputs that keep the tree and never meet."""

from __future__ import annotations

import io
import os
import threading
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from facecli.errors import InputError
from facecli.io.atomic import temporary_name
from facecli.io.sources import OutputNames, Source, expand_sources, natural_key

PNG = b"\x89PNG\r\n\x1a\n rest"


@pytest.fixture
def tree(tmp_path, monkeypatch) -> Path:
    """A folder of pictures, some below it, and what should not be taken; the test runs beside it."""
    for name in (
        "photos/10.jpg", "photos/2.jpg", "photos/1.PNG", "photos/clip.mp4", "photos/notes.txt", "photos/codes.npz",
        "photos/.hidden.jpg", "photos/b/3.jpg", "photos/a/deep/4.jpg", "photos/.git/5.jpg", "empty/readme.md",
        "bracket[1].jpg", "plain", "film.weird", "page.html",
    ):  # fmt: skip
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(PNG)
    (tmp_path / "film.weird").write_bytes(b"\x1aE\xdf\xa3 matroska")
    temporary_name(tmp_path / "photos" / "half.png").write_bytes(PNG)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def names(*inputs: str, **options) -> list[str]:
    """Names of the sources; an error is shown as its text after an exclamation mark."""
    items = expand_sources(list(inputs), **options)
    return [item.name if isinstance(item, Source) else f"!{item}" for item in items]


def test_a_folder_alone_and_with_what_is_below(tree):
    top = ["photos/1.PNG", "photos/2.jpg", "photos/10.jpg", "photos/clip.mp4"]
    assert names("photos") == top
    assert names("photos/") == top
    assert names("photos", recursive=True) == [*top, "photos/a/deep/4.jpg", "photos/b/3.jpg"]


def test_relative_keeps_the_tree(tree):
    sources = list(expand_sources([str(tree / "photos"), "photos/b/3.jpg", "bracket[1].jpg"], recursive=True))
    assert [s.relative.as_posix() for s in sources] == [
        "1.PNG", "2.jpg", "10.jpg", "clip.mp4", "a/deep/4.jpg", "b/3.jpg", "bracket[1].jpg"
    ]  # fmt: skip
    assert all(s.path.exists() for s in sources)


def test_kinds_by_suffix_and_by_content(tree):
    kinds = {s.name: s.kind for s in expand_sources(["photos", "plain", "film.weird", "page.html", "photos/codes.npz"])}
    assert kinds == {
        "photos/1.PNG": "image", "photos/2.jpg": "image", "photos/10.jpg": "image", "photos/clip.mp4": "video",
        "plain": "image", "film.weird": "video", "page.html": "image", "photos/codes.npz": "codes",
    }  # fmt: skip


@pytest.mark.parametrize("pattern, expected", [
    ("photos/*.jpg", ["photos/2.jpg", "photos/10.jpg"]),
    ("photos/?.*", ["photos/1.PNG", "photos/2.jpg"]),
    ("photos/[!1]*.jpg", ["photos/2.jpg"]),
    ("photos/**/*.jpg", ["photos/2.jpg", "photos/10.jpg", "photos/a/deep/4.jpg", "photos/b/3.jpg"]),
    ("**/4.jpg", ["photos/a/deep/4.jpg"]),
    ("photos/**", ["photos/1.PNG", "photos/2.jpg", "photos/10.jpg", "photos/clip.mp4", "photos/codes.npz",
                   "photos/a/deep/4.jpg", "photos/b/3.jpg"]),
    ("ph*/b/*", ["photos/b/3.jpg"]),
    ("photos/?", ["!photos/a: is a folder without pictures or videos (--recursive looks into its folders)",
                  "photos/b/3.jpg"]),
    ("*.weird", ["film.weird"]),
    ("pl*", ["!pl*: no picture or video has such a name"]),
    ("nothing/*.jpg", ["!nothing/*.jpg: no picture or video has such a name"]),
])  # fmt: skip
def test_patterns_that_the_shell_left(tree, pattern, expected):
    assert names(pattern) == expected


def test_pattern_keeps_the_tree_below_its_fixed_part(tree):
    found = expand_sources([str(tree / "photos" / "**" / "*.jpg")])
    assert [s.relative.as_posix() for s in found] == ["2.jpg", "10.jpg", "a/deep/4.jpg", "b/3.jpg"]


def test_a_real_name_goes_before_the_pattern(tree):
    (tree / "bracket1.jpg").write_bytes(PNG)
    assert names("bracket[1].jpg") == ["bracket[1].jpg"]
    (tree / "bracket[1].jpg").unlink()
    assert names("bracket[1].jpg") == ["bracket1.jpg"]


def test_the_same_file_is_taken_once(tree):
    assert names("photos/2.jpg", "./photos/2.jpg", str(tree / "photos/2.jpg"), "photos/2.*") == ["photos/2.jpg"]


def test_what_cannot_be_used_stays_in_its_place(tree):
    (tree / "zero.jpg").touch()
    (tree / "photos" / "dangling.jpg").symlink_to("nowhere")
    assert names("missing.jpg", "zero.jpg", "empty", "", "photos/2.jpg", "https://example.org/a.jpg") == [
        "!missing.jpg: no such file",
        "!zero.jpg: is empty (0 bytes) (copy or download it again)",
        "!empty: is a folder without pictures or videos (files of other suffixes can be named one by one)",
        "!'': is an empty name",
        "photos/2.jpg",
        "!https://example.org/a.jpg: is an address, not a file (download it first)",
    ]
    assert "!photos/dangling.jpg: is a link to a file that isn't there" in names("photos")
    assert names("x" * 300)[0].endswith("can't be read: File name too long")
    assert names("a\0b") == ["!a\0b: can't be read: embedded null byte"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_unreadable_folder(tree):
    (tree / "photos" / "b").chmod(0)
    try:
        assert "!photos/b: is a folder that may not be read (check its permissions)" in names("photos", recursive=True)
    finally:
        (tree / "photos" / "b").chmod(0o755)


def test_loops_of_links_end_and_linked_folders_count(tree):
    (tree / "elsewhere").mkdir()
    (tree / "elsewhere" / "6.jpg").write_bytes(PNG)
    (tree / "photos" / "z").symlink_to(tree / "elsewhere")
    for name in ("loop", "loop2", "a/loop", "a/deep/loop"):
        (tree / "photos" / name).symlink_to(tree / "photos")
    (tree / "photos" / "self").symlink_to("self")
    expected = ["photos/a/deep/4.jpg", "photos/b/3.jpg", "photos/z/6.jpg"]
    assert names("photos", recursive=True)[4:] == expected
    assert names("photos/**/*.jpg")[2:] == expected
    assert names("photos/**/**/[46].jpg") == ["photos/a/deep/4.jpg", "photos/z/6.jpg"]


@pytest.mark.parametrize("content", [
    b"photos/2.jpg\nphotos/10.jpg\n", b"photos/2.jpg\r\n\r\nphotos/10.jpg\r\n", b"photos/2.jpg\n\n  \nphotos/10.jpg",
    b"photos/2.jpg\0photos/10.jpg\0", b"photos/2.jpg\0photos/10.jpg", b"\xef\xbb\xbfphotos/2.jpg\nphotos/10.jpg\n",
])  # fmt: skip
def test_list_on_standard_input(tree, content):
    assert names("-", stdin=io.BytesIO(content)) == ["photos/2.jpg", "photos/10.jpg"]
    if b"\xef" not in content:
        assert names("-", stdin=io.StringIO(content.decode())) == ["photos/2.jpg", "photos/10.jpg"]


def test_list_with_folders_errors_and_odd_names(tree):
    odd = os.fsdecode(b"gr\xfc\xdfe\n1.jpg")  # Latin-1 bytes and a line end: names that only NUL can separate
    Path(odd).write_bytes(PNG)
    content = b"photos/b\0gone.jpg\0" + os.fsencode(odd) + b"\0 leading.jpg\0"
    Path(" leading.jpg").write_bytes(PNG)
    assert names("-", stdin=io.BytesIO(content)) == ["photos/b/3.jpg", "!gone.jpg: no such file", odd, " leading.jpg"]


def test_a_list_is_taken_as_it_arrives(tree):
    read_end, write_end = os.pipe()
    with os.fdopen(read_end, "rb") as stream:
        found = expand_sources(["-"], stdin=stream)
        received, arrived = [], threading.Event()

        def take():
            received.append(next(found).name)
            arrived.set()

        taker = threading.Thread(target=take)
        taker.start()
        os.write(write_end, b"photos/2.jpg\nphotos/1")  # and the pipe stays open
        assert arrived.wait(20), "the first path waits for the end of the list"
        os.write(write_end, b"0.jpg\n")
        os.close(write_end)
        taker.join()
        assert [*received, *(s.name for s in found)] == ["photos/2.jpg", "photos/10.jpg"]


def test_expansion_is_lazy(tree):
    def endless():
        while True:
            yield "photos/2.jpg"
            raise AssertionError("asked for more than was wanted")

    assert next(expand_sources(endless())).name == "photos/2.jpg"


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    files=st.sets(
        st.tuples(st.sampled_from(["", "a/", "B[1]/", "a/é/"]), st.text("aB1[*é?", min_size=1, max_size=3)), min_size=1
    )
)
def test_every_picture_of_a_tree_once(tmp_path_factory, files):
    root = tmp_path_factory.mktemp("tree")
    for folder, stem in files:
        (root / folder).mkdir(parents=True, exist_ok=True)
        (root / folder / f"{stem}.jpg").write_bytes(PNG)
    expected = {f"{folder}{stem}.jpg" for folder, stem in files}
    whole = list(expand_sources([str(root)], recursive=True))
    assert sorted(s.relative.as_posix() for s in whole) == sorted(expected)
    alone = [next(expand_sources([s.name])) for s in whole]
    assert [s.path for s in alone] == [s.path for s in whole]
    outputs = [names_.as_posix().casefold() for names_ in claims([s.relative.as_posix() for s in whole])]
    assert len(set(outputs)) == len(outputs)


def test_natural_order():
    assert sorted(["b10", "a2", "b9", "A1", "b"], key=natural_key) == ["A1", "a2", "b", "b9", "b10"]


def claims(relatives: list[str]) -> list[PurePosixPath]:
    outputs = OutputNames()
    return [PurePosixPath(outputs.claim(Source(Path(r), r, "image", Path(r)))) for r in relatives]


@pytest.mark.parametrize("relatives, expected", [
    (["a.jpg", "b/a.jpg"], ["a", "b/a"]),
    (["a.jpg", "a.png", "a.jpg", "a.jpg"], ["a", "a.png", "a.jpg", "a-2"]),
    (["A.jpg", "a.png"], ["A", "a.png"]),
    (["e\u0301.jpg", "\u00e9.png"], ["e\u0301", "\u00e9.png"]),
    (["photo.v1.jpg", "photo.v2.jpg"], ["photo.v1", "photo.v2"]),
    (["a.jpg", "a/1.jpg", "a/2.jpg"], ["a", "a-2/1", "a-2/2"]),
    (["a/1.jpg", "a.jpg"], ["a/1", "a.jpg"]),
    (["../../etc/passwd.png", "/home/x.jpg", "..", ".hidden.jpg"], ["etc/passwd", "home/x", "unnamed", "hidden"]),
    (["c:/x.jpg", "a\\b.jpg"], ["c_/x", "a_b"]),
])  # fmt: skip
def test_output_names(relatives, expected):
    assert [path.as_posix() for path in claims(relatives)] == expected


@settings(max_examples=200, deadline=None)
@given(st.lists(st.text("aA./\\-2é\u0301 ", min_size=1, max_size=8), max_size=12))
def test_output_names_never_meet_nest_or_escape(relatives):
    outputs = claims(relatives)
    folded = {path.as_posix().casefold() for path in outputs}
    assert len(folded) == len(outputs)
    for path in outputs:
        assert not path.is_absolute() and not any(part in ("", ".", "..") for part in path.parts) and path.name
        assert not any(parent.as_posix().casefold() in folded for parent in path.parents)
    assert claims(relatives) == outputs


def test_errors_are_items_not_exceptions(tree):
    items = list(expand_sources(["gone"]))
    assert len(items) == 1 and isinstance(items[0], InputError)
