"""Sliced Wasserstein distance against assignment and closed forms, and the floor that luck sets."""

import math

import numpy as np
import pytest
import torch
from scipy.optimize import linear_sum_assignment

from engine.data.points import SETS
from engine.device import generator
from engine.distance import Truth, directions, off_manifold, sliced_w2


def assigned(x: torch.Tensor, y: torch.Tensor, along: torch.Tensor) -> float:
    """The same distance by solving an assignment for every direction, clouds repeated to one size."""
    size, total = math.lcm(len(x), len(y)), 0.0
    x, y = x.repeat_interleave(size // len(x), 0), y.repeat_interleave(size // len(y), 0)
    for u in along:
        cost = ((x @ u)[:, None] - (y @ u)[None]).square().numpy()
        total += cost[linear_sum_assignment(cost)].mean()
    return math.sqrt(total / len(along))


@pytest.mark.parametrize(("n", "m", "dim"), [(40, 40, 2), (30, 20, 2), (7, 12, 2), (1, 5, 2), (24, 36, 5)])
def test_sliced_w2_is_the_best_assignment(n, m, dim):
    rng = generator(0)
    x, y = torch.randn(n, dim, generator=rng).double(), 1 + torch.rand(m, dim, generator=rng).double()
    along = directions(8, dim, rng).double()
    assert sliced_w2(x, y, along) == pytest.approx(assigned(x, y, along), abs=1e-12)


@pytest.mark.parametrize("shift", [0.0, 0.5, 3.0])
@pytest.mark.parametrize("std", [0.2, 1.0, 2.0])
def test_sliced_w2_between_gaussians_has_its_closed_form(shift, std):
    """Between N(0, I) and N(a, s^2 I) in the plane: sqrt(|a|^2 / 2 + (1 - s)^2)."""
    rng, n = generator(1), 10_000
    x = torch.randn(n, 2, generator=rng)
    y = std * torch.randn(n, 2, generator=rng) + torch.tensor([0.6, 0.8]) * shift
    exact = math.sqrt(shift**2 / 2 + (1 - std) ** 2)
    assert sliced_w2(x, y) == pytest.approx(exact, abs=0.035)


def test_moving_a_cloud_costs_exactly_that():
    x = torch.randn(500, 2, generator=generator(0)).double()
    assert sliced_w2(x, x + torch.tensor([3.0, 4.0])) == pytest.approx(5 / math.sqrt(2), rel=1e-7)
    assert sliced_w2(x, x) == 0
    assert sliced_w2(x, x[:300]) == pytest.approx(sliced_w2(x[:300], x), abs=1e-12)


def test_directions_are_unit_vectors():
    for along in (directions(64), directions(64, 16, generator(0))):
        assert torch.allclose(along.norm(dim=1), torch.ones(64))
    assert torch.allclose(directions(64).T @ directions(64), 32 * torch.eye(2), atol=1e-4)


def test_a_truth_is_the_distance_to_its_large_cloud():
    p = SETS["moons"]()
    truth = Truth(p.sample, 200, generator(3), times=4)
    large, x = p.sample(800, generator(3)), p.sample(200, generator(4))
    assert truth(x) == pytest.approx(sliced_w2(x, large), abs=1e-6)
    assert truth(x[:150]) == pytest.approx(sliced_w2(x[:150], large), abs=1e-6)


@pytest.mark.parametrize("name", SETS)
def test_the_floor_is_where_true_samples_are(name):
    p = SETS[name]()
    truth = Truth(p.sample, 400, generator(0))
    fresh = np.array([truth(p.sample(400, generator(seed))) for seed in range(100, 140)])
    assert 0 < truth.spread < truth.floor
    assert abs(fresh.mean() - truth.floor) < 4 * truth.spread / math.sqrt(8) + 4 * fresh.std() / math.sqrt(40)
    assert truth(p.sample(400, generator(5)) + 0.5) > truth.floor + 4 * truth.spread


def test_off_manifold_of_one_gaussian_has_its_closed_form():
    p = SETS["eight_gaussians"]()
    x = p.sample(40_000, generator(0))
    for stds in (1.0, 2.0, 3.0):
        exact = math.exp(-(stds**2) / 2)
        assert off_manifold(x, p, stds) == pytest.approx(exact, abs=4 * math.sqrt(exact / 40_000))


@pytest.mark.parametrize("name", SETS)
def test_true_samples_are_on_the_manifold_and_lost_ones_off(name):
    p = SETS[name]()
    assert off_manifold(p.sample(4000, generator(0)), p) < 0.02
    assert off_manifold(torch.full((5, 2), float("nan")), p) == 1
    assert off_manifold(torch.full((5, 2), 100.0), p) == 1
