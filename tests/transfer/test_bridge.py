"""Expressions of one linear basis in the numbers of another one."""

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from facecli.codes import Codes
from facecli.errors import UsageError
from facecli.plugin import ExpressionBasis, Plugin
from facecli.reenactment.bridge import MOST_APART, MOST_LOST, build, companions, may_mix

WHOLE = 120


def basis(count=12, key=0, size=2.0):
    """On all vertices of a mesh, in millimetres."""
    random = np.random.default_rng(key)
    mean = random.normal(0, 60, (WHOLE, 3))
    directions = size * random.standard_normal((count, WHOLE, 3)) / np.sqrt(count)
    return ExpressionBasis("mesh", np.arange(WHOLE), mean, directions, np.zeros(count), np.ones(count))


def part_of(whole, mixture, zero, key, *, metres=0.001, share=0.8):
    """A basis whose coefficients c are those of `whole`, c @ mixture + zero: on some of the vertices, in any order,
    in another unit, and somewhere else."""
    random = np.random.default_rng(key)
    rows = random.permutation(WHOLE)[: int(share * WHOLE)]
    unit = 0.001 / metres
    mean = whole.mean + np.einsum("e,evc->vc", zero, whole.directions) + [3.0, -20.0, 7.0]
    directions = np.einsum("fe,evc->fvc", mixture, whole.directions)
    usual, spread = random.normal(0, 0.4, len(mixture)), random.uniform(0.3, 2, len(mixture))
    return ExpressionBasis("mesh", rows, (mean * unit)[rows], (directions * unit)[:, rows], usual, spread, metres)


def surface(basis, numbers):
    return basis.mean + np.einsum("be,evc->bvc", numbers, basis.directions)


@settings(max_examples=30)
@given(count=st.integers(1, 9), key=st.integers(0, 99), metres=st.sampled_from([1.0, 0.1, 1e-6]))
def test_a_mixture_comes_over_exactly(count, key, metres):
    random = np.random.default_rng(key)
    source = basis()
    mixture, zero = random.standard_normal((count, 12)), random.normal(0, 0.3, 12)
    bridge = build(source, part_of(source, mixture, zero, key, metres=metres), "a")
    numbers = random.standard_normal((4, count))
    carried = bridge.carry(Codes({"expression": torch.from_numpy(numbers)}, "b", "b"))
    np.testing.assert_allclose(carried["expression"], numbers @ mixture + zero, atol=1e-5)
    assert carried.family == "a" and list(carried.values) == ["expression"]
    assert bridge.refusal() == "" and bridge.share_lost < 1e-6 and bridge.apart < 1e-6
    assert bridge.shared == int(0.8 * WHOLE)


def test_the_faces_lie_on_each_other():
    source, random = basis(), np.random.default_rng(5)
    target = part_of(source, random.standard_normal((5, 12)), random.normal(0, 0.3, 12), 5)
    bridge, numbers = build(source, target), random.standard_normal((3, 5))
    carried = surface(source, numbers @ bridge.matrix + bridge.rest)[:, target.vertices]
    apart = surface(target, numbers) - carried
    np.testing.assert_allclose(apart, np.broadcast_to([3.0, -20.0, 7.0], apart.shape), atol=1e-6)


