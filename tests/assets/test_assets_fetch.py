"""Downloads against a server that misbehaves: the file comes whole, or a clear line and nothing under its name."""

from __future__ import annotations

import errno
import io
import multiprocessing
import random
import shutil
import zipfile

import pytest
from badserver import sha256
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from facecli.assets import download, places, store, verify
from facecli.assets.catalogue import Asset
from facecli.errors import MissingAssetError, OutputError

BODY = random.Random(1).randbytes(300_000)


def asset(server, path="/model.bin", body=BODY, **changes) -> Asset:
    facts = {
        "name": "model", "filename": "model.bin", "url": server.url(path), "size": len(body), "sha256": sha256(body),
        "license": "MIT",
    }  # fmt: skip
    return Asset(**(facts | changes))


def left_in_data_folder() -> set[str]:
    folder = places.data_folder()
    return {path.name for path in folder.iterdir() if not path.name.startswith(".")} if folder.exists() else set()


def test_whole_file_with_progress(server):
    server.serve("/model.bin", BODY)
    seen = []
    path = store.fetch(asset(server), progress=lambda have, total: seen.append((have, total)))
    assert path.read_bytes() == BODY
    assert seen[-1] == (len(BODY), len(BODY)) and seen == sorted(seen)
    assert left_in_data_folder() == {"model.bin"}
    assert store.require(asset(server)) == path


def test_present_file_is_not_fetched_again(server):
    behaviour = server.serve("/model.bin", BODY)
    store.fetch(asset(server))
    store.fetch(asset(server))
    assert len(behaviour.requests) == 1


def test_breaking_server_is_resumed_where_it_broke(server):
    behaviour = server.serve("/model.bin", BODY, break_after=80_000)
    notes = []
    assert store.fetch(asset(server), note=notes.append).read_bytes() == BODY
    ranges = [headers.get("Range") for headers in behaviour.requests]
    assert ranges[0] is None and len(ranges) == 4
    assert all(later.startswith("bytes=") and later != "bytes=0-" for later in ranges[1:])
    assert len(notes) == 3 and "broke off at" in notes[0]


def test_next_call_goes_on_where_the_last_gave_up(server, monkeypatch):
    monkeypatch.setattr(download, "STALLS", 1)
    behaviour = server.serve("/model.bin", BODY, break_after=100_000, etag='"a"')
    with pytest.raises(MissingAssetError, match="goes on from there"):
        store.fetch(asset(server))
    assert left_in_data_folder() == {"model.bin.part", "model.bin.part.json"}
    behaviour.break_after = None
    assert store.fetch(asset(server)).read_bytes() == BODY
    assert int(behaviour.requests[1]["Range"].removeprefix("bytes=").rstrip("-")) > 0


def test_other_edition_on_the_server_is_begun_anew(server, monkeypatch):
    monkeypatch.setattr(download, "STALLS", 1)
    unhashed = {"size": None, "sha256": ""}
    server.serve("/model.bin", b"x" * 200_000, break_after=100_000, etag='"old"')
    with pytest.raises(MissingAssetError):
        store.fetch(asset(server, **unhashed))
    server.serve("/model.bin", BODY, etag='"new"')
    assert store.fetch(asset(server, **unhashed)).read_bytes() == BODY


def test_part_of_unknown_origin_that_spoils_the_hash_is_begun_anew(server):
    places.data_folder().mkdir(parents=True)
    (places.data_folder() / "model.bin.part").write_bytes(b"x" * 1000)
    server.serve("/model.bin", BODY)
    assert store.fetch(asset(server)).read_bytes() == BODY


def test_server_without_ranges_is_given_up_after_bounded_attempts(server):
    behaviour = server.serve("/model.bin", BODY, break_after=100_000, ranges=False)
    with pytest.raises(MissingAssetError, match=r"broke off at .* of 300,000 bytes, 5 times in a row"):
        store.fetch(asset(server))
    assert len(behaviour.requests) == download.STALLS
    assert "model.bin" not in left_in_data_folder()


def test_server_without_ranges_that_recovers(server):
    behaviour = server.serve("/model.bin", BODY, break_after=100_000, ranges=False)

    def recover(_note):
        behaviour.break_after = None

    assert store.fetch(asset(server), note=recover).read_bytes() == BODY


def test_wrong_piece_is_not_glued_on(server):
    behaviour = server.serve("/model.bin", BODY, break_after=100_000, wrong_piece=True, etag='"a"')

    def recover(note):
        if "another piece" in note:
            behaviour.break_after = None

    assert store.fetch(asset(server, sha256=""), note=recover).read_bytes() == BODY


