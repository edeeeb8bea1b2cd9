"""Every source with every target: what `facecli transfer expression` does."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from facecli import registry
from facecli.codes import Codes, summarize_codes
from facecli.errors import InputError, MissingAssetError, UsageError
from facecli.io.sources import OutputNames, Source, expand_sources
from facecli.plugin import ExpressionBasis
from facecli.reconstruction.events import Event, InputDone, InputFailed
from facecli.reconstruction.folder import ResultFolder
from facecli.reconstruction.run import Streams, through
from facecli.reconstruction.settings import Settings, converted_options, default_model
from facecli.reconstruction.stored import decoder_of, photo_state
from facecli.reconstruction.stream import FaceStream, Frame
from facecli.reenactment.bridge import Bridge, build, companions, different, may_mix
from facecli.reenactment.choice import AUTO, GUESS, Choice
from facecli.reenactment.inputs import (
    Moving,
    Performer,
    Room,
    Still,
    load_codes,
    load_pictures,
    load_video,
    performer,
    rest_of,
)
from facecli.reenactment.pairs import MovingPair, Pair, StillPair, moves

PICTURES_AT_ONCE = 8
"""Photographs held in memory."""


def transfer_files(
    sources: Iterable[Source | InputError],
    targets: Iterable[Source | InputError],
    output: Path,
    settings: Settings,
    choice: Choice,
    *,
    overwrite: bool = False,
) -> Iterator[Event]:
    """Give each source the expressions of each target; a folder ``SOURCE/TARGET`` below `output` for each pair.

    Finished pairs are not done again unless `overwrite`; videos that were interrupted go on where they stopped.

    Raises:
        OutputError: `output` can't be written to.
        UsageError, PluginError, MissingAssetError: a model can't be had, or two that can't be mixed are asked for.
    """
    cast = Cast(settings, choice, Room(output, overwrite=overwrite))
    finished = False
    try:
        run = _Run(cast, output, overwrite)
        yield from run.all(sources, targets)
        finished = True
    finally:
        cast.close(finished=finished)


class Cast:
    """The models, and what is known of sources and targets.

    Raises:
        UsageError: the models that are asked for can't be mixed.
    """

    def __init__(self, settings: Settings, choice: Choice, room: Room):
        if settings.same_person:
            raise UsageError("a transfer's source and target are two people: --same-person is facecli reconstruct's")
        self.settings, self.choice, self.room = settings, choice, room
        self._streams = Streams(settings, rigged=True)
        self._target_streams: dict[str, FaceStream] = {}
        self._bridges: dict[tuple[str, str], Bridge] = {}
        self._told: set[tuple[str, str]] = set()
        self._check_flags()

    def _check_flags(self) -> None:
        model = self.settings.model
        target = self.choice.target_model or model
        if model is None and target is not None:
            model = default_model()  # of photographs
        if model is not None:
            ours, theirs = registry.plugin(model), registry.plugin(target)
            converted_options(theirs, self.choice.target_options)
            if self.settings.model is not None and not may_mix(ours, theirs):
                raise UsageError(f"{different(ours, theirs)} ({companions(ours, registry.plugins())})")

    def stream(self, model: str) -> FaceStream:
        """That decodes sources of `model`.

        Raises:
            FacecliError: it has no mesh, that a face with another expression could be shown by.
        """
        stream = self._streams(model)
        if no_mesh := getattr(stream.model, "no_mesh", None):
            raise type(no_mesh)(f"an expression on another face needs its mesh: {no_mesh}")
        return stream

    def target_stream(self, model: str, source_model: str) -> FaceStream:
        """That encodes targets by `model`: the sources' one, if all is the same."""
        options = self.choice.target_options
        same = model == source_model and not options
        if same and self.settings.most_faces is None:
            return self.stream(model)
        if model not in self._target_streams:
            options = self.settings.options if same else options
            settings = replace(self.settings, model=model, options=options, faces="all", save=())
            self._target_streams[model] = FaceStream(settings)
        return self._target_streams[model]

    def prepare(self) -> None:
        """Loads the models that are asked for by name: what is missing, or can't be mixed, is told before anything is
        opened.

        Raises:
            FacecliError: a model can't be had, or the target's expressions can't be carried over to the source's.
        """
        ours, theirs = self.settings.model, self.choice.target_model
        if ours is None:
            return
        stream = self.stream(ours)
        if theirs is not None and registry.plugin(theirs).family != stream.model.family:
            bridge = self.bridge(stream, self.target_stream(theirs, ours))
            if refusal := bridge.refusal():
                raise UsageError(_refused(ours, theirs, refusal))

    def bridge(self, stream: FaceStream, theirs: FaceStream) -> Bridge:
        """From the model `theirs` to that of `stream`, which is of another family but may be mixed with it.

        Raises:
            UsageError, MissingAssetError: it takes files that aren't there, or a mesh.
        """
        names = stream.plugin.name, theirs.plugin.name
        if names not in self._bridges:
            bases = [_basis(given, names) for given in (stream, theirs)]
            try:
                self._bridges[names] = build(*bases, family=stream.model.family)
            except UsageError as error:
                raise UsageError(_refused(*names, str(error))) from error
        return self._bridges[names]

    def performer(self, given: Still | Moving, source_model: str) -> Generator[Event, None, Performer]:
        """Returns the face of the target that is wanted, and how its expressions come to sources of `source_model`.

        Raises:
            InputError: there is no such face.
        """
        found = performer(given, self.choice.target_face)
        ours, theirs = registry.plugin(source_model), registry.plugin(given.model)
        if ours.family == given.family:
            return found
        if not may_mix(ours, theirs):
            found.refusal = f"{different(ours, theirs)} ({companions(ours, registry.plugins())})"
            return found
        names = ours.name, theirs.name
        try:
            found.stream = self.target_stream(theirs.name, source_model)
            bridge = self.bridge(self.stream(source_model), found.stream)
        except UsageError as error:
            found.refusal = str(error)
            return found
        if refusal := bridge.refusal():
            found.refusal = _refused(*names, refusal)
            return found
        found.bridge = bridge
        if names not in self._told:
            self._told.add(names)
            yield Remark(f"expressions of {theirs.name} on {ours.name}", bridge.note(), warns=False)
        return found

    def close(self, *, finished: bool) -> None:
        self._streams.close()
        for stream in self._target_streams.values():
            stream.close()
        self.room.clear(keep=not finished)

    # --- from files to codes -----------------------------------------------------------------------------------------

    def load(self, source: Source, stream: FaceStream, settings: Settings) -> Generator[Event, None, Still | Moving]:
        """Returns a :class:`Still` or :class:`Moving`.

        Raises:
            InputError: it can't be used.
        """
        if source.kind == "codes":
            return load_codes(source, settings, self.room)
        stream.prepare()
        if source.kind == "video":
            return (yield from load_video(source, stream, settings, self.room))
        (found,) = load_pictures([Frame(source.name, path=str(source.path))], stream)
        if isinstance(found, InputFailed):
            raise found.error
        return found

    def load_target(self, source: Source, source_model: str) -> Generator[Event, None, Performer]:
        """Returns the target's :class:`Performer`, for sources of `source_model`.

        Raises:
            InputError: it can't be used.
        """
        settings = replace(self.settings, faces="all", photo=None)
        wanted = self.choice.target_model
        if source.kind == "codes":
            plugin, _ = decoder_of(source.name, source.path, wanted)
            given = load_codes(source, settings.with_model(plugin.name), self.room)
        else:
            stream = self.target_stream(wanted or source_model, source_model)
            given = yield from self.load(source, stream, replace(stream.settings, photo=None))
        return (yield from self.performer(given, source_model))

    def rest(self, target: Performer, stream: FaceStream) -> Generator[Event, None, tuple[Codes | None, str | None]]:
        """Returns the target at rest and a word about it, for a model that carries surfaces.

        Raises:
            InputError: the picture that should show it can't be used.
            UsageError: the model needs none.
        """
        neutral = self.choice.neutral
        if not hasattr(stream.model, "carry"):
            if neutral != AUTO:
                name = stream.plugin.name
                raise UsageError(f"the model {name} keeps expressions apart by itself: leave --neutral away")
            return None, None
        if neutral == GUESS:
            return None, None
        if neutral != AUTO and not neutral.isdecimal():
            codes = yield from self._rest_picture(neutral, stream)
            return codes, None
        found = rest_of(target, stream.model, neutral)
        if found is None:
            return None, "how it looks at rest isn't known, but guessed (--neutral takes a picture of it)"
        return found, None

    def _rest_picture(self, path: str, stream: FaceStream) -> Generator[Event, None, Codes]:
        sources = list(expand_sources([path]))
        for source in sources:
            if isinstance(source, InputError):
                raise source
        if len(sources) != 1:
            raise InputError(path, "is not one picture", "give --neutral one picture, or codes")
        found = yield from self.load_target(sources[0], stream.plugin.name)
        if found.given.family != stream.model.family:
            raise InputError(path, f"holds codes of {found.given.model}", f"--neutral must be of {stream.plugin.name}")
        rest = rest_of(found, stream.model, AUTO)
        return found.codes([0]) if rest is None else rest