def test_the_other_way_something_stays_behind():
    """The target has directions that the source lacks: how much is what their spreads say."""
    source, random = basis(6), np.random.default_rng(7)
    own = part_of(source, random.standard_normal((4, 6)), np.zeros(6), 7, share=1)
    further = basis(3, key=8, size=1.0).directions[:, own.vertices]
    found = {}
    for spread in (1e-3, 0.4, 3.0):
        target = dataclasses.replace(
            own,
            directions=np.concatenate([own.directions, further]),
            usual=np.append(own.usual, np.zeros(3)),
            spread=np.append(own.spread, np.full(3, spread)),
        )
        bridge = found[spread] = build(source, target)
        parts = [spread**2 * (further**2).sum(), ((own.spread[:, None, None] * own.directions) ** 2).sum()]
        assert bridge.share_lost == pytest.approx(np.sqrt(parts[0] / sum(parts)), rel=0.1)
        assert bridge.moved == pytest.approx(np.sqrt(sum(parts) / WHOLE), rel=0.1)
    assert [found[spread].refusal() == "" for spread in found] == [True, True, False]
    assert found[0.4].share_lost < MOST_LOST < found[3.0].share_lost
    share = f"{found[3.0].share_lost:.0%} of the movement"
    assert found[3.0].refusal().startswith(share) and "more than 25%" in found[3.0].refusal()
    assert "stays behind" in found[0.4].note() and f"the {WHOLE} vertices" in found[0.4].note()


def test_head_movements_in_it_are_no_loss():
    source, random = basis(), np.random.default_rng(9)
    own = part_of(source, random.standard_normal((4, 12)), np.zeros(12), 9)
    own = dataclasses.replace(own, usual=np.zeros(4))
    shift, turn = np.array([0.0, 4.0, 1.0]), np.cross([0.0, 0.05, 0.02], own.mean)
    moving = own.directions + shift + turn
    bridge = build(source, dataclasses.replace(own, directions=moving))
    assert bridge.share_lost < 1e-6
    np.testing.assert_allclose(bridge.matrix, build(source, own).matrix, atol=1e-6)


def test_another_mesh_of_the_same_name_is_found_out():
    source = basis()
    shuffled = np.random.default_rng(1).permutation(WHOLE)
    bridge = build(source, dataclasses.replace(source, vertices=shuffled))
    assert bridge.apart > MOST_APART
    assert "faces at rest are" in bridge.refusal() and "aren't the same mesh" in bridge.refusal()
    mirrored = dataclasses.replace(source, mean=source.mean * [1, 1, -1], directions=source.directions * [1, 1, -1])
    assert build(source, mirrored).refusal()
    millimetres_for_metres = dataclasses.replace(source, metres_per_unit=1.0)
    assert build(source, millimetres_for_metres).refusal()


def test_too_few_vertices_or_other_meshes():
    source = basis()
    beside = {"mean": source.mean[:60], "directions": source.directions[:, :60], "vertices": np.arange(110, 170)}
    with pytest.raises(UsageError, match="only 10 vertices in common, of 60"):
        build(source, dataclasses.replace(source, **beside))
    with pytest.raises(UsageError, match="different meshes, mesh and other"):
        build(source, dataclasses.replace(source, topology="other"))


def test_codes_of_other_lengths():
    source = basis()
    bridge = build(source, part_of(source, np.eye(12), np.zeros(12), 3))
    few = bridge.carry(Codes({"expression": torch.ones(2, 4)}))["expression"]
    np.testing.assert_allclose(few, [[1.0] * 4 + [0.0] * 8] * 2, atol=1e-5)
    with pytest.raises(UsageError, match="expression is 13 numbers, its model has 12"):
        bridge.carry(Codes({"expression": torch.ones(1, 13)}))
    with pytest.raises(UsageError, match="codes of b hold no expression"):
        bridge.carry(Codes({"identity": torch.ones(1, 13)}, "b"))


def test_who_goes_with_whom():
    def plugin(name, family, topology=""):
        return Plugin(name, "", "", "", family=family, expression_topology=topology, reconstructor="a:b")

    one, two, three = plugin("one", "f"), plugin("two", "f"), plugin("three", "g")
    four, five = plugin("four", "h", "mesh"), plugin("five", "i", "mesh")
    known = {each.name: each for each in (one, two, three, four, five)}
    assert may_mix(one, two) and may_mix(four, five) and not may_mix(one, three) and not may_mix(one, four)
    assert companions(one, known) == "one goes with two"
    assert companions(three, known) == "three goes with itself alone"
    assert companions(five, known) == "five goes with four where their bases agree"
