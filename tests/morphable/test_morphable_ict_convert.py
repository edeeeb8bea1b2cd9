"""ICT-FaceKit's OBJ files into the ``.npz`` that facecli reads: the same numbers, once, or one clear line."""

from __future__ import annotations

import io
import os
import re
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

from facecli.assets import verify
from facecli.data.heads import choose_heads
from facecli.errors import InputError
from facecli.morphable import ict_convert
from facecli.morphable.ict_convert import EXPRESSIONS, IDENTITIES, convert_ict, ict_content
from facecli.morphable.ict_files import read_ict
from standins import ict as standin

FEW = (2, ("browDown_L", "jawOpen"))


@pytest.fixture(scope="module")
def content() -> dict[str, np.ndarray]:
    return standin.formula(*FEW)


@pytest.fixture(scope="module")
def files(content) -> dict[str, bytes]:
    return standin.obj_files(content)


@pytest.fixture
def few(monkeypatch):
    """Four shapes are all that is asked for."""
    monkeypatch.setattr(ict_convert.ict_content, "__defaults__", FEW)


@pytest.fixture
def model(files, tmp_path) -> Path:
    """A clone's folder."""
    return write(tmp_path / "ICT-FaceKit/FaceXModel", files)


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setattr(verify, "cache_folder", lambda: tmp_path / "cache")
    return tmp_path / "cache"


