"""The NoW benchmark from beginning to end: predict, check, evaluate, report; or pack, or look at one case."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from facecli.benchmark import tables
from facecli.benchmark.now.alignment import export_alignment
from facecli.benchmark.now.dataset import HOMEPAGE, Case, NowFolder, parse_case
from facecli.benchmark.now.evaluate import CaseTask, Checked, Setup, Tasks, check, collect, evaluate, gather
from facecli.benchmark.now.predictions import Method, ModelFolder, check_methods, check_name, parse_methods, predict
from facecli.benchmark.now.request import Report, Request
from facecli.benchmark.now.results import PROBLEMS_FILE, read_curves, write_problems, write_results
from facecli.benchmark.now.submission import MAIL, pack
from facecli.benchmark.published import published
from facecli.benchmark.scores import SurfaceErrors
from facecli.errors import InputError, UsageError
from facecli.listener import Listener

NAMED_AT_MOST = 20
"""Problems of one method that are printed; the reports have all."""


def run(request: Request, told: Listener) -> Report:
    """Do what is requested; all that goes wrong with single images is told and counted.

    Raises:
        FacecliError: nothing can be done: words that are wrong, parts of the data set that aren't there.
    """
    data = NowFolder(request.data, request.image_set, request.image_list, request.scans, request.scan_landmarks)
    given = parse_methods(request.predictions, request.unit)
    cases = data.cases(request.challenge)
    if request.check is not None:
        cases = [_the_case(request.check, cases, data)]
    with_scans = request.image_set == "val" or data.has_scans(cases) or request.scans is not None
    if with_scans:
        data.require_scans()
    elif request.check is not None:
        raise UsageError("--check needs a scan, and those of the test set are not public")
    curves = read_curves(request.curves)
    others = published(request.published, request.protocol, request.image_set)
    folders = [ModelFolder(request.out / "predictions" / check_name(choice.model), choice) for choice in request.models]
    check_methods([*(Method(folder.choice.model, folder.folder) for folder in folders), *given])
    made = [_predict(data, cases, folder, request.overwrite, told) for folder in folders]
    setup = Setup(
        data, cases, [*made, *given], request.out, request.protocol, request.overwrite, request.workers, with_scans
    )
    if request.check is not None:
        return _look(setup, told)
    report = _score(setup, told) if with_scans else _only_check(setup, told)
    report.some_failed |= any(method.reasons for method in made)
    folder = request.out / _folder_name(request)
    report.listed = len(cases)
    write_problems(report, setup, folder)
    if with_scans:
        report.published = others
        for note in tables.mixing(others, report.results, {"set": request.measured_set}):
            told.warn(note)
        write_results(report, setup, request, folder, curves)
    else:
        _end_of_test_set(setup, request, report, told)
    return report


def _folder_name(request: Request) -> str:
    """Runs that differ in these don't overwrite each other's results."""
    return "-".join(filter(None, [request.image_set, request.protocol, request.challenge]))


def _the_case(word: str, cases: Sequence[Case], data: NowFolder) -> Case:
    wanted = parse_case(word, "--check")
    for case in cases:
        if case.name in (wanted.name, f"{wanted.subject}/{wanted.challenge}/{wanted.file}"):
            return case
    raise UsageError(f"--check {word}: {data.listed_in} doesn't list it; the first that it lists is {cases[0].name}")


# --- our models ------------------------------------------------------------------------------------------------------


def _predict(data: NowFolder, cases: Sequence[Case], folder: ModelFolder, overwrite: bool, told: Listener) -> Method:
    """Predict what isn't predicted yet."""
    choice = folder.choice
    pending = folder.pending(cases, overwrite=overwrite)
    if folder.is_stale:
        told.say(f"{choice.model}: the predictions in {folder.folder} were made with other settings: made again")
    if not pending:
        told.say(f"{choice.model}: all {len(cases)} predictions are in {folder.folder} already")
        return _noted(folder.method({}), told)
    data.require_pictures()
    from facecli.benchmark.predict import Predictor

    reasons: dict[str, str] = {}
    kept = len(cases) - len(pending)
    with (
        Predictor(
            choice.model,
            device=choice.device,
            options=choice.options,
            batch_size=choice.batch_size,
            landmarker=choice.landmarker,
        ) as predictor,
        told.progress("predictions", len(pending)) as progress,
    ):
        folder.begin(predictor.notes)
        for made in predict(data, pending, folder, predictor):
            if made.error is not None:
                reasons[made.case.name] = str(made.error)
                told.fail(f"{choice.model}: {made.error}")
            progress.input_done()
        folder.note(predictor.notes)
    again = f", {kept} there already" if kept else ""
    told.say(f"{choice.model}: {len(pending) - len(reasons)} of {_count(len(pending), 'image')} predicted{again}")
    return _noted(folder.method(reasons), told)


