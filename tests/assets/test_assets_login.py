"""A user's log-in goes to the site that issued it, over TLS, and nowhere else: no host, no file, no word."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import time
import zipfile
from pathlib import Path
from urllib.parse import quote_plus

import pytest
from typer.testing import CliRunner

from facecli.assets import download, places, store
from facecli.assets.catalogue import Asset, Login
from facecli.assets.download import FetchError, Job
from facecli.assets.login import Credentials, from_environment
from facecli.cli.assets import app
from facecli.errors import UsageError

USER, PASSWORD = "jane.doe+face@example.org", "pa ss&wörd=%7!"
MODEL = os.urandom(200_000)
PATH = "/download.php?domain=test&sfile=TEST2020.zip&resume=1"


def packed(**members: bytes) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, body in members.items():
            archive.writestr(f"TEST2020/{name}.pkl", body)
    return content.getvalue()


ARCHIVE = packed(model=MODEL, female=b"\x80\x02f")


def asset(server, **changes) -> Asset:
    facts = {
        "name": "model", "filename": "model.pkl", "license": "research only", "register": server.url(""),
        "member": "model.pkl", "archive": "TEST2020.zip", "login": Login(server.url(""), server.url(PATH), "TEST"),
    }  # fmt: skip
    return Asset(**(facts | changes))


def ask(_login: Login) -> Credentials:
    return Credentials(USER, PASSWORD)


@pytest.fixture
def site(secure):
    """The download site: its behaviour."""
    return secure.serve(PATH, ARCHIVE, login=(USER, PASSWORD))


def refused(wanted: Asset, who=ask) -> str:
    with pytest.raises(FetchError) as caught:
        store.fetch(wanted, credentials=who)
    text = str(caught.value)
    assert "\n" not in text and PASSWORD not in text and USER not in text
    assert not (places.data_folder() / wanted.filename).exists()
    return text


# ------------------------------------------------------------------------------------------------ the way there


def test_right_login_gives_the_member_of_the_archive(secure, site):
    assert store.fetch(asset(secure), credentials=ask).read_bytes() == MODEL
    assert site.methods == ["POST"]
    assert site.forms == [f"username={quote_plus(USER)}&password={quote_plus(PASSWORD)}"]
    assert {path.name for path in places.data_folder().iterdir() if not path.name.startswith(".")} == {"model.pkl"}


@pytest.mark.parametrize(
    "refusal",
    [
        (200, "text/html; charset=utf-8", b"<html>Wrong username or password</html>"),
        (200, "application/octet-stream", b"Error: wrong password"),
        (401, "text/plain", b"no"),
        (403, "text/html", b"<html>accept our licence first</html>"),
    ],
)
def test_wrong_login_is_one_line_and_tried_once(secure, site, refusal):
    site.refusal = refusal
    text = refused(asset(secure), lambda _: Credentials(USER, "another"))
    assert f"the site refuses this log-in, or you have not accepted its licence there: {secure.url('')}" in text
    assert len(site.requests) == 1
    assert not list(places.data_folder().glob("*.part"))


def test_redirect_to_the_log_in_page_is_a_refusal(secure, site):
    site.redirect = "/login.php"
    page = secure.serve("/login.php", b"<html>log in</html>", content_type="text/html")
    assert "refuses this log-in" in refused(asset(secure))
    assert page.methods == ["GET"] and page.forms == [""]


@pytest.mark.parametrize("who", [None, from_environment])
def test_without_anybody_to_ask_the_command_is_named(secure, site, who):
    with pytest.raises(FetchError, match="wants a log-in: `facecli assets get model` asks for it, or takes it from"):
        store.fetch(asset(secure), credentials=who)
    assert not site.requests


def test_broken_connection_is_resumed_with_the_login(secure, site):
    site.break_after = 60_000
    assert store.fetch(asset(secure), credentials=ask).read_bytes() == MODEL
    assert set(site.methods) == {"POST"} and len(site.methods) == 4
    assert [headers.get("Range") is not None for headers in site.requests] == [False, True, True, True]


def test_next_call_goes_on_and_the_part_knows_no_login(secure, site, monkeypatch):
    monkeypatch.setattr(download, "STALLS", 1)
    site.break_after, site.etag = 100_000, '"2020"'
    with pytest.raises(FetchError, match="goes on from there"):
        store.fetch(asset(secure), credentials=ask)
    assert nowhere_below(places.data_folder()) >= {"TEST2020.zip.part", "TEST2020.zip.part.json"}
    site.break_after = None
    assert store.fetch(asset(secure), credentials=ask).read_bytes() == MODEL
    assert site.requests[1]["If-Range"] == '"2020"'


def nowhere_below(folder: Path) -> set[str]:
    """Names of the files below `folder`, none of which has the password in it in any spelling."""
    names = set()
    for path in (path for path in folder.rglob("*") if path.is_file()):
        names.add(path.name)
        content = path.read_bytes()
        for secret in (PASSWORD, quote_plus(PASSWORD), USER, quote_plus(USER)):
            assert secret.encode() not in content, path
    return names


def test_mirror_is_asked_first_and_without_the_login(secure, site, server, monkeypatch):
    mirrored = server.serve("/model.pkl", MODEL)
    monkeypatch.setenv(places.MIRROR_VARIABLE, server.url(""))
    store.fetch(asset(secure), credentials=lambda _: pytest.fail("nobody needs to be asked"))
    assert mirrored.methods == ["GET"] and not site.requests


# ------------------------------------------------------------------------------------------------ redirects


@pytest.mark.parametrize("status", [301, 302, 303])
def test_other_host_gets_a_plain_request(secure, site, another, status):
    elsewhere = another.serve("/files/TEST2020.zip", ARCHIVE)
    site.redirect, site.redirect_status = another.url("/files/TEST2020.zip"), status
    assert store.fetch(asset(secure), credentials=ask).read_bytes() == MODEL
    assert elsewhere.methods == ["GET"] and elsewhere.forms == [""]
    assert not any(secret in str(elsewhere.requests) for secret in (PASSWORD, quote_plus(PASSWORD), USER))


@pytest.mark.parametrize("status", [307, 308])
def test_login_is_not_sent_on_to_another_host(secure, site, another, status):
    elsewhere = another.serve("/TEST2020.zip", ARCHIVE)
    site.redirect, site.redirect_status = another.url("/TEST2020.zip"), status
    text = refused(asset(secure))
    assert f"wants the log-in sent on to 127.0.0.1:{another.server_port}; nothing was sent there" in text
    assert not elsewhere.requests


def test_login_is_not_sent_on_to_another_name_of_the_host(secure, site):
    site.redirect, site.redirect_status = f"https://localhost:{secure.server_port}/x.zip", 307
    named = secure.serve("/x.zip", ARCHIVE)
    assert "nothing was sent there" in refused(asset(secure)) and not named.requests


def test_same_host_may_ask_again(secure, site):
    site.redirect, site.redirect_status = "/moved.zip", 308
    moved = secure.serve("/moved.zip", ARCHIVE, login=(USER, PASSWORD))
    assert store.fetch(asset(secure), credentials=ask).read_bytes() == MODEL
    assert moved.methods == ["POST"]


@pytest.mark.parametrize("status", [302, 307])
def test_unencrypted_address_is_not_gone_to(secure, site, server, status):
    plain = server.serve("/TEST2020.zip", ARCHIVE)
    site.redirect, site.redirect_status = server.url("/TEST2020.zip"), status
    assert "leads to an unencrypted address" in refused(asset(secure))
    assert not plain.requests


@pytest.mark.parametrize("target", [PATH, "https://127.0.0.1:99999/", "//"])
def test_senseless_redirects_are_one_line(secure, site, target):
    site.redirect = target
    refused(asset(secure))
    assert len(site.requests) <= 7


# ------------------------------------------------------------------------------------------------ only over TLS


def test_unencrypted_login_address_is_refused_before_anything_is_sent(server, tmp_path):
    plain = server.serve("/TEST2020.zip", ARCHIVE)
    job = Job(server.url("/TEST2020.zip"), tmp_path / "x.part", credentials=Credentials(USER, PASSWORD))
    with pytest.raises(FetchError, match="over https only; nothing was sent"):
        download.download(job)
    assert not plain.requests


def test_unknown_certificate_gets_no_login(secure, site, monkeypatch):
    monkeypatch.delenv("REQUESTS_CA_BUNDLE")
    assert "certificate verify failed" in refused(asset(secure))
    assert not site.requests


def test_certificate_of_another_name_gets_no_login(secure, site, monkeypatch):
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setattr("socket.getaddrinfo", _always_local(secure.server_port))
    url = f"https://download.example.org:{secure.server_port}"
    wanted = asset(secure, login=Login("https://flame.example.org", url + PATH, "TEST"))
    assert "certificate verify failed" in refused(wanted) and not site.requests


def _always_local(port: int):
    import socket

    return lambda *_, **__: [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]


def test_catalogue_takes_no_loose_logins():
    site = "https://flame.is.tue.mpg.de"
    Login(site, "https://download.is.tue.mpg.de/download.php", "FLAME")
    for address in ("http://download.is.tue.mpg.de/x", "https://download.is.tue.mpg.de.example.org/x", "https://x.org"):
        with pytest.raises(ValueError, match=r"https only|no host of"):
            Login(site, address, "FLAME")
    for place in ("http://flame.is.tue.mpg.de", "https://example.org"):  # everybody is below .org
        with pytest.raises(ValueError, match=r"https only|no host of"):
            Login(place, "https://other.org/x", "FLAME")
    with pytest.raises(ValueError, match="environment"):
        Login(site, site, "FL AME")


def test_credentials_are_not_shown():
    shown = repr(Credentials(USER, PASSWORD)) + str(
        Job("https://x", Path("p"), credentials=Credentials(USER, PASSWORD))
    )
    assert USER not in shown and PASSWORD not in shown


# ------------------------------------------------------------------------------------------------ command line


@pytest.fixture
def logged_in(monkeypatch):
    monkeypatch.setenv("FACECLI_TEST_USER", USER)
    monkeypatch.setenv("FACECLI_TEST_PASSWORD", PASSWORD)


def test_login_from_the_environment(secure, site, known, logged_in):
    known(asset(secure))
    result = CliRunner().invoke(app, ["get", "model", "--accept-license"])
    assert result.exit_code == 0, result.output
    assert result.stdout == f"{places.data_folder() / 'model.pkl'}\n"
    assert USER not in result.output and PASSWORD not in result.output


@pytest.mark.parametrize("content_type", ["text/html", "application/octet-stream"])
def test_refused_login_is_not_tried_for_the_next_file(secure, site, known, logged_in, monkeypatch, content_type):
    """Sites lock accounts after a few wrong passwords."""
    monkeypatch.setenv("FACECLI_TEST_PASSWORD", "wrong")
    site.refusal = (200, content_type, b"no such user")
    known(asset(secure), asset(secure, name="female", filename="female.pkl", member="female.pkl"))
    result = CliRunner().invoke(app, ["get", "model", "female", "--accept-license"])
    assert result.exit_code == 3 and len(site.requests) == 1
    assert "has just refused this log-in, so it isn't tried again" in result.stderr


@pytest.mark.parametrize("missing", ["FACECLI_TEST_USER", "FACECLI_TEST_PASSWORD"])
def test_without_a_terminal_the_variables_and_the_page_are_named(secure, site, known, logged_in, monkeypatch, missing):
    monkeypatch.setenv(missing, "")
    assert from_environment(asset(secure).login) is None
    known(asset(secure))
    result = CliRunner().invoke(app, ["get", "model", "--accept-license"])
    assert result.exit_code == UsageError.exit_code and not site.requests
    for word in ("FACECLI_TEST_USER", "FACECLI_TEST_PASSWORD", f"register at {secure.url('')}"):
        assert word in result.stderr
    assert PASSWORD not in result.output


def test_licence_comes_before_the_login(secure, site, known, logged_in):
    known(asset(secure))
    result = CliRunner().invoke(app, ["get", "model"])
    assert result.exit_code == UsageError.exit_code and "--accept-license" in result.stderr
    assert not site.requests


DRIVER = """
import logging, sys
logging.basicConfig(level=logging.DEBUG)
from facecli.assets import catalogue, download
from facecli.assets.catalogue import Asset, Login
from facecli.cli import main
site, path, *arguments = sys.argv[1:]
download.STALLS, download.FIRST_PAUSE = 1, 0
def one(name):
    return Asset(name, f"{name}.pkl", license="research only", register=site, member=f"{name}.pkl",
                 archive="TEST2020.zip", login=Login(site, site + path, "TEST"))
