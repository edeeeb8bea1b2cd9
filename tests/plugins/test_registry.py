"""Names to plugins: strangers' mistakes are named and stay theirs."""

from importlib.metadata import EntryPoint
from types import SimpleNamespace

import pytest

from facecli import registry
from facecli.errors import PluginError, UsageError
from facecli.plugin import Plugin


def entry(name, value, distribution):
    made = EntryPoint(name, value, registry.GROUP)
    vars(made)["dist"] = SimpleNamespace(name=distribution)
    return made


def broken_model(**options):
    raise RuntimeError("its weights\nare broken")


def picky_model(device="cpu"):
    return object()


honest = Plugin("honest", "", "MIT", "MIT", reconstructor="test_registry:broken_model", landmarkers={"points": "a:b"})
picky = Plugin("picky", "", "MIT", "MIT", reconstructor="test_registry:picky_model")
nothing = Plugin("nothing", "", "MIT", "MIT")
not_a_plugin = 7


@pytest.fixture
def installed(monkeypatch):
    def install(*entries):
        monkeypatch.setattr(registry, "entry_points", lambda group: entries)
        registry.reload()

    yield install
    registry.reload()


def test_a_model_that_cannot_start_is_named(installed):
    installed(entry("honest", "test_registry:honest", "somebody"), entry("picky", "test_registry:picky", "somebody"))
    with pytest.raises(PluginError, match=r"^plugin honest can't be started: RuntimeError: its weights are broken$"):
        registry.reconstructor("honest")
    with pytest.raises(UsageError, match="picky doesn't take this option"):
        registry.reconstructor("picky", colour="red")
    with pytest.raises(PluginError, match="plugin honest can't be used: ModuleNotFoundError"):
        registry.landmarker("points")


def test_of_two_plugins_with_one_name_our_own_is_used_and_the_other_is_named(installed):
    installed(
        entry("honest", "test_registry:not_a_plugin", "another"), entry("honest", "test_registry:honest", "facecli")
    )
    assert registry.plugin("honest") is honest
    (other,) = registry.broken_plugins().values()
    assert other.distribution == "another"
    assert "there is another plugin of this name" in str(other)


def test_what_is_no_plugin_or_bears_another_name_is_named(installed):
    installed(
        entry("not_a_plugin", "test_registry:not_a_plugin", "somebody"),
        entry("alias", "test_registry:nothing", "somebody"),
        entry("nothing", "test_registry:nothing", "somebody"),
    )
    assert set(registry.plugins()) == {"nothing"}
    assert "is a int, not a Plugin" in str(registry.broken_plugins()["not_a_plugin"])
    with pytest.raises(PluginError, match="its entry point says alias, itself nothing"):
        registry.plugin("alias")
    with pytest.raises(UsageError, match="Did you mean nothing"):
        registry.plugin("nothin")
    with pytest.raises(UsageError, match="nothing doesn't reconstruct"):
        registry.reconstructor("nothing")
