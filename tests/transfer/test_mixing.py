"""Codes of two faces mixed: what is taken is the target's, all else the source's."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from facecli.codes import STANDARD_NAMES, Codes
from facecli.errors import UsageError
from facecli.mixing import check_names, mixer, names_to_take, take
from facecli.plugin import Plugin

GOLDEN = Path(__file__).parents[1] / "golden"
SIZES = {"identity": 8, "expression": 6, "jaw": 3, "pose": 3, "light": 9, "eyelids": 2}


def codes(seed, count=1, names=tuple(SIZES), sizes=SIZES, model="a"):
    generator = torch.Generator().manual_seed(seed)
    values = {name: torch.randn(count, sizes[name], generator=generator) for name in names}
    return Codes(values, model, "flame")


subsets = st.sets(st.sampled_from(sorted(SIZES)), min_size=1)


@given(names=subsets, count=st.integers(1, 4))
def test_what_is_taken_is_the_targets_and_all_else_the_sources(names, count):
    source, target = codes(1, count), codes(2, count)
    mixed = take(source, target, sorted(names))
    for name in SIZES:
        assert torch.equal(mixed[name], (target if name in names else source)[name])
    assert (mixed.model, mixed.family) == ("a", "flame")


@given(names=subsets)
def test_taking_is_idempotent_and_from_oneself_changes_nothing(names):
    source, target = codes(1), codes(2)
    once = take(source, target, sorted(names))
    twice = take(once, target, sorted(names))
    itself = take(source, source, sorted(names))
    for name in SIZES:
        assert torch.equal(once[name], twice[name])
        assert torch.equal(itself[name], source[name])


@given(first=subsets, second=subsets)
def test_taking_in_two_steps_is_taking_at_once(first, second):
    source, target = codes(1), codes(2)
    steps = take(take(source, target, sorted(first)), target, sorted(second))
    at_once = take(source, target, sorted(first | second))
    assert all(torch.equal(steps[name], at_once[name]) for name in SIZES)


@given(ours=st.integers(1, 9), theirs=st.integers(1, 9))
def test_coefficients_come_in_the_sources_number(ours, theirs):
    """Bases are sorted: the first ones are the same."""
    source = codes(1, sizes=SIZES | {"expression": ours})
    target = codes(2, sizes=SIZES | {"expression": theirs})
    mixed = take(source, target, ["expression"])["expression"]
    both = min(ours, theirs)
    assert mixed.shape == (1, ours)
    assert torch.equal(mixed[:, :both], target["expression"][:, :both])
    assert not mixed[:, both:].any()


@pytest.mark.parametrize(("ours", "theirs"), [(1, 5), (5, 1), (5, 5)])
def test_one_face_goes_with_many(ours, theirs):
    source, target = codes(1, ours), codes(2, theirs)
    mixed = take(source, target, ["jaw"])
    assert len(mixed) == 5
    for row in range(5):
        assert torch.equal(mixed["jaw"][row], target["jaw"][row % theirs])
        assert torch.equal(mixed["identity"][row], source["identity"][row % ours])


def test_a_code_that_the_source_has_not_is_added():
    mixed = take(codes(1, names=("identity",)), codes(2), ["eyelids"])
    assert torch.equal(mixed["eyelids"], codes(2)["eyelids"])


def test_rotations_of_other_shapes_are_refused():
    with pytest.raises(UsageError, match="'jaw' can't be taken: it is \\[4\\], where the source's is \\[3\\]"):
        take(codes(1), codes(2, sizes=SIZES | {"jaw": 4}), ["jaw"])
    with pytest.raises(UsageError, match="no code 'eyes' to take"):
        take(codes(1), codes(2), ["eyes"])


def test_what_is_taken_if_nothing_is_said():
    every = set(STANDARD_NAMES)
    assert names_to_take((), (), every, every) == ("expression", "jaw", "eyelids")
    assert names_to_take((), (), every - {"eyelids"}, every) == ("expression", "jaw")  # DECA has no lids
    assert names_to_take((), ("jaw",), every, every) == ("expression", "eyelids")
    assert names_to_take(("pose", "jaw"), (), every, every) == ("pose", "jaw")
    assert names_to_take(("light",), (), every - {"light"}, every, decodable=("light",)) == ("light",)


@pytest.mark.parametrize(
    ("words", "keep", "problem"),
    [
        (("eyes",), (), "target has no code 'eyes' to take; it has identity, expression, pose, jaw"),
        (("detail",), (), "source's model has no code 'detail'"),
        (("jaw",), ("jaw",), "nothing is left"),
    ],
)
def test_what_cannot_be_taken(words, keep, problem):
    source = {"identity", "expression", "pose", "jaw"}
    target = source | ({"detail"} if "detail" in words else set())
    with pytest.raises(UsageError, match=problem):
        names_to_take(words, keep, source, target)


def test_names_are_standard_ones():
    check_names(STANDARD_NAMES, "--take")
    with pytest.raises(UsageError, match=r"--keep smile: codes are called identity, expression"):
        check_names(("smile",), "--keep")


# --- models that carry -----------------------------------------------------------------------------------------------


class Carrier:
    """`carry` adds up; the neutral counts."""

    family = "m"

    def carry(self, source, target, neutral):
        assert len(source) == len(target)
        rest = 0 if neutral is None else neutral["surface"]
        return source.replace(surface=source["surface"] + target["surface"] - rest)


CARRIER = Plugin("m", "", "", "", family="m")


def surfaces(value, count=1):
    return Codes(
        {"surface": torch.full((count, 2), float(value)), "pose": torch.full((count, 3), value / 10)}, "m", "m"
    )


@pytest.mark.parametrize(("neutral", "expected"), [(None, 8.0), (surfaces(2), 6.0)])
def test_a_model_that_carries_gets_batches_of_equal_length(neutral, expected):
    mix = mixer(CARRIER, Carrier(), (), (), surfaces(5), surfaces(3), neutral)
    mixed = mix(surfaces(5), surfaces(3, count=4))
    assert mixed["surface"].tolist() == [[expected] * 2] * 4
    assert torch.equal(mixed["pose"], surfaces(5, 4)["pose"])


def test_the_pose_can_be_taken_beside_what_is_carried():
    mix = mixer(CARRIER, Carrier(), ("expression", "pose"), (), surfaces(5), surfaces(3))
    assert torch.equal(mix(surfaces(5), surfaces(3))["pose"], surfaces(3)["pose"])


@pytest.mark.parametrize(
    ("words", "keep", "problem"),
    [
        (("light",), (), "it can take expression and pose, not light"),
        (("jaw",), (), "no --take jaw alone"),
        ((), ("eyelids",), "no --keep eyelids"),
    ],
)
def test_a_model_that_carries_takes_all_of_an_expression(words, keep, problem):
    with pytest.raises(UsageError, match=f"the model m carries expression, jaw, lids and gaze all at once: {problem}"):
        mixer(CARRIER, Carrier(), words, keep, surfaces(5), surfaces(3))


# --- the official numbers --------------------------------------------------------------------------------------------


def test_the_mix_gives_decas_golden_transfer(official):
    from facecli.morphable.flame_head import FlameHead

    case = {name: torch.from_numpy(a) for name, a in np.load(GOLDEN / "deca/decode.npz").items() if a.dtype.kind == "f"}
    source = {
        "identity": case["code_shape"], "texture": case["code_tex"], "expression": case["code_exp"],
        "pose": case["code_pose"][:, :3], "jaw": case["code_pose"][:, 3:], "camera": case["code_cam"],
        "light": case["code_light"], "detail": case["code_detail"],
    }  # fmt: skip
    target = {name: torch.full_like(value, 7) for name, value in source.items()}
    target |= {"expression": case["transfer_exp"], "jaw": case["transfer_jaw"]}
    mix = mixer(Plugin("deca", "", "", "", family="flame"), object(), (), (), Codes(source), Codes(target))
    mixed = mix(Codes(source, "deca", "flame"), Codes(target, "deca", "flame"))
    for name, value in source.items():
        assert torch.equal(mixed[name], target[name] if name in ("expression", "jaw") else value)
    verts = FlameHead().decode(mixed).extras["verts"]
    assert (verts[:, ::40] - case["transfer_verts"]).abs().max() < 1e-5
