"""Settings of trainings: YAML and key=value against a dataclass."""

from dataclasses import dataclass

import pytest

from facecli.errors import InputError, UsageError
from facecli.train.settings import described, read_settings


@dataclass(frozen=True)
class Kitchen:
    """
    Args:
        cooks: how many stand in it. spoons: of wood.
        heat: in degrees,
            of the oven.
        open: whether guests come.
    """

    cooks: int = 2
    spoons: int = 3
    heat: float = 180.0
    open: bool = True
    name: str = ""


def test_words_go_before_the_file_and_the_file_before_defaults(tmp_path):
    file = tmp_path / "kitchen.yaml"
    file.write_text("cooks: 5\nheat: 99.5\nopen: no\nname: yes\n")
    found = read_settings(Kitchen, ["cooks=1_000", "name=a=b"], file)
    assert found == Kitchen(cooks=1000, spoons=3, heat=99.5, open=False, name="a=b")
    assert read_settings(Kitchen, []) == Kitchen()


@pytest.mark.parametrize(
    ("word", "says"),
    [
        ("cook=3", "did you mean cooks"),
        ("cooks=many", "cooks is a whole number, not 'many'"),
        ("cooks=1.5", "cooks is a whole number"),
        ("heat=hot", "heat is a number"),
        ("open=perhaps", "open is yes or no"),
        ("cooks", "key=value"),
    ],
)
def test_wrong_words(word, says):
    with pytest.raises(UsageError, match=says):
        read_settings(Kitchen, [word])


@pytest.mark.parametrize("content", [b"- a\n- b\n", b"a: [", b"\xff\xfe\x00", b"!!python/object:os.system {}"])
def test_files_that_hold_no_settings(tmp_path, content):
    file = tmp_path / "kitchen.yaml"
    file.write_bytes(content)
    with pytest.raises(InputError, match=r"kitchen\.yaml"):
        read_settings(Kitchen, [], file)
    with pytest.raises(InputError, match="nowhere"):
        read_settings(Kitchen, [], tmp_path / "nowhere.yaml")


def test_settings_are_described_by_the_docstring():
    assert described(Kitchen) == [
        ("cooks", "2", "how many stand in it"),
        ("spoons", "3", "of wood"),
        ("heat", "180.0", "in degrees, of the oven"),
        ("open", "yes", "whether guests come"),
        ("name", "", ""),
    ]


def test_the_command_lists_settings_and_knows_names(cli):
    listed = cli("train", "open", "--list")
    assert listed.code == 0
    assert "heads" in listed.out
    assert "each head and its mirrored twin" in " ".join(listed.out.split())
    wrong = cli("train", "opem")
    assert wrong.code == 2
    assert "Did you mean open?" in wrong.err
    assert cli("train", "open", "set=hard").code == 2