def _basis(stream: FaceStream, names: tuple[str, str]) -> ExpressionBasis:
    """
    Raises:
        UsageError, MissingAssetError: it can't be had.
    """
    try:
        return stream.model.expression_basis()
    except (UsageError, MissingAssetError) as error:
        raise type(error)(_refused(*names, str(error))) from error


def _refused(ours: str, theirs: str, why: str) -> str:
    return f"expressions of {theirs} can't be carried over to {ours}: {why}"


@dataclass
class _Target:
    """A target and what is known of it, by the source's model."""

    source: Source
    name: Path
    known: dict[str, tuple[Performer, Codes | None]] = field(default_factory=dict)
    failed: set[str] = field(default_factory=set)

    @cached_property
    def state(self) -> dict[str, Any]:
        return state_of(self.source)

    @cached_property
    def moves(self) -> bool:
        """Whether it is a video, or codes of one."""
        if self.source.kind != "codes":
            return self.source.kind == "video"
        try:
            return summarize_codes(self.source.path).of_video
        except InputError:  # which is told when it is its turn
            return False


def state_of(source: Source) -> dict[str, Any]:
    """By what a file is known again, wherever it lies."""
    return {key: value for key, value in source.state().items() if key != "path"}


@dataclass
class _Work:
    """A source, the model for it, and the targets that it isn't done with."""

    source: Source
    stream: FaceStream
    pending: list[tuple[_Target, ResultFolder]] = field(default_factory=list)