catalogue.shared = lambda: (one("model"), one("female"))
sys.argv[1:] = arguments
main.main()
"""


def environment(tmp_path: Path, certificate: Path, **more: str) -> dict[str, str]:
    mine = {
        "XDG_DATA_HOME": str(tmp_path / "xdg-data"), "XDG_CACHE_HOME": str(tmp_path / "xdg-cache"),
        "REQUESTS_CA_BUNDLE": str(certificate), "NO_PROXY": "127.0.0.1", "TERM": "dumb",
    }  # fmt: skip
    return os.environ | mine | more


def test_debug_output_and_logs_keep_quiet(secure, site, another, certificate, tmp_path):
    """A run of its own with --debug and all of the libraries' log lines: refused, broken off, sent on."""
    login = {"FACECLI_TEST_USER": USER, "FACECLI_TEST_PASSWORD": PASSWORD}
    site.redirect, site.redirect_status = another.url("/x"), 307
    command = [sys.executable, "-c", DRIVER, secure.url(""), PATH, "--debug", "assets", "get", "--accept-license"]
    done = subprocess.run(
        [*command, "model"], env=environment(tmp_path, certificate, **login), cwd=tmp_path, capture_output=True
    )
    assert done.returncode == 3 and b"nothing was sent there" in done.stderr
    assert b"DEBUG:urllib3" in done.stderr and len(site.forms) == 1
    site.redirect, site.break_after = "", 50_000
    broken = subprocess.run(
        [*command, "model"], env=environment(tmp_path, certificate, **login), cwd=tmp_path, capture_output=True
    )
    assert broken.returncode == 3 and b"broke off at" in broken.stderr
    said = done.stdout + done.stderr + broken.stdout + broken.stderr
    for secret in (PASSWORD, quote_plus(PASSWORD), USER, quote_plus(USER)):
        assert secret.encode() not in said
    assert {"TEST2020.zip.part", "TEST2020.zip.part.json"} <= nowhere_below(tmp_path)


