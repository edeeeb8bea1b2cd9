"""A video as an animated GIF: few colours, so small pictures and few of them."""

from __future__ import annotations

import subprocess
from pathlib import Path

import imageio_ffmpeg

from facecli.errors import OutputError
from facecli.io.atomic import atomic_write
from facecli.io.video import VideoReader

MOST_SECONDS, MOST_WIDTH, MOST_RATE = 20.0, 960, 15


def write_gif(
    video: str | Path, path: str | Path, *, width: int = MOST_WIDTH, rate: float | None = None
) -> float | None:
    """Write the first seconds of `video` (facecli's own mp4) as a GIF that begins again and again.

    Args:
        width: pixels, at most. rate: pictures a second; None: the video's, at most 15.

    Returns:
        the seconds it was cut to, None if all are in.

    Raises:
        OutputError: it can't be written.
    """
    with VideoReader(video) as reader:
        count, shown = reader.frame_count_hint or 0, float(reader.average_rate)
    seconds = count / shown if shown else 0.0
    rate = min(shown, MOST_RATE) if rate is None else rate
    # The palette is made of all pictures, most of the parts that change; the pattern of dots stands still.
    graph = (
        f"fps={rate:.4f},scale='min({width},iw)':-1:flags=area,split[a][b];"
        "[a]palettegen=stats_mode=diff[p];[b][p]paletteuse=dither=bayer:bayer_scale=3:diff_mode=rectangle"
    )
    with atomic_write(path) as temporary:
        done = subprocess.run(
            [imageio_ffmpeg.get_ffmpeg_exe(), "-y", "-hide_banner", "-loglevel", "error", "-t", str(MOST_SECONDS),
             "-i", f"file:{video}", "-an", "-filter_complex", graph, "-loop", "0", "-f", "gif", f"file:{temporary}"],
            stdin=subprocess.DEVNULL, capture_output=True, restore_signals=False,
        )  # fmt: skip
        if done.returncode:
            words = done.stderr.decode(errors="replace").strip().splitlines() or ["no reason given"]
            raise OutputError(f"{path}: ffmpeg can't write it: {words[-1]}")
    return MOST_SECONDS if seconds > MOST_SECONDS + 0.1 else None