@pytest.mark.parametrize("claim", [len(BODY) + 5000, len(BODY) - 5000])
def test_lie_about_length_is_seen_through_where_the_size_is_known(server, claim):
    server.serve("/model.bin", BODY, claimed_length=claim)
    assert store.fetch(asset(server)).read_bytes() == BODY


def test_too_long_promise_without_known_size_leaves_nothing(server):
    server.serve("/model.bin", BODY, claimed_length=len(BODY) + 5000)
    with pytest.raises(MissingAssetError, match="times in a row"):
        store.fetch(asset(server, size=None, sha256=""))
    assert "model.bin" not in left_in_data_folder()


def test_length_less_answer(server):
    server.serve("/model.bin", BODY, no_length=True)
    assert store.fetch(asset(server, size=None)).read_bytes() == BODY


def test_wrong_bytes_are_deleted_and_both_hashes_named(server):
    wrong = bytes(len(BODY))
    server.serve("/model.bin", wrong)
    with pytest.raises(MissingAssetError) as caught:
        store.fetch(asset(server))
    text = str(caught.value)
    assert sha256(wrong) in text and sha256(BODY) in text and "\n" not in text
    assert left_in_data_folder() == set()


def test_wrong_bytes_fail_the_short_hash_of_torch_hub(server):
    server.serve("/model.bin", bytes(1000))
    with pytest.raises(MissingAssetError, match="expected 619a316812…"):
        store.fetch(asset(server, size=None, sha256="619a316812"))
    assert left_in_data_folder() == set()


def test_more_bytes_than_the_file_has_are_refused(server):
    server.serve("/model.bin", BODY + b"tail")
    with pytest.raises(MissingAssetError, match="sends more than the 300,000 bytes"):
        store.fetch(asset(server))
    assert left_in_data_folder() == set()


@pytest.mark.parametrize("content_type", ["text/html; charset=utf-8", "application/octet-stream"])
def test_web_page_instead_of_the_file(server, content_type):
    server.serve("/model.bin", b"<!DOCTYPE html><html>Please log in</html>", content_type=content_type)
    with pytest.raises(MissingAssetError, match="web page"):
        store.fetch(asset(server, size=None, sha256=""))
    assert left_in_data_folder() == set()


def test_cut_archive_without_known_hash_is_noticed(server):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("face_detector.tflite", BODY)
    task = asset(server, "/x.task", filename="x.task", size=None, sha256="")
    server.serve("/x.task", packed.getvalue()[:-100])
    with pytest.raises(MissingAssetError, match="no whole archive"):
        store.fetch(task)
    server.serve("/x.task", packed.getvalue())
    assert store.fetch(task).read_bytes() == packed.getvalue()


@pytest.mark.parametrize(("status", "words"), [(404, "doesn't have it: 404"), (403, "refuses it: 403"), (410, "410")])
def test_refusals_are_final(server, status, words):
    behaviour = server.serve("/model.bin", BODY, statuses=[status] * 9)
    with pytest.raises(MissingAssetError, match=words) as caught:
        store.fetch(asset(server))
    assert server.url("/model.bin") in str(caught.value) and caught.value.exit_code == 3
    assert len(behaviour.requests) == 1


def test_busy_server_is_asked_again(server):
    behaviour = server.serve("/model.bin", BODY, statuses=[503, 429])
    assert store.fetch(asset(server)).read_bytes() == BODY
    assert len(behaviour.requests) == 3


def test_redirects_are_followed(server):
    server.serve("/model.bin", BODY)
    server.serve("/old", b"", redirect="/model.bin")
    assert store.fetch(asset(server, "/old")).read_bytes() == BODY


@pytest.mark.parametrize("target", ["/loop", "file:///etc/hostname"])
def test_senseless_redirects_are_one_line(server, target):
    server.serve("/loop", b"", redirect=target)
    with pytest.raises(MissingAssetError) as caught:
        store.fetch(asset(server, "/loop"))
    assert "\n" not in str(caught.value) and left_in_data_folder() == set()


def test_slow_server_is_waited_for(server):
    server.serve("/model.bin", BODY[:8192], pause=0.05)
    assert store.fetch(asset(server, body=BODY[:8192])).read_bytes() == BODY[:8192]


def test_silent_server_is_not_waited_for(server, monkeypatch):
    monkeypatch.setattr(download, "READ_TIMEOUT", 0.1)
    monkeypatch.setattr(download, "STALLS", 2)
    server.serve("/model.bin", BODY, pause=3)
    with pytest.raises(MissingAssetError, match="2 times in a row"):
        store.fetch(asset(server))


@pytest.mark.parametrize("host", ["127.0.0.1:9", "facecli.invalid"])
def test_no_network_is_said_at_once(server, host):
    with pytest.raises(MissingAssetError, match=f"no connection to {host}: .*assets import") as caught:
        store.fetch(asset(server, url=f"http://{host}/model.bin"))
    assert "\n" not in str(caught.value) and "object at 0x" not in str(caught.value)


