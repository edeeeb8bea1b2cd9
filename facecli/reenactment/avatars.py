"""Targets' expressions on users' own avatars: each avatar with each target."""

from __future__ import annotations

import tempfile
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from facecli.codes import Codes
from facecli.errors import InputError, UsageError
from facecli.export.arkit import ArkitTrack
from facecli.export.avatar import Avatar
from facecli.io.gltf import SUFFIXES, write_gltf
from facecli.io.sources import OutputNames, Source, name_of_result
from facecli.reconstruction.arkit import track_of, write_track
from facecli.reconstruction.clip import DECODE_FRAMES, Spread
from facecli.reconstruction.events import Event, InputDone, InputFailed
from facecli.reconstruction.folder import ResultFolder, with_paths
from facecli.reconstruction.settings import Settings, default_model
from facecli.reconstruction.stored import decoder_of
from facecli.reconstruction.stream import FaceStream
from facecli.reconstruction.tracks import Shelf
from facecli.reenactment.choice import AUTO, Choice
from facecli.reenactment.inputs import Performer, Room
from facecli.reenactment.run import Cast, Remark, state_of


def transfer_to_avatars(
    avatars: Sequence[str],
    targets: Iterable[Source | InputError],
    output: Path,
    settings: Settings,
    choice: Choice,
    *,
    overwrite: bool = False,
) -> Iterator[Event | Remark]:
    """Give each avatar the expressions of each target; a folder ``AVATAR/TARGET`` below `output` for each pair.

    Finished pairs are not done again unless `overwrite`.

    Args:
        avatars: paths of ``.glb`` and ``.gltf`` files.

    Raises:
        OutputError: `output` can't be written to.
        UsageError, PluginError, MissingAssetError: the targets' model can't be had, tells no weights, or `choice` asks
            for what avatars can't take.
    """
    check_choice(settings, choice)
    settings = replace(settings, save=("json",), faces="all", photo=None)
    cast = Cast(settings, choice, Room(output, overwrite=overwrite))
    finished = False
    try:
        run = _Run(cast, output, overwrite)
        yield from run.all(avatars, targets)
        finished = True
    finally:
        cast.close(finished=finished)


def check_choice(settings: Settings, choice: Choice) -> None:
    """
    Raises:
        UsageError: it asks for what avatars can't take.
    """
    problem = ""
    if other := [word for word in choice.take if word not in ("expression", "pose")]:
        problem = f"--take {other[0]}: an avatar takes expression and pose"
    elif choice.take and "expression" not in choice.take:
        problem = "--take pose: an avatar takes expression, and pose with it (--take expression,pose)"
    elif choice.keep:
        problem = f"--keep {choice.keep[0]}: of an avatar all stays but expression and, with --take, pose"
    elif choice.neutral != AUTO or choice.gif or choice.loop:
        problem = "--neutral, --gif and --loop are for faces, not for avatars"
    elif set(settings.save) - {"glb", "arkit", "json"}:
        problem = "--save: of an avatar there are a GLB, arkit.csv and arkit.json, always"
    if problem:
        raise UsageError(problem)


def is_avatar(name: str) -> bool:
    """Whether a source's name is that of an avatar."""
    return Path(name).suffix.lower() in SUFFIXES


@dataclass
class _Told:
    """A target's weights, or why there are none."""

    track: ArkitTrack | None = None
    words: dict[str, Any] | None = None
    model: str = ""
    problem: str | None = None
    error: InputError | None = None


