"""Which models a benchmark asks, and how each is used."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from facecli import registry
from facecli.errors import UsageError
from facecli.reconstruction.settings import converted_options, parse_options


@dataclass(frozen=True)
class ModelChoice:
    """A model and how it is used: what :class:`facecli.benchmark.predict.Predictor` takes.

    Args:
        options: ``NAME=VALUE``, the model's own.
    """

    model: str
    options: tuple[str, ...] = ()
    landmarker: str | None = None
    device: str = "auto"
    batch_size: int = 0


def choose_models(
    names: Sequence[str], words: Sequence[str], landmarker: str | None, device: str, batch_size: int
) -> list[ModelChoice]:
    """The models `names`, each with those of the options `words` (``NAME=VALUE``) that it has.

    Raises:
        UsageError: there is no such model, none of them has an option, or not with that value.
    """
    chosen = parse_options(words)
    if chosen and not names:
        raise UsageError("--option needs --model")
    plugins = [registry.plugin(name) for name in names]
    for option in chosen:
        if not any(option in plugin.options for plugin in plugins):
            converted_options(plugins[0], {option: chosen[option]})  # says what there is
    models = []
    for plugin in plugins:
        own = {name: value for name, value in chosen.items() if name in plugin.options}
        converted_options(plugin, own)
        own_words = tuple(f"{name}={value}" for name, value in own.items())
        models.append(ModelChoice(plugin.name, own_words, landmarker, device, batch_size))
    return models
