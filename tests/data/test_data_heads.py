"""Which face model is taken, and FLAME as one."""

from __future__ import annotations

import numpy as np
import pytest

from facecli.assets import places
from facecli.data.heads import HeadChoice, choose_heads
from facecli.errors import InputError, MissingAssetError, UsageError


def test_without_a_word_the_formula_unless_ict_is_found(own_assets):
    assert choose_heads() == HeadChoice("formula")
    (own_assets / "there").mkdir()
    (own_assets / "there" / "ict_facekit.npz").touch()
    places.rescan()
    assert choose_heads() == choose_heads("ict") == HeadChoice("ict", own_assets / "there" / "ict_facekit.npz")
    assert choose_heads("formula") == HeadChoice("formula")


def test_a_file_of_ones_own_wins(own_assets, tmp_path):
    mine = tmp_path / "mine.npz"
    mine.touch()
    assert choose_heads(None, mine) == HeadChoice("ict", mine)
    assert choose_heads("flame", mine) == HeadChoice("flame", mine)
    with pytest.raises(UsageError, match="takes no --face-model"):
        choose_heads("formula", mine)
    with pytest.raises(InputError, match="no such file"):
        choose_heads(None, tmp_path / "nowhere.npz")


def test_what_is_not_there_is_told(own_assets):
    with pytest.raises(UsageError, match="ict, flame, formula, not 'bfm'"):
        choose_heads("bfm")
    with pytest.raises(MissingAssetError, match=r"ICT-FaceKit.*--faces formula"):
        choose_heads("ict")
    with pytest.raises(MissingAssetError, match="flame"):
        choose_heads("flame").load()


def test_flame_is_a_head_model_painted_by_its_masks(official):
    from facecli.data.head_model import HeadModel
    from facecli.data.render_head import HeadRenderer
    from facecli.data.scene import SETS

    model = HeadChoice("flame").load()
    assert isinstance(model, HeadModel) and model.triangles.shape == (9976, 3)
    rng = np.random.default_rng(0)
    identity, expression = model.sample_identity(rng)[None], model.sample_expression(rng)[None]
    moved, rest = model.vertices(np.repeat(identity, 2, 0), np.concatenate([expression, 0 * expression]))
    assert 100 < np.ptp(rest[:, 1]) < 400  # millimetres
    assert np.abs(moved - rest).max() > 1
    assert model.landmarks(rest[None]).shape == (1, 68, 3)
    fields = model.fields()
    assert {"hair", "lips", "eyeball", "iris"} <= set(fields) and (fields["eyeball"] > 0.5).any()
    assert not model.skin.all() and (model.face <= model.skin).all()
    head = HeadRenderer(model, SETS["easy"], 96).render(0, 0)
    assert head.labels.face.any() and head.image.std() > 5