class _Run:
    def __init__(self, cast: Cast, output: Path, overwrite: bool):
        self.cast, self.output, self.overwrite = cast, output, overwrite
        self.pose = "pose" in cast.choice.take
        self._told: dict[Path, _Told] = {}

    def all(self, avatars: Sequence[str], targets: Iterable[Source | InputError]) -> Iterator[Event | Remark]:
        names, wanted = OutputNames(), []
        for target in targets:
            if isinstance(target, InputError):
                yield InputFailed(target.source, target)
            else:
                wanted.append((target, names.claim(target)))
        names = OutputNames()
        for name in dict.fromkeys(avatars):
            source = Source(Path(name), name, "avatar", name_of_result(Path(name)))
            try:
                yield from self._avatar(source, names.claim(source), wanted)
            except InputError as error:
                yield InputFailed(name, error)

    def _avatar(self, source: Source, folder: Path, targets: list[tuple[Source, Path]]) -> Iterator[Event | Remark]:
        avatar = Avatar(source.path, source.name)
        for note in avatar.notes(pose=self.pose):
            yield Remark(source.name, note, warns="carried" in note)
        for target, below in targets:
            try:
                model = self._model(target)
            except InputError as error:
                yield InputFailed(target.name, error)
                continue
            settings = self.cast.settings.fingerprint(target.kind != "image") | self.cast.choice.fingerprint()
            settings |= {"target": state_of(target)}
            place = ResultFolder(self.output / folder / below, source.state(), settings | {"model": model})
            if place.is_done(overwrite=self.overwrite):
                yield InputDone(
                    source.name, source.path, place.final, place.records(), model, skipped=True, problem=place.problem
                )
                continue
            if below not in self._told:
                self._told[below] = yield from self._tell(target, model)
            told = self._told[below]
            if told.error is not None:
                yield InputFailed(target.name, told.error)
                continue
            called = folder.stem if is_avatar(folder.name) else folder.name  # of two a.glb the second's folder is a.glb
            records = self._write(Avatar(source.path, source.name), called, below.name, told, place)
            yield InputDone(
                source.name, source.path, place.final, records, model, video=not told.track.still, problem=told.problem
            )

    def _write(
        self, avatar: Avatar, name: str, animation: str, told: _Told, place: ResultFolder
    ) -> list[dict[str, Any]]:
        if told.track.still:
            avatar.pose_as(told.track, pose=self.pose)
        else:
            avatar.animate(told.track, animation, pose=self.pose)
        words = {"input": avatar.file.name, "model": told.model} | told.words
        work = place.begin()
        try:
            with place.writing():
                write_gltf(work / f"{name}.glb", avatar.file)
                write_track(work, told.track, words)
            record = words | {"mesh": f"{name}.glb", "arkit": "arkit.json", "shapes": len(avatar.known)}
            place.finish([record], told.problem)
        except BaseException:
            place.discard()
            raise
        return [with_paths(record, place.final)]

    # --- targets' weights --------------------------------------------------------------------------------------------

    def _model(self, target: Source) -> str:
        """The model that sees a target."""
        wanted = self.cast.choice.target_model
        if target.kind == "codes":
            return decoder_of(target.name, target.path, wanted)[0].name
        return wanted or self.cast.settings.model or default_model()

    def _tell(self, target: Source, model: str) -> Generator[Event, None, _Told]:
        """Returns the weights of the face of `target` that is wanted."""
        try:
            found = yield from self.cast.load_target(target, model)
            stream = self.cast.target_stream(model, model)
            track, source = self._still(found, stream) if found.track is None else self._moving(found, stream)
        except InputError as error:
            return _Told(error=error)
        words = {"target": found.given.name, "target_face": found.number, "source": source}
        return _Told(track, words, model, found.given.problem)

    @staticmethod
    def _still(found: Performer, stream: FaceStream) -> tuple[ArkitTrack, str]:
        codes = found.still
        (weights,) = stream.arkit(codes, stream.decode(codes), [found.given.faces[found.number]])
        track = ArkitTrack(
            np.zeros(1), weights.weights, head_pose=weights.head_pose, eyes=weights.eyes, still=True
        )  # fmt: skip
        return track, weights.source

    @staticmethod
    def _moving(found: Performer, stream: FaceStream) -> tuple[ArkitTrack, str]:
        frames, settings = found.given.tracks.frames, stream.settings
        with found.given.open_film() as film:
            rate = float(film.average_rate)
        with tempfile.TemporaryDirectory(prefix="facecli-", ignore_cleanup_errors=True) as folder:
            spread = Spread.of(found.track, len(frames), Shelf(Path(folder)), found.given.tracks)

            def codes_at(index: np.ndarray) -> Codes:
                rows = torch.from_numpy(index)
                values = {name: value[rows] for name, value in spread.codes.values.items()}
                return Codes(values, found.given.model, found.given.family)

            with torch.inference_mode():
                return track_of(
                    stream.model, stream.plugin.name, stream.decode, codes_at, spread.visible, frames["time"], rate,
                    step=DECODE_FRAMES, blendshapes=spread.extras.get("blendshapes"),
                    smoother=settings.smoother, smooth_window=settings.smooth_window,
                )  # fmt: skip
