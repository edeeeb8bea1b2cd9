"""One file over HTTP into a ``.part`` file that a later call goes on with.

On requests (proxies, redirects, certificates, connection reuse are its business). Pooch, which the ecosystem knows for
this, can neither resume nor retry a transfer that broke off, and would leave us writing its downloader.
"""

from __future__ import annotations

import contextlib
import errno
import json
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

from facecli.errors import MissingAssetError, OutputError

if TYPE_CHECKING:
    import requests

    from facecli.assets.login import Credentials

Progress = Callable[[int, int | None], None]
"""Called with the bytes that are there and those there will be (None: the server doesn't say)."""
Note = Callable[[str], None]
"""Called with a line for the user."""

CONNECT_TIMEOUT = 15.0  # seconds
READ_TIMEOUT = 60.0  # seconds without a byte
STALLS = 5  # attempts in a row that bring nothing worth mentioning
FIRST_PAUSE = 0.5  # seconds before the second attempt, doubled for each further one
LONGEST_PAUSE = 15.0
_WORTH_MENTIONING = 1 << 20  # bytes beyond the farthest point so far
_CHUNK = 1 << 16
_TRY_AGAIN = {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS}
_REFUSED = {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}
_REDIRECTS = {301, 302, 303, 307, 308}
_SAME_REQUEST = {307, 308}  # redirects that want the form sent again; the others want a plain GET
_MOST_REDIRECTS = 5


class FetchError(MissingAssetError):
    """A file could not be fetched: no connection, refused, or not what it should be."""


class LoginRefusedError(FetchError):
    """The site doesn't let the log-in pass. Trying it again helps nobody, and may lock the account."""


class _BrokeOffError(Exception):
    """This attempt failed in a way that the next one may not."""


@dataclass(frozen=True)
class Job:
    """One download.

    Args:
        url: http or https.
        part: where the bytes go; what is there already is continued, if it is of the same edition.
        size: the length, where known.
        hashed: the result will be checked by a hash or its beginning, so that a part can be continued without the
            server's word (ETag) on its edition.
        tamper_proof: it will be checked by a whole hash, so that an unencrypted way can't slip in anything.
        credentials: the log-in that `url` wants as a form; sent over https to the host of `url` only.
        login_site: the page of that log-in, for messages.
    """

    url: str
    part: Path
    size: int | None = None
    hashed: bool = False
    tamper_proof: bool = False
    credentials: Credentials | None = field(default=None, repr=False)
    login_site: str = ""

    @property
    def host(self) -> str:
        return urlsplit(self.url).netloc

    @property
    def state(self) -> Path:
        """Beside the part: which edition it is of."""
        return self.part.with_name(self.part.name + ".json")

    @property
    def have(self) -> int:
        """Bytes in the part."""
        return self.part.stat().st_size if self.part.exists() else 0

    def discard(self) -> None:
        """Remove the part and what belongs to it."""
        for path in (self.part, self.state):
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)


def download(job: Job, progress: Progress | None = None, note: Note | None = None) -> None:
    """Bring `job.part` to its full length, over as many connections as that takes.

    Gives up after `STALLS` attempts in a row without progress; the part stays for the next call.

    Raises:
        FetchError: no connection, refused, broken off too often, a web page instead of a file, or a log-in that would
            leave its site or go unencrypted.
        LoginRefusedError: the site refuses the log-in.
        OutputError: the disk is full or the folder not writable.
    """
    import requests

    if job.credentials and urlsplit(job.url).scheme != "https":
        raise FetchError(f"{job.url}: a log-in is sent over https only; nothing was sent")
    if urlsplit(job.url).scheme.lower() not in ("http", "https"):
        raise FetchError(
            f"{job.url}: is no http or https address (of a folder, `facecli assets import` takes what models need, and "
            "FACECLI_ASSETS has it found where it is)"
        )
    stalls, farthest = 0, job.have
    with requests.Session() as session:
        session.headers["User-Agent"] = "facecli"
        while True:
            try:
                return _attempt(session, job, progress)
            except _BrokeOffError as broken:
                stalls = 0 if job.have >= farthest + _WORTH_MENTIONING else stalls + 1
                farthest = max(farthest, job.have)
                if stalls >= STALLS:
                    raise FetchError(_gave_up(job, broken)) from broken
                if note:
                    note(f"{job.part.stem}: {broken}; trying again")
                time.sleep(min(FIRST_PAUSE * 2**stalls, LONGEST_PAUSE))


def _gave_up(job: Job, broken: _BrokeOffError) -> str:
    have, _ = _resume_point(job)
    kept = f"; {have:,} bytes are kept, the same command goes on from there" if have else ""
    return f"{job.url}: {broken}, {STALLS} times in a row{kept}"


