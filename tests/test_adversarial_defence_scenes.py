"""The titles of the defence scenes are claims: each is measured on the very run that the scene shows."""

from pathlib import Path

import numpy as np
import pytest

from engine.adversarial_examples import defence_claims
from engine.claim import Claim
from engine.figures.adversarial_defence import SCENES, VIEWS
from engine.knob import tidy
from tests.topics import drawn, filming

frames = filming(SCENES, VIEWS)
CLAIMS = [one for one in vars(defence_claims).values() if isinstance(one, Claim)]
BY_NAME = {view.name: view for view in VIEWS}


def end(name, **changes):
    return frames(name, **changes)[-1]


@pytest.mark.parametrize("name", [scene.name for scene in SCENES])
def test_every_scene_can_be_drawn(name):
    drawn(name, SCENES, VIEWS, frames(name))


def test_hold_the_worst_change_and_differentiate():
    run = frames("envelope")
    assert run[-1].error < 1e-3 < 0.1 < run[0].error and run[-1].exact_error < 1e-6
    assert abs(run[-1].slope - run[-1].right) < 1e-3 < abs(run[0].slope - run[0].right)
    assert (run[-1].envelope[:, 1] >= run[-1].held[:, 1] - 1e-6).all()


def test_a_local_maximum_gives_the_wrong_gradient():
    last = end("stuck")
    assert last.gap > 0.02 and last.error > 0.3 and last.exact_error < 1e-6
    assert end("stuck", steps=60).error > 0.3


def test_two_worst_changes_make_a_kink():
    last = end("kink")
    assert last.right - last.left > 0.2 and last.gap < 1e-9 and last.exact_error > 0.1


def test_the_boundary_moves_away_from_the_points():
    run = frames("distance")
    gain = run[-1].robust[1, 1] - run[-1].robust[0, 2]  # the worst defended network over the best plain one
    assert gain > 0.1 and run[-1].clean[1, 0] > 0.95


def test_forty_points_gained_hardly_two_paid():
    last = end("paid")
    assert last.robust[1, 0] - last.robust[0, 0] > 0.4 and last.clean[0, 0] - last.clean[1, 0] < 0.02
    assert last.robust[0, 0] < 0.15 and last.shaped[1] > 1.3 * last.shaped[0]


def test_balls_that_overlap_cannot_all_be_right():
    last = end("toofar")
    assert last.clean[0, 0] - last.clean[1, 0] > 0.05 and last.robust[1, 0] < 0.8
    assert last.robust[1, 1] > last.robust[0, 2] + 0.4


def test_more_radius_less_clean_accuracy():
    last = end("frontier")
    assert 0.02 < last.paid < 0.06 and last.gained > 0.35
    assert (np.diff(last.shaped[:, 1]) > 0).all() and np.diff(last.clean[:, 1]).max() < 0.5


def test_a_little_clean_data_buys_accuracy_back():
    last = end("mixture")
    assert np.diff(last.robust[:, 1]).max() < 0.5 and np.diff(last.clean[:, 1]).min() > -0.6
    assert last.clean[2, 1] > last.clean[0, 1] + 0.3 and last.robust[2, 1] > last.robust[0, 1] - 3
    assert last.robust[6, 1] > last.robust[7, 1] + 20


def test_it_looks_robust_and_is_not():
    at = min(frames("masked"), key=lambda f: abs(f.factor - 75))
    assert at.single < 1 / 14 and at.silent > 0.9 and at.margin > 0.8
    assert frames("masked")[0].single > 0.8
    assert {f.accuracy for f in frames("masked")} == {end("masked").accuracy}


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_tenth_flipped_costs_a_few_points(seed):
    run = frames("flips", seed=seed)
    assert 0.005 < run[0].mean - run[8].mean < 0.04 and abs(run[-1].mean - 0.5) < 0.05
    assert run[20].mean > 0.8


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_surest_labels_turn_the_line_around(seed):
    assert end("surest", seed=seed).test < 0.25 < 0.7 < end("surest", seed=seed, attack="random").mean


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_perfect_training_score_and_a_bad_model(seed):
    last = end("perfect", seed=seed)
    assert last.train == 1 and last.test < 0.7 and frames("perfect", seed=seed)[0].test > 0.95


@pytest.mark.parametrize("seed", [0, 1])
def test_one_in_twenty_is_enough_for_a_backdoor(seed):
    last = end("backdoor", seed=seed)
    assert last.success_low > 0.9 and last.drop < 0.01 and (np.diff(last.curve_success[:, 1]) > 0).all()
    assert (last.read[10:] == 0).sum() >= 8


def test_half_the_way_in_pixels_there_in_features():
    run = frames("collision")
    assert run[-1].features < 0.2 and run[-1].pixels < 0.5 and run[-1].success > 0.9 and run[0].before == 0
    assert run[-1].clean - run[-1].accuracy < 0.005 and run[-1].clean > 0.98


def test_a_robust_network_is_harder_to_collide_with():
    last, plain = end("sturdy"), end("sturdy", training="standard")
    assert last.pixels > plain.pixels + 0.05 and last.features > plain.features


def test_two_numerals_that_are_the_same_are_told_apart():
    view = BY_NAME["collision"]
    mended, note = view.mend(tidy(view.config, {"target": 9, "base": 9}))
    assert mended.base == 0 and "must differ" in note


def test_a_drawn_sign_becomes_a_setting():
    view = BY_NAME["backdoor"]
    pixels = [0] * 784
    pixels[0:3] = [255, 255, 255]
    cfg = tidy(view.config, view.events["picture"]({"pixels": pixels, "size": 28}, view.config()))
    assert cfg.sign == "yours" and view.mend(cfg) == (cfg, "")
    with pytest.raises(ValueError, match="Nothing was drawn"):
        view.events["picture"]({"pixels": [0] * 784, "size": 28}, view.config())
    mended, note = view.mend(tidy(view.config, {"sign": "yours"}))
    assert mended.sign == "corner" and "draw one" in note


def test_every_scene_is_measured_here():
    text = Path(__file__).read_text("utf-8")
    assert not [scene.name for scene in SCENES if f'"{scene.name}"' not in text]


def test_every_statement_has_its_claim():
    assert [one.id for one in CLAIMS] == ["POI-1", "AT-1", "AT-2", "AT-3", "AT-4"]