def _noted(method: Method, told: Listener) -> Method:
    for note in method.notes:
        told.warn(f"{method.name}: {note}")
    return method


# --- check and evaluation --------------------------------------------------------------------------------------------


def _score(setup: Setup, told: Listener) -> Report:
    tasks = gather(setup)
    todo, failed = _sound(setup, tasks, told)
    evaluated = dict(tasks.done)
    with told.progress("images", len(todo)) as progress:
        for outcome in evaluate(todo, setup.workers):
            if outcome.error is not None:
                failed[outcome.item.key] = [str(outcome.error)]
                told.fail(f"{setup.methods[outcome.item.number].name}: {outcome.error}")
            else:
                evaluated[outcome.item.key] = outcome.value
            progress.input_done()
    earlier = f" ({len(tasks.done)} more in earlier runs)" if tasks.done else ""
    told.say(f"{_count(len(evaluated) - len(tasks.done), 'image')} evaluated{earlier}")
    results = collect(setup, evaluated, failed)
    for result in results:
        words = [f"{name}: {text}" for name, texts in result.warnings.items() for text in texts]
        _name_some(words, told.warn, f"{result.method}: ", "warnings")
        _tell_lacking(setup, result, told)
    return Report(results, some_failed=bool(failed) or any(not result.images for result in results))


def _only_check(setup: Setup, told: Listener) -> Report:
    """Without scans: is all there, and can it be scored?"""
    tasks = gather(setup)
    todo, failed = _sound(setup, tasks, told)
    results = collect(setup, {}, failed)
    for number, result in enumerate(results):
        sound = {task.case.name for task in todo if task.number == number}
        result.missing[:] = [name for name in result.missing if name not in sound]
        told.say(f"{result.method}: {len(sound)} of {_count(len(setup.cases), 'prediction')} can be scored")
        _tell_lacking(setup, result, told)
    nothing_there = any(len(result.missing) == len(setup.cases) for result in results)
    return Report(results, some_failed=bool(failed) or nothing_there, is_scored=False)


def _sound(setup: Setup, tasks: Tasks, told: Listener) -> tuple[list[CaseTask], dict[tuple[int, Case], Sequence[str]]]:
    """What can be evaluated, and what is wrong with the rest."""
    checked = _checked(setup, tasks, told)
    failed = {task.key: checked.problems_of(task) for task in tasks.pending if checked.problems_of(task)}
    return [checked.with_remarks(task) for task in tasks.pending if task.key not in failed], failed


def _checked(setup: Setup, tasks: Tasks, told: Listener) -> Checked:
    """Run the check and name everything that it found, at once."""
    with told.progress("checks", len(tasks.pending)) as progress:
        checked = check(setup, tasks, progress.input_done)
    for subject, findings in checked.scans.items():
        images = sum(task.case.subject == subject for task in tasks.pending)
        for problem in findings.problems:
            told.fail(f"{problem}; {_count(images, 'image')} of {subject} can't be scored")
        for warning in findings.warnings:
            told.warn(warning)
    for number, method in enumerate(setup.methods):
        own = [task for task in tasks.pending if task.number == number]
        problems = [text for task in own for text in checked.predictions[task.key].problems]
        _name_some(problems, told.fail, f"{method.name}: ", "problems")
    return checked


