"""`facecli reconstruct`: photographs, videos and lists to meshes, codes and pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from facecli.cli import console, options
from facecli.cli.progress import Progress


def reconstruct(
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="INPUT…",
            help="Pictures, videos, folders, globs, codes.npz; - reads a list, one path a line, from standard input.",
            show_default=False,
        ),
    ],
    output: options.Output = Path("facecli-out"),
    model: Annotated[
        str | None,
        typer.Option(
            "--model",
            "-m",
            help="See `facecli models`. (default: open or mediapipe; of codes, their own)",
            show_default=False,
        ),
    ] = None,
    option: Annotated[
        list[str] | None,
        typer.Option(
            "--option", "-O", metavar="NAME=VALUE", help="An option of the model's own, see `facecli models MODEL`."
        ),
    ] = None,
    save: Annotated[
        list[str] | None,
        typer.Option(
            help="What to write: obj, glb, ply, codes, json, overlay, depth, normals, crop, detail, arkit, or all of "
            "these; the names of the model's own pictures (see `facecli models MODEL`), or pictures for all of them; "
            "comma-separated. (default: obj,glb,codes,json,overlay; of a video glb,codes,json,overlay)",
            show_default=False,
        ),
    ] = None,
    layout: Annotated[
        str | None,
        typer.Option(help="Files named and made as the model's own program does; --save then takes its words."),
    ] = None,
    render_orig: Annotated[
        bool,
        typer.Option("--render-orig", "--render_orig", help="The model's own pictures at the photograph's size, too."),
    ] = False,
    faces: Annotated[
        str | None,
        typer.Option(
            help="all, largest, or the N largest of each picture. (default: all; with --same-person largest)",
            show_default=False,
        ),
    ] = None,
    same_person: Annotated[
        bool,
        typer.Option(
            "--same-person",
            help="All inputs show one person (the largest face of each), who gets one identity (the model's constants) "
            "from all of them. Reads everything twice.",
        ),
    ] = False,
    no_crop: Annotated[
        bool, typer.Option("--no-crop", help="Each picture is the model's crop already: one face that fills it.")
    ] = False,
    photo: Annotated[
        Path | None, typer.Option(help="The photograph or video that codes belong on. (default: black)")
    ] = None,
    uv_map: Annotated[
        Path | None,
        typer.Option(
            "--uv-map",
            help="Textures instead of the photograph's, for synergynet: a UV map for all faces, or a folder of maps by "
            "the pictures' names. The same as --option uv_map=PATH.",
            show_default=False,
        ),
    ] = None,
    recursive: options.Recursive = False,
    smooth: options.Smooth = False,
    smooth_with: options.SmoothWith = None,
    smooth_window: options.SmoothWindow = 0.3,
    hold: options.Hold = None,
    landmarker: options.Landmarker = None,
    detector: options.Detector = None,
    confidence: options.Confidence = None,
    texture_size: options.TextureSize = 0,
    device: options.Device = "auto",
    rasterizer: options.Rasterizer = "auto",
    batch_size: options.BatchSize = 0,
    workers: options.Workers = None,
    report: Annotated[bool, typer.Option("--report", help="Also write report.html, which opens offline.")] = False,
    json: options.Json = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Do finished inputs again.")] = False,
    quiet: options.Quiet = False,
) -> None:
    """Turn faces into textured 3D meshes, largest first, with pose, codes and overlays.

    Each input gets a folder below the output folder, with a folder a face (a person, in a video) in it. What is
    finished is not done again by the next run; a video goes on where it was stopped. A codes.npz of an earlier run is
    decoded and drawn again.

    Example: facecli reconstruct photo.jpg holiday/ clip.mp4 -o out --report
    """
    from facecli.errors import EXIT_SOME_FAILED
    from facecli.reconstruction.settings import Settings, parse_options

    settings = Settings(
        model=model,
        options=parse_options([*(option or []), *([] if uv_map is None else [f"uv_map={uv_map}"])]),
        save=tuple(save or ()),
        layout=layout,
        in_photo=render_orig,
        faces=faces,
        same_person=same_person,
        crop=not no_crop,
        landmarker=landmarker,
        detector=detector,
        confidence=confidence,
        device=device,
        rasterizer=rasterizer,
        texture_size=texture_size,
        smooth=smooth,
        smooth_with=smooth_with,
        smooth_window=smooth_window,
        hold=tuple(hold or ()),
        photo=None if photo is None else str(photo),
        batch_size=batch_size,
        workers=workers,
    )
    sources, total = _sources(inputs, recursive, output)
    tally = Tally(json=json)
    with Progress("inputs", total, quiet) as progress:
        _run(sources, output, settings, overwrite, report, tally, progress, quiet)
    if not quiet:
        console.say(tally.summary(output))
    if tally.failed:
        raise typer.Exit(EXIT_SOME_FAILED)


def _sources(inputs: list[str], recursive: bool, output: Path):
    """The sources and, unless they come as a list on standard input, their number."""
    from facecli.io.sources import expand_sources

    sources = expand_sources(inputs, recursive=recursive, exclude=[output])
    if "-" in inputs:
        return sources, None
    listed = list(sources)
    return listed, len(listed)


def _run(sources, output, settings, overwrite, with_report, tally, progress, quiet) -> None:
    from facecli.reconstruction.events import FrameDone, InputDone, Remark
    from facecli.reconstruction.run import reconstruct_files

    report = _Report(output / "report.html") if with_report else None
    events = reconstruct_files(sources, output, settings, overwrite=overwrite)
    try:
        for event in events:
            if isinstance(event, FrameDone):
                progress.frame_done(event.name, event.frame, event.of, event.stage)
                continue
            if isinstance(event, Remark):
                if not quiet:
                    console.say(event.text)
                continue
            if isinstance(event, InputDone):
                tally.input_done(event)
                if event.note:
                    console.warn(f"{event.name}: {event.note}")
                if event.problem:
                    tally.input_failed(event.name, event.problem)
            else:
                tally.input_failed(event.name, event.error)
            if report:
                report.add(event)
            progress.input_done()
    finally:
        events.close()
        if report:
            report.close()


class Tally:
    """Says what became of each input and counts."""

    def __init__(self, json: bool):
        self.json = json
        self.inputs = self.skipped = self.faces = self.failed = 0

    def input_done(self, event) -> None:
        self.inputs += 1
        self.skipped += event.skipped
        for record in event.records:
            self.faces += 1
            if self.json:
                console.emit_json({**record, "input": event.name})

    def input_failed(self, name: str, error) -> None:
        self.failed += 1
        text = str(error)
        console.fail(text if text.startswith(name) else f"{name}: {text}")
        if self.json:
            from facecli.export.face_json import error_record

            console.emit_json(error_record(name, text))

    def summary(self, output: Path) -> str:
        """``3 inputs, 4 faces in out (1 was there already; 1 failed)``."""
        notes = []
        if self.skipped:
            notes.append(f"{self.skipped} done before, --overwrite does them again")
        if self.failed:
            notes.append(f"{self.failed} failed")
        inputs, faces = _count(self.inputs, "input"), _count(self.faces, "face")
        return f"{inputs}, {faces} in {output}" + (f" ({'; '.join(notes)})" if notes else "")


def _count(number: int, word: str) -> str:
    return f"{number} {word}" + ("" if number == 1 else "s")


class _Report:
    """Feeds the HTML page as results come."""

    def __init__(self, path: Path):
        from facecli.export.report import ReportWriter

        self._writer = ReportWriter(path)

    def add(self, event) -> None:
        from facecli import registry
        from facecli.reconstruction.events import InputFailed
        from facecli.reconstruction.report import entries_of

        if isinstance(event, InputFailed):
            self._writer.add_error(event.name, str(event.error))
            return
        if event.problem:
            self._writer.add_error(event.name, event.problem)
        plugin = registry.plugin(event.model)
        licence = f"code {plugin.code_license}, weights {plugin.weights_license}"
        for entry in entries_of(event, event.model, licence):
            self._writer.add(entry)

    def close(self) -> None:
        self._writer.close()