def write(folder: Path, files: dict[str, bytes]) -> Path:
    folder.mkdir(parents=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return folder


def pack(path: Path, files: dict[str, bytes], root: str = "ICT-FaceKit-master/FaceXModel/") -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, data in files.items():
            archive.writestr(root + name, data)
    return path


def same(made: dict[str, np.ndarray], wanted: dict[str, np.ndarray]) -> bool:
    """To the bit, with kinds and shapes."""
    return made.keys() == wanted.keys() and all(
        made[name].dtype == wanted[name].dtype
        and made[name].shape == wanted[name].shape
        and made[name].tobytes() == wanted[name].tobytes()
        for name in wanted
    )


# ------------------------------------------------------------------------------------------------ what comes out


def test_what_was_written_comes_back(content, model):
    made = ict_content(model, *FEW)
    assert len(content["faces"]) > 9000 and np.abs(content["expression"]).max() > 0.4
    assert same(made, content)
    assert same(ict_content(model.parent, *FEW), content)  # a clone


def test_the_light_model_comes_back_from_files_of_its_numbers(tmp_path):
    """../shared's file, whose order of triangles and UV, rounding and signs of zero are those of the real one; a few
    of its 157 shapes."""
    shared = Path(os.environ.get("FACECLI_SHARED", Path(__file__).parents[3] / "shared")) / "data/ict_facekit.npz"
    if not shared.exists():
        pytest.skip("../shared/data/ict_facekit.npz is not here")
    with np.load(shared) as archive:
        wanted = dict(archive)
    assert tuple(wanted["expression_names"]) == EXPRESSIONS and len(wanted["identity"]) == IDENTITIES
    names = ("browDown_L", "jawOpen")
    wanted["identity"] = wanted["identity"][:2]
    wanted["expression"] = wanted["expression"][[EXPRESSIONS.index(name) for name in names]]
    wanted["expression_names"] = wanted["expression_names"][[EXPRESSIONS.index(name) for name in names]]
    assert any((np.signbit(shape) & (shape == 0)).any() for shape in wanted["expression"])
    made = ict_content(standin.write_folder(tmp_path / "FaceXModel", wanted), 2, names)
    made["expression_names"] = made["expression_names"].astype("U16")  # as long as the longest of all 57
    assert same(made, wanted)


def test_names_are_as_long_as_in_the_whole_model():
    assert np.array(EXPRESSIONS).dtype == np.dtype("U16") and list(EXPRESSIONS) == sorted(EXPRESSIONS)


def test_a_second_conversion_gives_the_same_file(model, few, tmp_path):
    convert_ict(model, tmp_path / "a.npz")
    convert_ict(model, tmp_path / "b.npz")
    assert (one := read_ict(tmp_path / "a.npz")).fingerprint == read_ict(tmp_path / "b.npz").fingerprint
    assert one.expression_names == FEW[1] and one.identity.shape == (2, 14_388, 3)


def test_other_programs_habits(content, files, tmp_path):
    """Windows' line ends, faces in another order and from another corner, without UV; further files."""
    lines = files["jawOpen.obj"].splitlines()
    faces = [line for line in lines if line.startswith(b"f ")]
    turned = [[*f.split()[2:], f.split()[1]] for f in reversed(faces)]
    bare = [b"f " + b" ".join(c.partition(b"/")[0] for c in corners) for corners in turned]
    changed = {
        "identity000.obj": files["identity000.obj"].replace(b"\n", b"\r\n"),
        "jawOpen.obj": b"\n".join([*(line for line in lines if line.startswith(b"v ")), *bare]),
        "tongueOut.obj": b"what comes with later editions",
    }
    assert same(ict_content(write(tmp_path / "FaceXModel", files | changed), *FEW), content)


@pytest.mark.parametrize("kind", ["zip", "tar"])
def test_an_archive_as_it_is(content, files, tmp_path, kind):
    path = tmp_path / f"ICT-FaceKit-master.{kind}"
    if kind == "zip":
        pack(path, files)
    else:
        with tarfile.open(path, "w") as archive:
            for name, data in files.items():
                info = tarfile.TarInfo(f"ICT-FaceKit-master/FaceXModel/{name}")
                info.size = len(data)
                archive.addfile(info, io.BytesIO(data))
    assert same(ict_content(path, *FEW), content)


# ----------------------------------------------------------------------------------------------- folders are read


def test_a_folder_is_read_and_converted_once(content, model, few, cache, monkeypatch):
    arrays = read_ict(model)
    assert arrays.mean == pytest.approx(10 * content["mean"]) and len(list(cache.glob("*.npz"))) == 1
    with monkeypatch.context() as patched:
        patched.setattr(ict_convert, "convert_ict", None)
        assert read_ict(model).fingerprint == read_ict(model.parent).fingerprint == arrays.fingerprint
    os.utime(model / "jawOpen.obj", ns=(0, 0))  # a file has changed
    read_ict(model)
    assert len(list(cache.glob("*.npz"))) == 2


def test_where_nothing_can_be_kept_it_is_read_all_the_same(model, few, cache):
    cache.write_text("in the way")
    assert len(read_ict(model).identity) == 2 and cache.read_text() == "in the way"


def test_a_broken_folder_leaves_nothing_behind(model, few, cache):
    (model / "jawOpen.obj").write_bytes(b"v 1 2 3\n")
    for _ in range(2):
        with pytest.raises(InputError, match=r"FaceXModel/jawOpen\.obj: has 1 vertices, not 26,719"):
            read_ict(model)
    assert not list(cache.glob("*.npz"))


def test_face_model_may_be_the_folder(model, tmp_path):
    choice = choose_heads(None, model)
    assert (choice.faces, choice.path) == ("ict", model)
    with pytest.raises(InputError, match="no such file"):
        choose_heads("flame", model)


# ------------------------------------------------------------------------------------------------ hostile inputs


def cut(data: bytes) -> bytes:
    return data[: int(len(data) * 0.9)]


def first_vertex(line: bytes):
    return lambda data: re.sub(rb"(?m)^v .*$", line, data, count=1)


def scaled(data: bytes) -> bytes:
    """Millimetres."""
    rows = [[10 * float(word) for word in line.split()[1:]] for line in data.splitlines() if line.startswith(b"v ")]
    rest = [line for line in data.splitlines() if not line.startswith(b"v ")]
    return b"\n".join([*(b"v %f %f %f" % tuple(row) for row in rows), *rest])


def without_uv(data: bytes) -> bytes:
    lines = data.splitlines()
    return b"\n".join(b" ".join(w.partition(b"/")[0] for w in x.split()) if x.startswith(b"f ") else x for x in lines)


def other_faces(data: bytes) -> bytes:
    """None of the last eyeball."""
    faces = [line for line in data.splitlines() if line.startswith(b"f ")]
    return data.replace(b"\n".join(faces[-800:]), b"")


NEUTRAL = "generic_neutral_mesh.obj"
HOSTILE = {
    "cut": ("jawOpen.obj", cut, "has other faces than generic_neutral_mesh.obj: it was cut off"),
    "cut in the vertices": ("identity001.obj", lambda data: data[:100_000], r"vertices, not 26,719"),
    "empty": ("jawOpen.obj", lambda data: b"", "has 0 vertices, not 26,719"),
    "not a number": ("identity000.obj", first_vertex(b"v nan 0 0"), "not finite, at vertex 1"),
    "infinite": (NEUTRAL, first_vertex(b"v 0 inf 0"), "not finite, at vertex 1"),
    "no number": ("jawOpen.obj", first_vertex(b"v 0 one 0"), "is broken at line 3, 'v 0 one 0'"),
    "too few": ("jawOpen.obj", first_vertex(b"v 0 1"), "is broken at line 3, 'v 0 1': 2 numbers where 3 belong"),
    "far away": ("jawOpen.obj", first_vertex(b"v 0 1e6 0"), r"moves vertices by 1e\+06 cm"),
    "millimetres": (NEUTRAL, scaled, "is no head in centimetres: eyes 64 apart"),
    "no UV": (NEUTRAL, without_uv, "has faces without UV"),
    "parts missing": (NEUTRAL, other_faces, "is another mesh: its faces leave out vertices"),
    "wrong index": (NEUTRAL, lambda data: data + b"f 1/1/1 2/1/1 30000/1/1\n", "has faces of 30000 vertices and holds"),
    "git-LFS": ("jawOpen.obj", lambda data: b"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_files_that_are_wrong_are_named_in_one_line(case, files, tmp_path):
    name, change, words = HOSTILE[case]
    folder = write(tmp_path / "FaceXModel", files | {name: change(files[name])})
    with pytest.raises(InputError, match=words) as raised:
        ict_content(folder, *FEW)
    assert raised.value.source == str(folder / name) and "\n" not in str(raised.value)


def test_the_same_file_under_two_names(files, tmp_path):
    folder = write(tmp_path / "FaceXModel", files | {"jawOpen.obj": files[NEUTRAL]})
    with pytest.raises(InputError, match=r"jawOpen\.obj: can't be a shape of ICT-FaceKit: it is the same as generic"):
        ict_content(folder, *FEW)


def test_missing_files_are_counted(files, tmp_path):
    folder = write(tmp_path / "FaceXModel", files)
    with pytest.raises(InputError, match=r"lacks identity002\.obj, identity003\.obj, identity004\.obj and 150 more"):
        ict_content(folder)
    (folder / NEUTRAL).unlink()
    with pytest.raises(InputError, match=f"holds no {NEUTRAL}"):
        ict_content(folder)
    with pytest.raises(InputError, match="no such file or folder"):
        ict_content(tmp_path / "nowhere")
    (tmp_path / "text").write_text("text")
    with pytest.raises(InputError, match="no folder and no archive"):
        ict_content(tmp_path / "text")


def test_archives_that_are_not_to_be_trusted(files, tmp_path, monkeypatch):
    monkeypatch.setattr(ict_convert, "_LARGEST_FILE", 3 << 20)
    path = tmp_path / "x.zip"
    for names, words in (
        ({"../../evil": b"x"}, "leads out of its folder"),
        ({"C:\\evil": b"x"}, "leads out of its folder"),
        ({"jawOpen.obj": bytes(4 << 20)}, r"jawOpen\.obj has 4,194,304 bytes"),
    ):
        pack(path, files | names)
        with pytest.raises(InputError, match=f"is not to be trusted.*{words}"):
            ict_content(path, *FEW)
    pack(path, files, root="../FaceXModel/")
    with pytest.raises(InputError, match=r"is not to be trusted: \.\./FaceXModel/ in it leads out"):
        ict_content(path, *FEW)
    pack(path, {"readme": b"x"})
    with pytest.raises(InputError, match=f"holds no FaceXModel/{NEUTRAL}"):
        ict_content(path, *FEW)


def test_damaged_archives(files, tmp_path):
    whole = pack(tmp_path / "x.zip", files).read_bytes()
    (tmp_path / "x.zip").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="no folder and no archive"):
        ict_content(tmp_path / "x.zip", *FEW)
    damaged = bytearray(whole)
    damaged[len(whole) // 2] ^= 0xFF
    (tmp_path / "x.zip").write_bytes(damaged)
    with pytest.raises(InputError, match="is a damaged archive"):
        ict_content(tmp_path / "x.zip", *FEW)