def _name_some(texts: Sequence[str], tell: Callable[[str], None], before: str, what: str) -> None:
    for text in texts[:NAMED_AT_MOST]:
        tell(before + text)
    if len(texts) > NAMED_AT_MOST:
        tell(f"{before}and {len(texts) - NAMED_AT_MOST} more {what}: {PROBLEMS_FILE} has all")


def _tell_lacking(setup: Setup, result: SurfaceErrors, told: Listener) -> None:
    """Loudly, since numbers without some images are not comparable."""
    method = next(method for method in setup.methods if method.name == result.method)
    listed = len(setup.cases)
    if len(result.missing) == listed:
        told.fail(
            f"{method.name}: {method.folder} holds none of the {_count(listed, 'prediction')}; they are called "
            f"{setup.cases[0].name}.obj (or .ply) and .npy (or .txt)"
        )
        return
    uncomparable = "its numbers are not comparable with published ones"
    if result.missing:
        some = ", ".join(result.missing[:3]) + (", …" if len(result.missing) > 3 else "")
        told.warn(f"{method.name}: {len(result.missing)} OF {listed} PREDICTIONS ARE MISSING ({some}): {uncomparable}")
    if result.failed:
        told.warn(f"{method.name}: {len(result.failed)} OF {listed} IMAGES CAN'T BE SCORED: {uncomparable}")


def _count(number: int, word: str) -> str:
    return f"{number} {word}" + ("" if number == 1 else "s")


# --- the test set ----------------------------------------------------------------------------------------------------


def _end_of_test_set(setup: Setup, request: Request, report: Report, told: Listener) -> None:
    """Pack what is complete, and say who evaluates it."""
    told.say(f"the test set's scans are not public: the benchmark's authors evaluate predictions mailed to {MAIL}")
    if request.pack is None:
        return
    (result,), (method,) = report.results, setup.methods
    lacking = len(result.missing) + len(result.failed)
    if lacking:
        report.some_failed = True
        told.fail(
            f"{request.pack}: not written, since {lacking} of {_count(len(setup.cases), 'prediction')} are missing or "
            f"broken"
        )
        return
    with told.progress("images", len(setup.cases)) as progress:
        size = pack(request.pack, method, setup.cases, progress.input_done)
    report.files.append(request.pack)
    told.say(
        f"{request.pack}: {_count(len(setup.cases), 'prediction')}, {size / 1e6:.1f} MB; its meshes are in "
        f"{method.unit}: say so for the metrical protocol ({HOMEPAGE})"
    )


# --- one case --------------------------------------------------------------------------------------------------------


def _look(setup: Setup, told: Listener) -> Report:
    """Export one case of each method."""
    (case,) = setup.cases
    tasks = gather(replace(setup, overwrite=True))
    todo, failed = _sound(setup, tasks, told)
    report = Report(is_scored=False, some_failed=bool(failed or tasks.missing))
    for number, _ in tasks.missing:
        told.fail(f"{setup.methods[number].name}: no prediction of {case.name} in {setup.methods[number].folder}")
    for task in todo:
        name = setup.methods[task.number].name
        folder = setup.out / "check" / name / case.name.replace("/", "_")
        try:
            aligned = export_alignment(task, folder)
        except InputError as error:
            told.fail(f"{name}: {error}")
            report.some_failed = True
            continue
        numbers = {"median": aligned.median, "mean": aligned.mean, "rms": aligned.rms}
        report.files += aligned.paths
        report.looks.append(
            {"method": name, "protocol": setup.protocol, "case": case.name, **numbers, "folder": str(folder)}
        )
        words = ", ".join(f"{word} {number:.2f} mm" for word, number in numbers.items())
        told.say(f"{name}: {case.name}: {words}")
        for warning in (*task.remarks, *aligned.warnings):
            told.warn(f"{name}: {case.name}: {warning}")
    return report