def _attempt(session: requests.Session, job: Job, progress: Progress | None) -> None:
    """One connection. Raises _BrokeOffError when another one may do better."""
    offset, validator = _resume_point(job)
    if job.size is not None and offset == job.size:
        return
    headers = {"Accept-Encoding": "identity"}  # lengths and ranges are those of the file, not of a packed form
    if offset:
        headers["Range"] = f"bytes={offset}-"
        if validator:
            headers["If-Range"] = validator
    with _request(session, job, headers) as response:
        if response.status_code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            job.discard()
            raise _BrokeOffError("the server has no such continuation")
        _refuse_bad_answer(job, response)
        offset = _offset_of(job, response, offset)
        total = _total(response, offset)
        _save_state(job, response)
        _receive(job, response, offset, total, progress)
    expected = total if job.size is None else job.size
    if expected is not None and job.have < expected:
        raise _BrokeOffError(_broke_off(job.have, expected))


def _resume_point(job: Job) -> tuple[int, str]:
    """Where to go on, and the server's name of the edition that the part is of. Discards what can't be continued."""
    have = job.have
    if not have:
        return 0, ""
    state: Any = {}
    with contextlib.suppress(OSError, ValueError):
        state = json.loads(job.state.read_text())
    validator = state.get("validator", "") if isinstance(state, dict) and state.get("url") == job.url else ""
    too_long = job.size is not None and have > job.size
    if too_long or not (validator or job.hashed):
        job.discard()
        return 0, ""
    return have, validator


def _save_state(job: Job, response: requests.Response) -> None:
    etag = response.headers.get("ETag", "")
    # A weak ETag promises the same meaning, not the same bytes.
    validator = etag if etag and not etag.startswith("W/") else response.headers.get("Last-Modified", "")
    with _writing(job):
        job.state.write_text(json.dumps({"url": job.url, "validator": validator}))


def _request(session: requests.Session, job: Job, headers: dict[str, str]) -> requests.Response:
    import requests

    try:
        if job.credentials:
            return _request_logged_in(session, job, headers)
        return session.get(job.url, headers=headers, stream=True, timeout=(CONNECT_TIMEOUT, READ_TIMEOUT))
    except requests.exceptions.SSLError as error:
        raise FetchError(
            f"{job.url}: {_reason(error)} (a proxy with its own certificate? see REQUESTS_CA_BUNDLE)"
        ) from error
    except requests.exceptions.ConnectionError as error:
        if _never_connected(error):
            raise FetchError(_no_connection(job, error)) from error
        raise _BrokeOffError(f"{job.host} hung up") from error
    except requests.exceptions.Timeout as error:
        raise _BrokeOffError(f"{job.host} doesn't answer") from error
    except (requests.exceptions.RequestException, ValueError) as error:  # malformed addresses, endless redirects
        raise FetchError(f"{job.url}: {_reason(error)}") from error


def _request_logged_in(session: requests.Session, job: Job, headers: dict[str, str]) -> requests.Response:
    """Send the form, and follow redirects by hand: the form goes to the host that it is for, and nothing goes
    unencrypted. requests itself would send it on to whatever host a redirect 307 or 308 names."""
    url, form = job.url, job.credentials.form()
    for _ in range(_MOST_REDIRECTS + 1):
        how = {"headers": headers, "stream": True, "timeout": (CONNECT_TIMEOUT, READ_TIMEOUT), "allow_redirects": False}
        response = session.post(url, data=form, **how) if form else session.get(url, **how)
        if response.status_code not in _REDIRECTS or "Location" not in response.headers:
            return response
        target = urljoin(url, response.headers["Location"])
        response.close()
        if urlsplit(target).scheme != "https":
            raise FetchError(f"{job.url}: leads to an unencrypted address ({_host(target)}); nothing was sent there")
        if response.status_code not in _SAME_REQUEST:
            form = None
        elif form and _host(target) != _host(job.url):
            raise FetchError(f"{job.url}: wants the log-in sent on to {_host(target)}; nothing was sent there")
        url = target
    raise FetchError(f"{job.url}: leads from address to address without end")


def _host(url: str) -> str:
    """Host and port, the latter even where it goes without saying."""
    parts = urlsplit(url)
    return f"{parts.hostname}:{parts.port or {'https': 443}.get(parts.scheme, 80)}"


def _never_connected(error: Exception) -> bool:
    """No network, no such host, or nobody there: not worth waiting for, unlike a connection that broke."""
    from urllib3.exceptions import MaxRetryError, NewConnectionError, ProxyError

    cause = error.args[0] if error.args else None
    return isinstance(cause, MaxRetryError) and isinstance(cause.reason, NewConnectionError | ProxyError)


