"""The FLAME family's entries: editions are not mixed up, archives are taken in as their publishers pack them."""

from __future__ import annotations

import zipfile

import pytest
from typer.testing import CliRunner

from facecli import registry
from facecli.assets import catalogue, importing, places, store
from facecli.cli.assets import app
from facecli.errors import InputError, MissingAssetError
from facecli.morphable import files

PICKLE = b"\x80\x02}."


@pytest.fixture(autouse=True)
def editions(known):
    known(*files.EDITIONS)


def pack(path, *names):
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            archive.writestr(name, PICKLE)
    return path


def names(taken):
    return [item.asset.name for item in taken]


@pytest.mark.parametrize("folder", ["", "FLAME2020/"])
def test_archive_of_2020(tmp_path, folder):
    """It holds models of women and men, too, which nothing here uses."""
    members = [f"{folder}{name}.pkl" for name in ("female_model", "generic_model", "male_model")]
    taken = importing.import_file(pack(tmp_path / "FLAME2020.zip", *members, f"{folder}Readme.pdf"))
    assert names(taken) == ["flame"] and not taken[0].doubt
    assert [path.name for path in places.data_folder().iterdir()] == ["generic_model.pkl"]


def test_archive_of_2023_holds_two_models(tmp_path):
    archive = pack(tmp_path / "FLAME2023.zip", "flame2023.pkl", "flame2023_no_jaw.pkl")
    assert sorted(names(importing.import_file(archive))) == ["flame_2023", "flame_2023_no_jaw"]
    assert store.require(files.FLAME_2023).name == "flame2023.pkl"
    assert store.require(files.FLAME_2023_NO_JAW).name == "flame2023_no_jaw.pkl"
    assert store.find(files.FLAME) is None


@pytest.mark.parametrize("name", ["FLAME2019.zip", "flame_2017 (1).zip"])
def test_archive_of_another_edition_is_refused(tmp_path, name):
    with pytest.raises(InputError, match=r"holds FLAME 20\d\d's generic_model\.pkl; the models need 2020's"):
        importing.import_file(pack(tmp_path / name, "generic_model.pkl"))
    assert store.find(files.FLAME) is None


def test_right_edition_is_taken_of_several(tmp_path):
    members = ("FLAME2017/generic_model.pkl", "a/b/FLAME2020/generic_model.pkl", "generic_model.pkl")
    (taken,) = importing.import_file(pack(tmp_path / "all.zip", *members))
    assert taken.source.endswith("FLAME2020/generic_model.pkl") and not taken.doubt
    with pytest.raises(InputError, match="none of the files"):
        importing.import_file(pack(tmp_path / "old.zip", "FLAME2017/generic_model.pkl"))


def test_archive_and_file_that_do_not_tell_their_edition_are_doubted(tmp_path):
    result = CliRunner().invoke(app, ["import", str(pack(tmp_path / "FLAME.zip", "FLAME/geometry/generic_model.pkl"))])
    assert result.exit_code == 0
    assert "taken for FLAME 2020's; other editions of FLAME have a generic_model.pkl, too" in result.stderr
    (tmp_path / "generic_model.pkl").write_bytes(PICKLE)
    (taken,) = importing.import_file(tmp_path / "generic_model.pkl")
    assert taken.doubt


def test_folder_of_another_edition_is_no_find(tmp_path):
    folder = tmp_path / "work" / "assets"
    for edition in ("FLAME2017", "FLAME2020"):
        (folder / edition).mkdir(parents=True)
        (folder / edition / "generic_model.pkl").write_bytes(PICKLE)
    places.rescan()
    assert store.require(files.FLAME) == folder / "FLAME2020" / "generic_model.pkl"
    (folder / "FLAME2020" / "generic_model.pkl").unlink()
    places.rescan()
    with pytest.raises(MissingAssetError, match=r"is FLAME 2017's, going by its folder; FLAME 2020's is wanted"):
        store.require(files.FLAME)


def test_missing_flame_says_whose_login_is_wanted():
    with pytest.raises(
        MissingAssetError, match=r"`facecli assets get flame` fetches it with your log-in at https://fl"
    ):
        store.require(files.FLAME)


def test_all_missing_files_are_one_command():
    with pytest.raises(MissingAssetError) as caught:
        store.require_all([files.FLAME, files.HEAD_TEMPLATE, files.BFM_ALBEDO])
    text = str(caught.value)
    assert "generic_model.pkl, head_template.obj are missing: `facecli assets get flame flame_template`" in text
    assert files.FLAME.license in text and files.HEAD_TEMPLATE.license in text and "BFM_to_FLAME" in text


# -------------------------------------------------------------------------------- the installed models' own entries


@pytest.fixture
def installed(monkeypatch):
    monkeypatch.undo()
    registry.reload()


@pytest.mark.parametrize("model", ["smirk", "deca", "emoca"])
def test_every_necessary_file_can_be_fetched(installed, model):
    plugin = registry.plugin(model)
    for asset in plugin.assets:
        assert store.sources(asset), asset.name
        assert asset.register.startswith("https://") and asset.license and not asset.permissive, asset.name
        assert asset.url.startswith("https://") or asset.login.post_url.startswith("https://")


def test_every_file_is_known_by_one_name(installed):
    """No two entries mean different files by one file name, and converted files are nobody else's."""
    owners: dict[str, str] = {}
    for name, asset in catalogue.catalogue().items():
        for filename in asset.filenames:
            assert owners.setdefault(filename, name) == name, filename


def test_emoca_has_its_five_models(installed):
    from facecli_emoca.files import DEFAULT_MODEL, MODELS

    assert set(MODELS) == {"EMOCA", "EMOCA_v2_mp", "EMOCA_v2_lr_cos_1.5", "EMOCA_v2_lr_mse_20", "DECA"}
    assert DEFAULT_MODEL == "EMOCA_v2_lr_mse_20"
    known = catalogue.catalogue()
    for folder, asset in MODELS.items():
        assert known[asset.name] == asset and asset.is_folder
        assert asset.url == f"https://download.is.tue.mpg.de/emoca/assets/EMOCA/models/{folder}.zip"
