"""The titles of the dial's scenes are claims: each is measured on the very run that the scene shows."""

from pathlib import Path

import numpy as np
import pytest

from engine.claim import Claim
from engine.figures.latent_dial import SCENES, VIEWS
from engine.knob import tidy
from engine.latent_spaces import coding_claims
from tests.topics import filming

BY_NAME = {view.name: view for view in VIEWS}
frames = filming(SCENES, VIEWS)
CLAIMS = [one for one in vars(coding_claims).values() if isinstance(one, Claim)]


def end(name, **changes):
    return frames(name, **changes)[-1]


def test_pictures_can_be_brought():
    draw = np.random.default_rng(0)
    rows = "\n".join(",".join(map(str, row)) for row in draw.integers(0, 256, (12, 64)))
    (reader,) = [read for _, read in BY_NAME["dial"].uploads.values()]
    settings, notes = reader(rows.encode())
    cfg = tidy(BY_NAME["dial"].config, settings)
    assert cfg.data == "yours" and cfg.examples.pictures and "12 pictures" in notes[0]
    with pytest.raises(ValueError, match="expected at least 10"):
        reader(rows.split("\n")[0].encode())


def test_two_numbers_hold_ten_numerals():
    last = end("manifold")
    assert (
        last.knn > 0.95
        and last.wrong + last.pulled < 100
        and last.wrong + last.pulled < 0.65 * frames("manifold")[0].wrong
    )


def test_without_a_prior_codes_go_where_they_like():
    free, tied = end("unruly"), end("crowd")
    vae = end("unruly", method="vae")
    assert free.error < vae.error and free.sliced > 1.8 * free.sliced_floor
    assert free.sliced > 1.3 * max(tied.sliced, vae.sliced)


def test_a_penalty_on_the_crowd_matches_the_prior():
    last = end("crowd")
    assert last.sliced < 1.3 * last.sliced_floor and last.mmd < 1.2 * last.mmd_floor
    assert last.error < 0.85 * end("unruly", method="pca").error


def test_pull_too_hard_and_nothing_is_kept():
    last = end("dark")
    assert last.pulled < 0.02 and np.ptp(last.images[10:], 0).max() < 0.1
    assert last.error > 0.95 * frames("dark")[0].error
    assert end("crowd", beta=30.0, steps=300).error < 0.7 * last.error  # the crowd may be pulled as hard


def test_a_bent_sheet_unrolls():
    last, flat = end("sheet"), end("sheet", method="pca")
    assert last.error < 0.15 * flat.error and last.knn > 0.9


def test_the_error_is_the_eigenvalues_left_out():
    assert max(abs(f.error - f.discarded) for f in frames("sum")) < 1e-10
    assert frames("sum")[0].error > 4 and end("sum").error < 1e-10


def test_half_the_variance_in_a_few_pictures():
    assert 3 <= next(f.n_components for f in frames("glyphs") if f.cumulative >= 0.5) <= 12


def test_every_scene_is_measured_here_and_every_statement_claimed():
    texts = [
        Path(__file__).with_name(f"test_latent_{part}_scenes.py").read_text("utf-8") for part in ("dial", "adversary")
    ]
    assert not [scene.name for scene in SCENES if f'"{scene.name}"' not in "".join(texts)]
    assert [one.id for one in CLAIMS] == ["AE-1", "AE-2", "AE-3", "AE-4", "AAE-1", "AAE-2"]