def _no_connection(job: Job, error: Exception) -> str:
    return (
        f"{job.url}: no connection to {job.host}: {_reason(error)} (are you online? behind a proxy set HTTPS_PROXY; "
        f"or fetch the file on another machine and run `facecli assets import FILE`)"
    )


def _reason(error: BaseException) -> str:
    """The innermost words of requests' nested errors, on one line."""
    while True:
        inner = getattr(error, "reason", None) or next((a for a in error.args if isinstance(a, BaseException)), None)
        if not isinstance(inner, BaseException):
            break
        error = inner
    if isinstance(error.__cause__, OSError):
        error = error.__cause__
    text = getattr(error, "strerror", None) or str(error)
    return " ".join(str(text).split())


def _refuse_bad_answer(job: Job, response: requests.Response) -> None:
    status = response.status_code
    if status in _TRY_AGAIN or status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        raise _BrokeOffError(f"{job.host} says {status} {response.reason}")
    web_page = response.headers.get("Content-Type", "").startswith("text/html")
    if job.credentials and (status in _REFUSED or (web_page and "Content-Disposition" not in response.headers)):
        raise LoginRefusedError(refused_login(job))
    if status in _REFUSED:
        raise FetchError(f"{job.url}: {job.host} refuses it: {status} {response.reason} (it may want a log-in)")
    if status not in (HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT):
        raise FetchError(f"{job.url}: {job.host} doesn't have it: {status} {response.reason}")
    if web_page and not job.credentials:
        raise FetchError(
            f"{job.url}: {job.host} gives a web page instead of the file (a log-in, a proxy, or the file has moved)"
        )
    way = [*response.history, response]
    encrypted = [urlsplit(step.url).scheme == "https" for step in way]
    if not job.tamper_proof and encrypted[0] and not all(encrypted):
        raise FetchError(f"{job.url}: leads to an unencrypted address, and no whole hash is known to check the file by")


def refused_login(job: Job) -> str:
    """The line for a log-in that the site doesn't let pass."""
    site = job.login_site or job.host
    return f"the site refuses this log-in, or you have not accepted its licence there: {site}"


def _offset_of(job: Job, response: requests.Response, asked: int) -> int:
    """Where the answer begins: at what was asked for, or at 0 from a server that can't (or won't) go on there."""
    if response.status_code == HTTPStatus.OK:
        return 0
    start = response.headers.get("Content-Range", "").removeprefix("bytes ").split("-")[0]
    if start != str(asked):
        job.discard()
        raise _BrokeOffError("the server sent another piece than it was asked for")
    return asked


def _total(response: requests.Response, offset: int) -> int | None:
    """The file's length by the server's word, or None."""
    length = response.headers.get("Content-Length", "")
    return offset + int(length) if length.isdecimal() else None


def _receive(job: Job, response: requests.Response, offset: int, total: int | None, progress: Progress | None) -> None:
    """Write the answer's body behind the first `offset` bytes of the part."""
    import urllib3.exceptions

    have = offset
    expected = total if job.size is None else job.size
    with _writing(job), job.part.open("ab" if offset else "wb") as file:
        stream = response.raw.stream(_CHUNK, decode_content=False)
        while True:
            try:
                chunk = next(stream, b"")
            except urllib3.exceptions.HTTPError as error:
                raise _BrokeOffError(_broke_off(have, expected)) from error
            if not chunk:
                return
            have += len(chunk)
            if job.size is not None and have > job.size:
                job.discard()
                raise FetchError(f"{job.url}: {job.host} sends more than the {job.size:,} bytes that the file has")
            file.write(chunk)
            if progress:
                progress(have, expected)


def _broke_off(have: int, expected: int | None) -> str:
    return f"broke off at {have:,} of {expected:,} bytes" if expected else f"broke off at {have:,} bytes"


@contextlib.contextmanager
def _writing(job: Job) -> Iterator[None]:
    """Failures of the disk inside become one line."""
    try:
        yield
    except OSError as error:
        raise disk_error(job.part, error) from error


def disk_error(path: Path, error: OSError) -> OutputError:
    """The one line for a failed write of `path`."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return OutputError(f"{path}: the disk is full (make room and run the same command: it goes on from there)")
    reason = error.strerror or str(error)
    return OutputError(f"{path}: can't be written: {reason} (say --to FOLDER, and name that folder in FACECLI_ASSETS)")


def check_room(folder: Path, needed: int) -> None:
    """Refuse to start what can't fit.

    Raises:
        OutputError: fewer than `needed` bytes are free.
    """
    with contextlib.suppress(OSError):
        if (free := shutil.disk_usage(folder).free) < needed:
            raise OutputError(
                f"{folder}: {needed:,} bytes are needed, {free:,} are free (make room, or say --to FOLDER)"
            )
