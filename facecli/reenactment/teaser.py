"""DECA's teaser: heads that turn from side to side, open their mouths, and take the targets' expressions.

After demos/demo_teaser.py of DECA (24 frames; a row of four tiles an identity), for any number of expressions: fewer
than nine stay longer, more make it longer.
"""

from __future__ import annotations

import shutil
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch

from facecli.codes import Codes
from facecli.errors import InputError, UsageError
from facecli.export.gif import write_gif
from facecli.geometry.rotations import euler_to_axis_angle
from facecli.io.sources import Source
from facecli.io.video import VideoWriter
from facecli.plugin import Detail, Reconstruction
from facecli.reconstruction.events import Event, FrameDone, InputDone, InputFailed
from facecli.reconstruction.folder import ResultFolder, with_paths
from facecli.reconstruction.picture import scale_of
from facecli.reconstruction.settings import Settings, default_model
from facecli.reconstruction.stream import FaceStream
from facecli.reenactment.choice import Choice
from facecli.reenactment.inputs import Moving, Performer, Room, Still
from facecli.reenactment.pairs import Pair
from facecli.reenactment.run import Cast, state_of
from facecli.render.pictures import draw_overlay

FAMILY = "flame"
"""Whose codes have a jaw, and the camera that heads are shown by."""
TILE, RATE, GIF_SCALE = 224, 10, 0.6
FRAMES, FIRST_EXPRESSION = 24, 15
CAMERA = (8.0, 0.0, 0.0)
JAW_STEP = 2.0
"""Degrees a frame."""
YAWS = (*range(0, 30, 5), *range(30, -30, -5), *range(-30, 0, 5))
"""Degrees, one a frame; then from the beginning."""
SHAPE_PICTURES = ("shape_detail", "geometry_detail")
"""What models call their own picture of the head in grey, with its wrinkles; others are drawn in clay."""
OF_A_VIDEO = 9
"""Expressions taken of a target that is a video."""
BACKGROUND = 255


def write_teaser(
    sources: Iterable[Source | InputError],
    targets: Iterable[Source | InputError],
    output: Path,
    settings: Settings,
    choice: Choice,
    *,
    overwrite: bool = False,
) -> Iterator[Event]:
    """Write ``teaser/teaser.mp4`` and ``teaser.gif`` below `output`, a row for each face of the sources.

    Raises:
        UsageError: the model has no jaw that could be opened.
        InputError: nothing of the sources, or of the targets, can be used.
    """
    sources, targets = list(sources), list(targets)
    cast, finished = Cast(settings, choice, Room(output, overwrite=overwrite)), False
    try:
        yield from _Teaser(cast, sources, targets, output).run(overwrite)
        finished = True
    finally:
        cast.close(finished=finished)


def length(expressions: int) -> int:
    """Frames of a teaser."""
    return max(FRAMES, FIRST_EXPRESSION + expressions)


def turned(codes: Codes, count: int) -> Codes:
    """`codes` [1, ...] in `count` frames, turning from side to side."""
    yaws = torch.tensor([[0.0, YAWS[frame % len(YAWS)], 0.0] for frame in range(count)])
    return _posed(codes, euler_to_axis_angle(torch.deg2rad(yaws)))


