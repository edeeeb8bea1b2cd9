from __future__ import annotations

import badserver
import pytest

from facecli import registry
from facecli.assets import catalogue, download, places, verify


@pytest.fixture
def server():
    with badserver.running() as running:
        yield running


@pytest.fixture(scope="session")
def certificate(tmp_path_factory):
    """A self-signed certificate of 127.0.0.1, with its key."""
    return badserver.make_certificate(tmp_path_factory.mktemp("certificate"))


@pytest.fixture
def secure(certificate, monkeypatch):
    """A server with TLS, whose certificate is trusted."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(certificate))
    with badserver.running(badserver.context_for(certificate)) as running:
        yield running


@pytest.fixture
def another(certificate):
    """A second one: another host as far as log-ins are concerned."""
    with badserver.running(badserver.context_for(certificate)) as running:
        yield running


@pytest.fixture(autouse=True)
def own_folders(tmp_path, monkeypatch):
    """Data, cache and working folder of the test's own, no waiting between attempts, no proxy."""
    monkeypatch.setattr(places, "data_folder", lambda: tmp_path / "data")
    monkeypatch.setattr(verify, "cache_folder", lambda: tmp_path / "cache")
    monkeypatch.setattr(download, "FIRST_PAUSE", 0.0)
    monkeypatch.delenv(places.FOLDERS_VARIABLE, raising=False)
    monkeypatch.delenv(places.MIRROR_VARIABLE, raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    for variable in ("FACECLI_TEST_USER", "FACECLI_TEST_PASSWORD", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(variable, raising=False)
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    _forget()
    yield
    _forget()


def _forget():
    places.rescan()
    verify._memory.cache_clear()


@pytest.fixture
def known(monkeypatch):
    """Make these the only assets of the catalogue: ``known(asset, …)``."""

    def put(*assets):
        monkeypatch.setattr(catalogue, "shared", lambda: assets)
        monkeypatch.setattr(registry, "plugins", dict)

    return put
