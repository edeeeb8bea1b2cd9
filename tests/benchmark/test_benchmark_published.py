"""Published results: found by name, never mixed with another set's, marked where nobody has verified them."""

from __future__ import annotations

import pytest

from facecli.benchmark.published import known_methods, published
from facecli.errors import UsageError


def names(results):
    return [result.method for result in results]


def test_all_of_a_set_best_first():
    results = published("all", "nonmetrical", "test")
    assert len(results) == 18 and all((r.protocol, r.set) == ("nonmetrical", "test") for r in results)
    assert [r.median for r in results] == sorted(r.median for r in results)
    assert names(results)[0] == "TokenFace" and names(results)[-1] == "3DMM-CNN"
    assert names(published("all", "nonmetrical", "val")) == ["DECA", "DAD-3DHeads"]
    assert published("none", "nonmetrical", "test") == []


def test_numbers_of_the_table():
    (deca,) = published("DECA", "nonmetrical", "test")
    assert (deca.median, deca.mean, deca.std, deca.verified) == (1.09, 1.38, 1.18, True)
    (deca,) = published("deca", "metrical", "test")
    assert (deca.median, deca.mean, deca.std, deca.verified) == (1.35, 1.80, 1.64, False)
    (deca,) = published("deca", "nonmetrical", "val")
    assert (deca.median, deca.mean, deca.std, deca.verified) == (1.18, 1.46, 1.25, False)
    for protocol in ("nonmetrical", "metrical"):
        for result in published("all", protocol, "test"):
            assert 0 < result.median < result.mean < 5 and 0 < result.std < 5 and result.source
            assert result.verified == ("README" in result.source)


def test_names_by_key_other_name_or_in_full_each_once():
    wanted = ["MICA", "DECA", "Deep3D (PyTorch)"]
    by_median = sorted(wanted, key=["MICA", "DECA", "Deep3D (PyTorch)"].index)
    assert names(published("mica, EMOCA,deca,Deep3D (PyTorch)", "nonmetrical", "test")) == by_median
    assert names(published(["deep3d", "mica", "DECA"], "nonmetrical", "test")) == by_median
    for key in known_methods():
        assert published(key, "nonmetrical", "test")


def test_another_sets_numbers_come_only_when_asked_for_and_are_labelled():
    (mica,) = published("mica", "nonmetrical", "val")
    assert mica.set == "test" and not mica.comparable("nonmetrical", "val")
    assert mica.remarks("nonmetrical", "val") == ["test set", "unverified"]
    assert mica.remarks("nonmetrical", "test") == ["unverified"]
    assert {r.set for r in published("test", "nonmetrical", "val")} == {"test"}
    assert {r.set for r in published("all,test", "nonmetrical", "val")} == {"val", "test"}


def test_unknown_names():
    with pytest.raises(UsageError, match="did you mean tokenface"):
        published("tokenfac", "nonmetrical", "test")
    with pytest.raises(UsageError, match="there are all, none"):
        published("qqq", "nonmetrical", "test")
    with pytest.raises(UsageError, match="no published metrical numbers of focus"):
        published("FOCUS", "metrical", "test")
