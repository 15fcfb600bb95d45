"""The titles of the anatomy's scenes are claims: each is measured on the very run that the scene shows."""

import numpy as np
import pytest
import torch

from engine.claim import Claim
from engine.device import DEVICE
from engine.figures.latent_anatomy import SCENES, VIEWS
from engine.latent_spaces import between, bound_claims, collapse, factors, pullback
from tests.topics import filming

frames = filming(SCENES, VIEWS)
CLAIMS = [one for one in vars(bound_claims).values() if isinstance(one, Claim)]


def end(name, **changes):
    return frames(name, **changes)[-1]


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_same_mean_twenty_times_the_variance(seed):
    last = end("trick", seed=seed)
    assert abs(last.pathwise - last.exact) < 4 * last.pathwise_error
    assert abs(last.score - last.exact) < 4 * last.score_error
    assert 19 < last.ratio < 25


def test_where_f_jumps_slopes_know_nothing():
    last = end("jump")
    assert last.pathwise == 0 and last.exact > 0.4 and abs(last.score - last.exact) < 4 * last.score_error


def test_on_a_ripple_the_score_function_wins():
    last = end("ripple")
    assert last.ratio < 0.5 and abs(last.score - last.exact) < 4 * last.score_error


@pytest.mark.parametrize("seed", [0, 1])
def test_a_dimension_is_lit_where_its_eigenvalue_exceeds_the_noise(seed):
    last, values = end("stairs", seed=seed), collapse.data().values.cpu().numpy()[:10]
    lit = [(values > beta).sum() for beta in collapse.BETAS]
    assert (last.active == lit).all() and lit[0] == 10 and lit[-1] == 0 and last.off < 0.06


def test_deep_networks_get_more_out_of_a_nat():
    last, linear = end("bent"), collapse.exact_frontier(collapse.data().values, 10)[::-1]
    gain = np.interp(last.rate, *linear.T) / last.error
    assert (gain[:6] > 1.1).all() and (last.kl[:, collapse.BETAS.index(max(collapse.BETAS))] < 0.02).all()


@pytest.mark.parametrize("noise", [0, 1])
def test_in_holes_the_decoder_makes_things_up(noise):
    last = end("holes", noise=noise)
    assert last.hole > 1.25 * last.inside > 1.25 * last.remade and last.share > 0.08
    assert last.mmd2 > 10 * last.mmd2_floor


def test_a_stronger_pull_leaves_fewer_holes():
    last = end("filled")
    assert last.share < 0.4 * end("holes").share and last.mmd2 < end("holes").mmd2
    assert last.remade > end("holes").remade


def test_at_half_each_axis_has_its_own_factor():
    run = frames("sorted")
    best = next(f for f in run if abs(f.beta - 0.49) < 0.02)
    assert [factors.NAMES[k] for k in best.information[:3].argmax(1)] == ["shift_x", "shift_y", "slant"]
    for row in best.information[:3]:
        first, second = np.sort(row)[:-3:-1]
        assert first > 2 * second
    shift = run[0].information[:, factors.NAMES.index("shift_x")]
    assert shift.max() < 0.55 * shift.sum() and run[-1].active == 0  # smeared at the least β, gone at the largest


def test_halfway_pixels_make_a_ghost():
    middle = frames("ghosts")[between.STOPS // 2]
    assert middle.share == 0.5 and middle.pixel_off > 1.4 * middle.latent_off
    last = end("ghosts")
    assert last.walked > 2 * last.straight  # the decoded way bends


def test_one_step_here_is_three_steps_there():
    (model, spots) = (
        between.trained(between.Config().learning),
        torch.from_numpy(end("stretch").codes[:, :2]).to(DEVICE),
    )
    stretch = torch.linalg.eigvalsh(pullback.metric(model, spots).detach())[:, -1].sqrt().cpu()
    low, high = np.quantile(stretch, [0.1, 0.9])
    assert high > 2.5 * low


def test_every_statement_has_its_claim():
    assert [one.id for one in CLAIMS] == [f"VAE-{i}" for i in range(1, 9)]