def acted(codes: Codes, expressions: Sequence[Codes], count: int) -> Codes:
    """`codes` [1, ...] in `count` frames seen from the front: the mouth opens, then come the `expressions`.

    Args:
        expressions: `codes` [1, ...] with each target's.
    """
    angles = torch.tensor([[JAW_STEP * frame, 0.0, 0.0] for frame in range(FIRST_EXPRESSION)])
    opening = _repeated(codes, FIRST_EXPRESSION).replace(
        jaw=euler_to_axis_angle(torch.deg2rad(angles)).to(codes["jaw"])
    )
    rest, given = count - FIRST_EXPRESSION, len(expressions)
    following = [expressions[frame * given // rest] for frame in range(rest)]
    return _posed(Codes.concatenate([opening, *following]), torch.zeros(count, 3))


def _posed(codes: Codes, poses: torch.Tensor) -> Codes:
    """Frames with these global rotations, from one and the same distance."""
    codes = _repeated(codes, len(poses))
    camera = torch.tensor(CAMERA).expand(len(poses), 3)
    return codes.replace(pose=poses.to(codes["identity"]), camera=camera.to(codes["identity"]))


def _repeated(codes: Codes, count: int) -> Codes:
    if len(codes) == count:
        return codes
    return codes.select([0] * count)


@dataclass
class _Identity:
    """A row: a face of a source."""

    given: Still
    number: int

    @property
    def codes(self) -> Codes:
        return self.given.codes.select(self.number)


class _Teaser:
    def __init__(self, cast: Cast, sources: list, targets: list, output: Path):
        self.cast, self.sources, self.targets, self.output = cast, sources, targets, output
        model = cast.settings.model
        if model is None:
            of = {s.kind for s in sources if isinstance(s, Source)}
            model = None if of == {"codes"} else default_model()
        self.stream: FaceStream | None = None if model is None else cast.stream(model)
        if self.stream is not None:
            self._check_model(self.stream)

    @staticmethod
    def _check_model(stream: FaceStream) -> None:
        if stream.plugin.family != FAMILY:
            raise UsageError(
                f"the teaser opens jaws, which the model {stream.plugin.name} has no code for: choose a --model of the "
                f"family {FAMILY} (smirk, deca, emoca)"
            )

    def run(self, overwrite: bool) -> Iterator[Event]:
        folder = self._folder()
        if folder.is_done(overwrite=overwrite):
            for record in folder.records():
                yield self._done(record, folder, skipped=True)
            return
        identities = yield from self._identities()
        targets = yield from self._performers()
        if not identities or not targets:
            which = "sources" if not identities else "targets"
            yield InputFailed("teaser", InputError("teaser", f"none of the {which} can be used"))
            return
        work = folder.begin()
        try:
            with folder.writing():
                yield from self._write(work, identities, targets)
            records = [
                {
                    "input": identity.given.name, "face": identity.number, "model": self.stream.plugin.name,
                    "targets": [target.given.name for target in targets],
                    "animation": "teaser.mp4", "gif": "teaser.gif",
                }
                for identity in identities
            ]  # fmt: skip
            folder.finish(records)
        except BaseException:
            folder.discard()
            raise
        for record in records:
            yield self._done(with_paths(record, folder.final), folder)

    def _folder(self) -> ResultFolder:
        settings, choice = self.cast.settings, self.cast.choice
        states = [[state_of(s) for s in group if isinstance(s, Source)] for group in (self.sources, self.targets)]
        options = {"options": dict(sorted(settings.options.items())), "faces": settings.faces}
        made_of = {"model": settings.model or "", "sources": states[0], "targets": states[1], "teaser": True}
        return ResultFolder(self.output / "teaser", {"path": "teaser"}, made_of | options | choice.fingerprint())

    @staticmethod
    def _done(record: dict, folder: ResultFolder, *, skipped: bool = False) -> InputDone:
        return InputDone(record["input"], folder.final, folder.final, [record], record["model"], skipped=skipped)

    # --- who ---------------------------------------------------------------------------------------------------------

    def _identities(self) -> Generator[Event, None, list[_Identity]]:
        found: list[_Identity] = []
        for source in self.sources:
            if isinstance(source, InputError):
                yield InputFailed(source.source, source)
                continue
            try:
                given = yield from self._given(source)
            except InputError as error:
                yield InputFailed(source.name, error)
                continue
            found += [_Identity(given, number) for number in range(len(given.faces))]
        return found

    def _given(self, source: Source) -> Generator[Event, None, Still]:
        from facecli.reconstruction.stored import decoder_of

        stream = self.stream
        if source.kind == "codes":
            plugin, _ = decoder_of(source.name, source.path, None if stream is None else stream.plugin.name)
            stream = self.cast.stream(plugin.name)
            self._check_model(stream)
            self.stream = stream  # one model draws all
        if source.kind == "video":
            raise InputError(source.name, "is a video: the teaser takes photographs", "or codes of photographs")
        given = yield from self.cast.load(source, stream, stream.settings)
        if isinstance(given, Moving):
            raise InputError(source.name, "holds codes of a video: the teaser takes photographs")
        return given

    def _performers(self) -> Generator[Event, None, list[Performer]]:
        found: list[Performer] = []
        for target in self.targets if self.stream is not None else ():
            if isinstance(target, InputError):
                yield InputFailed(target.source, target)
                continue
            try:
                performer = yield from self.cast.load_target(target, self.stream.plugin.name)
                if performer.given.family != self.stream.model.family:
                    raise InputError(target.name, performer.refusal)
            except InputError as error:
                yield InputFailed(target.name, error)
            else:
                found.append(performer)
        return found

    # --- pictures ----------------------------------------------------------------------------------------------------

    def _write(self, work: Path, identities: list[_Identity], targets: list[Performer]) -> Iterator[Event]:
        expressions = [codes for target in targets for codes in _expressions(target)]
        count = length(len(expressions))
        rows_folder = work / "rows"
        rows_folder.mkdir()
        rows = []
        for place, identity in enumerate(identities):
            row = np.lib.format.open_memmap(rows_folder / f"{place}.npy", "w+", np.uint8, (count, TILE, 4 * TILE, 3))
            self._draw_row(row, identity, targets, expressions)
            rows.append(row)
            yield FrameDone("teaser", place, len(identities), "drawing")
        height, width = TILE * len(rows), 4 * TILE
        with VideoWriter(work / "teaser.mp4", (width, height), fps=RATE) as writer:
            for frame in range(count):
                writer.write(np.concatenate([row[frame] for row in rows]))
        write_gif(work / "teaser.mp4", work / "teaser.gif", width=round(GIF_SCALE * width), rate=RATE)
        del rows
        shutil.rmtree(rows_folder)

    def _draw_row(
        self, row: np.ndarray, identity: _Identity, targets: list[Performer], expressions: list[Codes]
    ) -> None:
        own = identity.codes
        pair = Pair(identity.given, targets[0], self.stream, self.cast.choice)
        taken = [pair.mix(own, codes) for codes in expressions]
        row[:, :, :TILE] = self._input(identity)
        row[:, :, TILE : 2 * TILE] = self._head(own)
        for start, codes in ((2, turned(own, len(row))), (3, acted(own, taken, len(row)))):
            for frame in range(len(row)):
                row[frame, :, start * TILE : (start + 1) * TILE] = self._head(codes.select(frame))

    def _input(self, identity: _Identity) -> np.ndarray:
        """What the model saw of the photograph."""
        warp = identity.codes["warp"][0].double().numpy() if "warp" in identity.codes else np.eye(3)
        return cv2.warpAffine(identity.given.image, warp[:2], (TILE, TILE), flags=cv2.INTER_LINEAR)

    def _head(self, codes: Codes) -> np.ndarray:
        """The head in the model's crop, in grey."""
        stream = self.stream
        found = stream.decode(codes)
        own = next((name for name in SHAPE_PICTURES if name in stream.plugin.pictures), None)
        if own is not None and found.detail is not None:
            with torch.inference_mode():
                drawn = stream.model.draw((own,), None, codes.to(stream.device), found)
            if drawn.get(own):
                return cv2.resize(drawn[own][0], (TILE, TILE), interpolation=cv2.INTER_AREA)
        return _clay(codes, found, stream.settings.rasterizer)


def _expressions(target: Performer) -> list[Codes]:
    """Of a photograph one, of a video some from beginning to end."""
    if target.track is None:
        return [target.codes([0])]
    rows = np.unique(np.linspace(0, len(target.track) - 1, OF_A_VIDEO).astype(int))
    return [target.codes([row]) for row in rows.tolist()]


def _clay(codes: Codes, found: Reconstruction, backend: str) -> np.ndarray:
    """The head, with its wrinkles where it has any, as the crop shows it."""
    warp = codes["warp"][0].double().numpy(force=True) if "warp" in codes else np.eye(3)
    projected = found.projected[0].double().numpy(force=True)
    triangles = found.triangles.numpy(force=True)
    scale = scale_of(found, 0) * float(np.sqrt(abs(np.linalg.det(warp[:2, :2]))))
    place = np.concatenate([projected[:, :2] @ warp[:2, :2].T + warp[:2, 2], projected[:, 2:]], 1)
    if found.detail is not None and found.detail.vertices is not None:
        place, triangles = _dense(found.detail, found.vertices[0].double().numpy(force=True), place)
    blank = np.full((TILE, TILE, 3), BACKGROUND, np.uint8)
    return draw_overlay(blank, place, triangles, opacity=1.0, pixels_per_unit=scale, backend=backend)


def _dense(detail: Detail, coarse: np.ndarray, place: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Where the dense mesh's vertices land: the coarse ones tell, for the camera is affine."""
    ones = np.ones((len(coarse), 1))
    camera, *_ = np.linalg.lstsq(np.concatenate([coarse, ones], 1), place, rcond=None)
    dense = detail.vertices[0].double().numpy(force=True)
    return np.concatenate([dense, np.ones((len(dense), 1))], 1) @ camera, detail.triangles.numpy(force=True)
