"""The titles of the landscape scenes are claims: each is measured on the very run that the scene shows."""

import numpy as np
import pytest

from engine.claim import Claim
from engine.figures.optimizer_landscape import SCENES, VIEWS
from engine.optimizer_paths import landscape_claims
from tests.topics import filming

frames = filming(SCENES, VIEWS)
CLAIMS = [one for one in vars(landscape_claims).values() if isinstance(one, Claim)]


def end(name, **changes):
    return frames(name, **changes)[-1]


@pytest.mark.parametrize("seed", [0, 1])
def test_two_directions_hold_most_of_the_path(seed):
    run = frames("valley", seed=seed)
    assert run[-1].explained > 0.9 and run[-1].true_loss < 0.05
    assert run[0].true_loss > 1.05 * run[0].plane_loss  # the plane flatters the start


@pytest.mark.parametrize("seed", [0, 1])
def test_a_random_plane_misses_the_path(seed):
    run = frames("blind", seed=seed)
    assert run[-1].explained < 0.02 and min(f.residual for f in run[:-1]) > 0.95
    assert max(f.plane_loss for f in run) < 0.1 * run[0].true_loss


def test_the_sharpest_plane_is_a_narrow_gorge():
    assert end("gorge").height.mean() > end("blind").height.mean() + 1  # ten times as high, on the whole


def test_nearly_all_curvatures_are_almost_zero():
    assert all(f.near_zero > 0.95 for f in frames("bulk")[5:])


def test_on_digits_the_limit_is_never_met():
    assert max(f.largest / f.limit for f in frames("below")) < 0.5


def test_sam_ends_flatter():
    assert end("ahead").largest < 0.8 * end("ahead", rule="gd").largest


def test_the_same_function_sixty_times_sharper():
    last = end("sharper")
    assert 55 < last.ratio < 70 and max(f.output_change for f in frames("sharper")) < 1e-5


def test_a_filter_normalised_cut_sees_no_change():
    run = frames("fair")
    assert max(np.abs(f.fair - run[0].fair).max() for f in run) < 1e-3
    assert max(np.abs(f.plain - run[0].plain).max() for f in run) > 0.5


def test_walls_between_minima():
    bare, ordered, together = end("wall"), end("reorder"), end("together")
    assert bare.wall > 0.15 and bare.accuracy - bare.middle_accuracy > 0.05
    assert ordered.matched_wall < 0.5 * ordered.wall
    assert together.wall < 0.02 and together.gap > 0.05


def test_at_equal_flow_noise_means_flatter():
    last = end("noise")
    assert last.rank < -0.7 and last.largest[0].mean() < 0.9 * last.largest[-1].mean()


def test_at_equal_epochs_the_ratio_is_training_time():
    assert end("confound").time_rank > 0.99 and end("confound").done == 1


def test_it_sharpens_until_its_step_stops_it():
    run = frames("edge")
    late = np.median([f.share for f in run[-len(run) // 3 :]], 0)
    assert (run[0].share < 0.95).all() and (abs(late - 1) < 0.05).all()


def test_digits_with_relu_leave_the_edge_alone():
    run = frames("control")
    assert all((f.share < 0.6).all() for f in run) and (run[-1].share < 0.1).all()


def test_every_statement_has_its_claim():
    assert [one.id for one in CLAIMS] == ["FL-1", "FL-2", "FL-3", "FL-4", "SAM-1", "NC-1"]
