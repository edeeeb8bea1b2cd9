"""Stand-in weights: every tensor is a pure function of its state-dict key and shape, so that two implementations of a
network can be compared, and official checkpoints imitated in full size, with nothing stored."""

from __future__ import annotations

import zlib

import numpy as np


def rng(key: str) -> np.random.Generator:
    """The generator that belongs to `key`."""
    return np.random.default_rng(zlib.crc32(key.encode()))


def tensor(key: str, shape: tuple[int, ...]) -> np.ndarray:
    """Value of the state-dict entry `key`, float32 (int64 for `num_batches_tracked`)."""
    leaf = key.rsplit(".", 1)[-1]
    if leaf == "num_batches_tracked":
        return np.zeros(shape, np.int64)
    noise = rng(key).standard_normal(shape)
    if leaf == "running_var":
        value = 1 + 0.1 * np.abs(noise)
    elif leaf in ("running_mean", "bias"):
        value = 0.1 * noise
    elif len(shape) <= 1:  # scales of norms, slopes of PReLUs
        value = 1 + 0.1 * noise
    else:  # as He's initialisation: keeps activations of deep stacks in range
        value = noise / np.sqrt(np.prod(shape[1:]))
    return value.astype(np.float32)


def state_dict(shapes: dict[str, tuple[int, ...]]):
    """Torch tensors for a module's keys and shapes."""
    import torch

    return {key: torch.from_numpy(np.asarray(tensor(key, tuple(shape)))) for key, shape in shapes.items()}


def fill(module, prefix: str = "") -> None:
    """Overwrite the state of `module` in place; `prefix` makes its keys those of a whole checkpoint."""
    import torch

    state = {
        key: torch.from_numpy(np.asarray(tensor(prefix + key, tuple(value.shape))))
        if value.is_floating_point() or key.endswith("num_batches_tracked")
        else value
        for key, value in module.state_dict().items()
    }
    module.load_state_dict(state)