class _Run:
    def __init__(self, cast: Cast, output: Path, overwrite: bool):
        self.cast, self.output, self.overwrite = cast, output, overwrite
        self._names = OutputNames()
        self._targets: list[_Target] = []

    def all(self, sources: Iterable[Source | InputError], targets: Iterable[Source | InputError]) -> Iterator[Event]:
        names = OutputNames()
        for target in targets:
            if isinstance(target, InputError):
                yield InputFailed(target.source, target)
            else:
                self._targets.append(_Target(target, names.claim(target)))
        self.cast.prepare()
        waiting: list[_Work] = []
        for source in sources:
            if isinstance(source, InputError):
                yield InputFailed(source.source, source)
                continue
            try:
                work = yield from self._work(source)
            except InputError as error:
                yield InputFailed(source.name, error)
                continue
            if not work.pending:
                continue
            alone = source.kind != "image"
            if waiting and (alone or waiting[0].stream is not work.stream or len(waiting) == PICTURES_AT_ONCE):
                yield from self._pictures(waiting)
                waiting = []
            if alone:
                yield from self._other(work)
            else:
                waiting.append(work)
        if waiting:
            yield from self._pictures(waiting)

    def _work(self, source: Source) -> Generator[Event, None, _Work]:
        """What is to be done with a source; tells of the targets that it is done with.

        Raises:
            InputError: the source can't be used.
        """
        settings = self.cast.settings
        video, further = source.kind == "video", {}
        if source.kind == "codes":
            plugin, summary = decoder_of(source.name, source.path, settings.model)
            model, video, further = plugin.name, summary.of_video, photo_state(settings)
        else:
            model = settings.model or default_model()
        work = _Work(source, self.cast.stream(model))
        name = self._names.claim(source)
        for target in self._targets:
            settings = work.stream.settings.fingerprint(video or target.moves) | self.cast.choice.fingerprint()
            settings |= further | {"target": target.state, "neutral": self._neutral}
            folder = ResultFolder(self.output / name / target.name, source.state(), settings, resumable=True)
            if folder.is_done(overwrite=self.overwrite):
                yield InputDone(
                    source.name, source.path, folder.final, folder.records(), model, skipped=True,
                    problem=folder.problem,
                )  # fmt: skip
            else:
                work.pending.append((target, folder))
        return work

    @cached_property
    def _neutral(self) -> Any:
        """The word, or by what the picture is known again."""
        word = self.cast.choice.neutral
        if word in (AUTO, GUESS) or word.isdecimal():
            return word
        return [state_of(source) for source in expand_sources([word]) if not isinstance(source, InputError)]

    # --- pairs -------------------------------------------------------------------------------------------------------

    def _pictures(self, works: list[_Work]) -> Iterator[Event]:
        """Photographs that go through a stream together."""
        stream = works[0].stream
        stream.prepare()
        frames = [Frame(work.source.name, path=str(work.source.path)) for work in works]
        for work, given in zip(works, list(load_pictures(frames, stream)), strict=True):
            if isinstance(given, InputFailed):
                yield given
            else:
                yield from self._with_all(work, given)

    def _other(self, work: _Work) -> Iterator[Event]:
        """A video, or codes."""
        try:
            given = yield from self.cast.load(work.source, work.stream, work.stream.settings)
        except InputError as error:
            yield InputFailed(work.source.name, error)
            return
        yield from self._with_all(work, given)

    def _with_all(self, work: _Work, given: Still | Moving) -> Iterator[Event]:
        stills: list[StillPair] = []
        source, stream = work.source, work.stream
        for target, folder in work.pending:
            known = yield from self._known(target, stream)
            if known is None:
                continue
            pair = Pair(given, known[0], stream, self.cast.choice, known[1])
            if moves(given, known[0]):
                yield from self._moving(MovingPair(pair, folder, source), stream)
            else:
                stills.append(StillPair(pair, folder, source))
        if stills:
            yield from through(stream, (still.frame() for still in stills))

    def _moving(self, pair: MovingPair, stream: FaceStream) -> Iterator[Event]:
        try:
            yield from pair.run(lambda frames: through(stream, frames), overwrite=self.overwrite)
        except BaseException:
            pair.clip.abandon()
            raise

    def _known(
        self, target: _Target, stream: FaceStream
    ) -> Generator[Event, None, tuple[Performer, Codes | None] | None]:
        """Returns a target's face and how it looks at rest; None where it can't be used, which is told once."""
        model = stream.plugin.name
        if model in target.failed:
            return None
        if model not in target.known:
            try:
                found = yield from self.cast.load_target(target.source, model)
                rest, note = (None, None)
                if found.given.family == stream.model.family:
                    rest, note = yield from self.cast.rest(found, stream)
            except InputError as error:
                target.failed.add(model)
                yield InputFailed(target.source.name, error)
                return None
            if note:
                yield Remark(target.source.name, note)
            target.known[model] = (found, rest)
        return target.known[model]


@dataclass
class Remark:
    """Something that the user should know of an input."""

    name: str
    text: str
    warns: bool = True
