"""`facecli transfer`: one person's face with the expressions of another."""

from __future__ import annotations

import glob
import itertools
import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from facecli.cli import console, options
from facecli.cli.groups import DefaultGroup
from facecli.cli.progress import Progress
from facecli.cli.reconstruct import Tally
from facecli.errors import EXIT_SOME_FAILED, InputError, UsageError

if TYPE_CHECKING:
    from facecli.io.sources import Source

DEFAULT_COMMAND = "expression"
ANIMATION, ALL = "animation", "all"


class ExpressionByDefault(DefaultGroup):
    """`facecli transfer me.jpg --target actor.mp4` means `facecli transfer expression …`."""

    default = DEFAULT_COMMAND


app = typer.Typer(
    cls=ExpressionByDefault,
    help="Give faces the expressions of other faces. Without a second word: expression.",
    no_args_is_help=True,
)


@app.callback()
def _group() -> None:
    """Makes a group of the one command."""


@app.command(DEFAULT_COMMAND)
def expression(
    sources: Annotated[
        list[str],
        typer.Argument(
            metavar="SOURCE…",
            help="Whose faces: pictures, videos, folders, globs, codes.npz; - reads a list from standard input. "
            "Or an avatar: .glb or .gltf with ARKit-named morph targets.",
            show_default=False,
        ),
    ],
    target: Annotated[
        list[str],
        typer.Option(
            "--target", "-t", help="Whose expressions, as SOURCE; may be given several times.", show_default=False
        ),
    ],
    output: options.Output = Path("facecli-out"),
    take: Annotated[
        list[str] | None,
        typer.Option(
            help="Codes that the target gives: expression, jaw, eyelids, eyes, pose, light, texture, …; "
            "comma-separated. (default: expression,jaw,eyelids, as far as both have them)",
            show_default=False,
        ),
    ] = None,
    keep: Annotated[list[str] | None, typer.Option(help="Codes that stay the source's.", show_default=False)] = None,
    model: Annotated[
        str | None,
        typer.Option(
            "--model", "-m", help="Of the sources. (default: open or mediapipe; of codes, theirs)", show_default=False
        ),
    ] = None,
    target_model: Annotated[
        str | None,
        typer.Option(
            help="Of the targets: another model of the same family, or one whose expressions are on the same mesh "
            "(deep3d, synergynet, 3ddfa_v2) and agree. (default: the source's)"
        ),
    ] = None,
    option: Annotated[
        list[str] | None,
        typer.Option("--option", "-O", metavar="NAME=VALUE", help="An option of the model's own."),
    ] = None,
    target_option: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="The same of the target's model.")
    ] = None,
    neutral: Annotated[
        str,
        typer.Option(
            help="The target at rest, for the model mediapipe: auto (a frame of its video), the number of a frame, "
            "a picture or codes, or guess."
        ),
    ] = "auto",
    faces: Annotated[str, typer.Option(help="all, largest, or the N largest of each source.")] = "all",
    target_face: Annotated[
        str, typer.Option(help="largest, or the number of the face (in a video, the person).")
    ] = "largest",
    save: Annotated[
        list[str] | None,
        typer.Option(
            help="What to write: as for `facecli reconstruct`, and animation, the row of pictures. "
            "(default: animation and reconstruct's own)",
            show_default=False,
        ),
    ] = None,
    gif: Annotated[bool, typer.Option("--gif", help="The row of pictures also as animation.gif.")] = False,
    teaser: Annotated[
        bool,
        typer.Option(
            "--teaser", help="Only teaser.gif and teaser.mp4: heads that turn, open the mouth, and take expressions."
        ),
    ] = False,
    loop: Annotated[
        bool, typer.Option("--loop", help="Of two videos a shorter target begins again, instead of ending it.")
    ] = False,
    photo: Annotated[
        Path | None, typer.Option(help="The photograph or video that a source's codes belong on. (default: black)")
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
    json: options.Json = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Do finished pairs again.")] = False,
    quiet: options.Quiet = False,
) -> None:
    """Faces of the sources with the expressions of the targets; every source with every target.

    Identity, texture, light and pose stay the source's. Each pair gets a folder SOURCE/TARGET below the output folder,
    with a folder a face in it. A target video gives an animation: mp4, and a GLB that plays. Avatars get the target's
    ARKit weights, in copies of their files.

    Example: facecli transfer expression me.jpg --target actor.mp4 -o out --gif
    """
    from facecli.reconstruction.settings import Settings, parse_options, split_words
    from facecli.reenactment.choice import Choice

    words = split_words(save or ())
    own = tuple(word for word in words if word != ANIMATION)
    settings = Settings(
        model=model,
        options=parse_options(option or []),
        save=own or (("json",) if words else ()),
        faces=faces,
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
    choice = Choice(
        take=tuple(take or ()),
        keep=tuple(keep or ()),
        target_model=target_model,
        target_options=parse_options(target_option or []),
        target_face=target_face,
        neutral=neutral,
        loop=loop,
        animation=gif or not words or bool({ANIMATION, ALL} & set(words)),
        gif=gif,
    )
    if "-" in sources and "-" in target:
        raise UsageError("standard input is one list: of the sources or of the targets")
    from facecli.reenactment.avatars import is_avatar, transfer_to_avatars

    avatars = [name for name in sources if is_avatar(name) and not _is_pattern(name)]
    if avatars and teaser:
        raise UsageError(f"--teaser is for faces, not for avatars ({avatars[0]})")
    faces_of = [name for name in sources if name not in avatars]
    found, targets, total = _listed(faces_of, target, recursive, output)
    if teaser:
        from facecli.reenactment.teaser import write_teaser

        events, total = write_teaser(found, targets, output, settings, choice, overwrite=overwrite), None
    else:
        from facecli.reenactment.run import transfer_files

        total = None if total is None else total + len(avatars) * len(targets)
        found = _faces_among(found, avatars, listed="-" not in sources)
        wanted = [(transfer_to_avatars, avatars), (transfer_files, found)]
        if "-" in sources:  # the avatars among those that standard input names are known at its end
            wanted.reverse()
        events = (
            event
            for run, given in wanted
            if given
            for event in run(given, targets, output, settings, choice, overwrite=overwrite)
        )
    tally = Tally(json=json)
    with Progress("pairs", total, quiet) as progress:
        _run(events, tally, progress, quiet)
    if not quiet:
        console.say(tally.summary(output).replace("input", "pair", 1) if not teaser else f"teaser in {output}")
    if tally.failed:
        raise typer.Exit(EXIT_SOME_FAILED)


def _is_pattern(name: str) -> bool:
    """Whether it stands for files that the shell did not look for."""
    return glob.has_magic(name) and not os.path.lexists(name)


def _faces_among(found: Iterable[Source | InputError], avatars: list[str], *, listed: bool):
    """What of `found` is no avatar; those go to `avatars`. If not `listed`, as it arrives, from the first one on."""
    from facecli.io.sources import Source
    from facecli.reenactment.avatars import is_avatar

    def faces():
        for item in found:
            if isinstance(item, Source) and is_avatar(item.name):
                avatars.append(item.name)
            else:
                yield item

    if listed:
        return list(faces())
    arriving = faces()
    first = list(itertools.islice(arriving, 1))
    return itertools.chain(first, arriving) if first else []


def _listed(sources: list[str], targets: list[str], recursive: bool, output: Path):
    """The sources, the targets and, unless sources come as a list on standard input, the number of pairs."""
    from facecli.io.sources import expand_sources

    cast = list(expand_sources(targets, recursive=recursive, exclude=[output]))
    found = expand_sources(sources, recursive=recursive, exclude=[output])
    if "-" in sources:
        return found, cast, None
    found = list(found)
    return found, cast, len(found) * len(cast)


def _run(events, tally: Tally, progress: Progress, quiet: bool) -> None:
    from facecli.reconstruction.events import FrameDone, InputDone
    from facecli.reenactment.run import Remark

    try:
        for event in events:
            if isinstance(event, FrameDone):
                progress.frame_done(event.name, event.frame, event.of, event.stage)
                continue
            if isinstance(event, Remark):
                if event.warns:
                    console.warn(f"{event.name}: {event.text}")
                elif not quiet:
                    console.say(f"{event.name}: {event.text}")
                continue
            if isinstance(event, InputDone):
                tally.input_done(event)
                if event.note:
                    console.warn(f"{event.name}: {event.note}")
                if event.problem:
                    tally.input_failed(event.name, event.problem)
            else:
                tally.input_failed(event.name, event.error)
            progress.input_done()
    finally:
        events.close()
