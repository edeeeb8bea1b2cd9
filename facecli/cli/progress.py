"""A progress bar with rate and time left on a terminal; elsewhere a plain line now and then."""

from __future__ import annotations

import time

from facecli.cli import console

PLAIN_EVERY_SECONDS = 10.0


class Progress:
    """Counts inputs, and the frames of a video in work.

    Args:
        unit: "inputs", "pictures", …
        total: number of inputs, None while unknown (a list on standard input).
        quiet: show nothing.
    """

    def __init__(self, unit: str = "inputs", total: int | None = None, quiet: bool = False):
        self.unit, self.total = unit, total
        self.done = self.frames = 0
        self._start = self._said = time.monotonic()
        self._bar = None if quiet or not console.stderr_console().is_terminal else self._make_bar()
        self._plain = not quiet and self._bar is None

    def _make_bar(self):
        from rich import progress

        class Rate(progress.ProgressColumn):
            def render(self, task):
                from rich.text import Text

                speed = task.finished_speed or task.speed
                return Text(f"{speed:.1f}/s" if speed else "", style="progress.data.speed")

        return progress.Progress(
            progress.TextColumn("{task.description}"),
            progress.BarColumn(),
            progress.MofNCompleteColumn(),
            Rate(),
            progress.TimeElapsedColumn(),
            progress.TextColumn("left"),
            progress.TimeRemainingColumn(),
            console=console.stderr_console(),
            redirect_stdout=False,  # --json goes to stdout, not where the bar is
            transient=True,
        )

    def __enter__(self) -> Progress:
        if self._bar is not None:
            self._bar.start()
            self._inputs = self._bar.add_task(self.unit, total=self.total)
            self._video = None
        return self

    def __exit__(self, *_) -> None:
        if self._bar is not None:
            self._bar.stop()

    def input_done(self) -> None:
        """One input more is done (or has failed)."""
        self.done += 1
        if self._bar is not None:
            self._bar.advance(self._inputs)
            if self._video is not None:
                self._bar.remove_task(self._video)
                self._video = None
        self._say_now_and_then()

    def frame_done(self, name: str, frame: int, of: int | None, stage: str = "") -> None:
        """Frame number `frame` (from 0) of `of` of the video `name` is done; `stage`: what was done with it."""
        self.frames += 1
        name = f"{name} ({stage})" if stage else name
        if self._bar is not None:
            if self._video is None:
                self._video = self._bar.add_task(name, total=of)
            self._bar.update(self._video, description=name, completed=frame + 1, total=of)
        self._say_now_and_then(f", frame {frame + 1}" + (f" of {of}" if of else "") + f" of {name}")

    def _say_now_and_then(self, detail: str = "") -> None:
        now = time.monotonic()
        if (
            not self._plain or now - self._said < PLAIN_EVERY_SECONDS or self.done == self.total
        ):  # the end is told anyway
            return
        self._said = now
        seconds = now - self._start
        count = self.frames or self.done
        of = f" of {self.total}" if self.total else ""
        left = ""
        if self.total and self.done and not self.frames:
            left = f", {seconds / self.done * (self.total - self.done):.0f} s left"
        console.say(f"{self.done}{of} {self.unit} done{detail}, {count / seconds:.1f} a second{left}")
