"""Landmarkers cost memory: a run makes as many as it has detecting threads, however many inputs it has."""

from __future__ import annotations

from facecli.io.sources import expand_sources
from facecli.reconstruction.run import InputDone, Streams, reconstruct_files
from facecli.reconstruction.settings import Settings


def settings(**further) -> Settings:
    return Settings(model="tiny", landmarker="blobs", save=("codes",), workers=2, **further)


def test_videos_of_two_passes_share_landmarkers(tiny, tmp_path):
    for number in range(4):
        tiny.write_clip(tmp_path / f"{number}.mp4", 4, lambda _: [(80, 60, 20, 26)])
    chosen = settings(hold=("auto",))
    streams = Streams(chosen)
    events = reconstruct_files(expand_sources([str(tmp_path)]), tmp_path / "out", chosen, streams=streams)
    done = [event for event in events if isinstance(event, InputDone)]
    assert [len(list(event.records)) > 0 for event in done] == [True] * 4
    assert 1 <= len(streams("tiny")._landmarkers) <= 2
    streams.close()


def test_loaded_models_serve_several_runs(tiny, tmp_path):
    from facecli.io.images import write_image

    photo = tmp_path / "photo.png"
    write_image(photo, tiny.picture([(80, 60, 20, 26)]))
    streams = Streams(settings())
    for name in ("first", "second"):
        (done,) = reconstruct_files(expand_sources([str(photo)]), tmp_path / name, settings(), streams=streams)
        assert isinstance(done, InputDone) and (tmp_path / name / "photo/face0/codes.npz").exists()
    assert len(streams("tiny")._landmarkers) <= 2
    streams.close()