def test_full_disk_keeps_what_came(server, monkeypatch):
    server.serve("/model.bin", BODY, break_after=100_000)
    real, calls = download._receive, []

    def disk_full_second_time(job, *args):
        calls.append(job)
        if len(calls) == 2:
            with download._writing(job):
                raise OSError(errno.ENOSPC, "No space left on device")
        return real(job, *args)

    monkeypatch.setattr(download, "_receive", disk_full_second_time)
    with pytest.raises(OutputError, match="disk is full"):
        store.fetch(asset(server))
    assert "model.bin" not in left_in_data_folder() and "model.bin.part" in left_in_data_folder()
    assert store.fetch(asset(server)).read_bytes() == BODY


def test_what_cannot_fit_is_not_begun(server):
    behaviour = server.serve("/model.bin", BODY)
    with pytest.raises(OutputError, match="bytes are needed"):
        store.fetch(asset(server, size=10**18))
    assert not behaviour.requests


def test_unwritable_folder_is_one_line(server, tmp_path):
    (tmp_path / "blocked").write_text("a file where the folder should be")
    with pytest.raises(OutputError, match="can't be written"):
        store.fetch(asset(server), folder=tmp_path / "blocked")


def test_mirror_comes_first_and_the_publisher_next(server, monkeypatch):
    official = server.serve("/model.bin", BODY)
    mirrored = server.serve("/mirror/model.bin", BODY)
    monkeypatch.setenv(places.MIRROR_VARIABLE, server.url("/mirror/"))
    store.fetch(asset(server)).unlink()
    assert (len(mirrored.requests), len(official.requests)) == (1, 0)
    del server.paths["/mirror/model.bin"]
    store.fetch(asset(server)).unlink()
    assert len(official.requests) == 1
    server.serve("/mirror/model.bin", BODY)
    store.fetch(asset(server, url="", register="a page"))  # an institute's mirror may hold registered files too


@pytest.mark.parametrize("scheme", ["", "file://"])
def test_a_folder_is_no_mirror(server, monkeypatch, tmp_path, scheme):
    official = server.serve("/model.bin", BODY)
    monkeypatch.setenv(places.MIRROR_VARIABLE, f"{scheme}{tmp_path}")
    with pytest.raises(MissingAssetError, match=r"is no http or https address \(of a folder, .* FACECLI_ASSETS has it"):
        store.fetch(asset(server, url=""))
    store.fetch(asset(server))
    assert len(official.requests) == 1


def test_member_of_an_archive(server):
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("pack/model.bin", BODY)
        archive.writestr("pack/readme.txt", "x" * 1000)
    server.serve("/pack.zip", packed.getvalue())
    path = store.fetch(asset(server, "/pack.zip", member="pack/model.bin"))
    assert path.read_bytes() == BODY and left_in_data_folder() == {"model.bin"}
    path.unlink()
    with pytest.raises(MissingAssetError, match="holds no pack/other"):
        store.fetch(asset(server, "/pack.zip", member="pack/other.bin"))
    assert left_in_data_folder() == set()


def _fetch_elsewhere(wanted, folder, cache, results):
    verify.cache_folder = lambda: cache
    results.put(store.fetch(wanted, folder=folder).read_bytes() == BODY)


def test_two_processes_at_once_share_one_download(server):
    behaviour = server.serve("/model.bin", BODY, pause=0.002)
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    arguments = (asset(server), places.data_folder(), verify.cache_folder(), results)
    processes = [context.Process(target=_fetch_elsewhere, args=arguments) for _ in range(2)]
    for process in processes:
        process.start()
    assert [results.get(timeout=30) for _ in processes] == [True, True]
    for process in processes:
        process.join()
    assert len(behaviour.requests) == 1 and left_in_data_folder() == {"model.bin"}


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    length=st.integers(1, 5000),
    break_after=st.none() | st.integers(1, 3000),
    lie=st.integers(-100, 100),
    ranges=st.booleans(),
    flip=st.booleans(),
)
def test_never_a_broken_file_under_the_name(server, length, break_after, lie, ranges, flip):
    """Whatever the server does: the right bytes, or an error and nothing."""
    body = BODY[:length]
    sent = bytes([body[0] ^ 1]) + body[1:] if flip else body
    server.serve("/model.bin", sent, break_after=break_after, claimed_length=max(length + lie, 0), ranges=ranges)
    final = places.data_folder() / "model.bin"
    shutil.rmtree(places.data_folder(), ignore_errors=True)  # what the last example left would be continued
    try:
        assert store.fetch(asset(server, body=body)).read_bytes() == body
    except MissingAssetError:
        assert not final.exists()
    else:
        assert not flip