@pytest.mark.skipif(sys.platform == "win32", reason="pseudo-terminals are Unix's")
def test_login_on_the_terminal_is_asked_once_and_not_shown(secure, site, certificate, tmp_path):
    """On a real terminal: licence and log-in once for two files of one site, the password not echoed."""
    command = [sys.executable, "-c", DRIVER, secure.url(""), PATH, "assets", "get", "model", "female"]
    shown = on_a_terminal(
        command,
        environment(tmp_path, certificate),
        [(b"accept this licence", b"y"), (b"User name", USER.encode()), (b"Password", PASSWORD.encode())],
    )
    assert PASSWORD not in shown and f"Log-in for {secure.url('')}" in shown
    folder = tmp_path / "xdg-data" / "facecli" / "assets"
    assert (folder / "model.pkl").read_bytes() == MODEL and (folder / "female.pkl").read_bytes() == b"\x80\x02f"
    assert site.methods == ["POST", "POST"] and shown.count("Password") == 1 == shown.count("accept this licence")
    nowhere_below(tmp_path)


def on_a_terminal(command: list[str], env: dict[str, str], answers: list[tuple[bytes, bytes]]) -> str:
    """Run `command` in a terminal of its own, answer each prompt when it comes; all that the terminal showed."""
    import pty
    import select

    process, terminal = pty.fork()
    if not process:
        os.execve(command[0], command, env)
    shown, waiting, deadline = b"", list(answers), time.monotonic() + 60
    while time.monotonic() < deadline:
        if not select.select([terminal], [], [], 1)[0]:
            continue
        try:
            piece = os.read(terminal, 4096)
        except OSError:  # Linux's word for the end
            break
        if not piece:
            break
        shown += piece
        if waiting and waiting[0][0] in shown:
            time.sleep(0.2)  # the echo is switched off after the prompt is written
            os.write(terminal, waiting.pop(0)[1] + b"\n")
    os.close(terminal)
    _, status = os.waitpid(process, 0)
    assert os.waitstatus_to_exitcode(status) == 0, shown.decode(errors="replace")
    assert not waiting
    return shown.decode()
