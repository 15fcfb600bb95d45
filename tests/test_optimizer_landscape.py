"""Networks, Hessians and planes against autograd, dense matrices and loops over torch's own modules."""

import numpy as np
import pytest
import torch
from torch import nn

from engine.device import DEVICE, generator
from engine.optimizer_paths import between, landscape, plane, rescale
from engine.optimizer_paths.critical import critical_points, hessians, teacher_task
from engine.optimizer_paths.lanczos import density, lanczos, sharpness, top
from engine.optimizer_paths.plane import Plane
from engine.optimizer_paths.rules import Hyper
from engine.optimizer_paths.task import Network, Task, all_digits, digit_tasks
from engine.optimizer_paths.training import Recipe, Training, final, learned, train
from tests.bench.landscape import careful_loop, module

CASES = [("tanh", "cross_entropy", (5, 7, 6, 3)), ("tanh", "square", (5, 7, 3)), ("relu", "cross_entropy", (5, 9, 3))]


def small(activation, kind, sizes, n=11):
    rng = generator(0)
    x = torch.randn(sizes[0], n, generator=rng, dtype=torch.float64)
    labels = torch.randint(sizes[-1], (n,), generator=rng)
    y = nn.functional.one_hot(labels, sizes[-1]).T.to(x)
    task = Task(Network(sizes, activation), x.to(DEVICE), y.to(DEVICE), kind)
    return task, task.net.init(3, rng).to(task.x)


@pytest.fixture(scope="module")
def trained():
    """A small relu network on the digits, trained a little: task and weights (1, size)."""
    task, rng = digit_tasks(16, 1)[0], generator(0)
    return task, final(train(task, task.net.init(1, rng), Recipe(), 200, rng)).weights


@pytest.mark.parametrize(("activation", "kind", "sizes"), CASES)
def test_outputs_are_those_of_torch_modules(activation, kind, sizes):
    task, weights = small(activation, kind, sizes)
    for one, out in zip(weights, task.net(weights, task.x), strict=True):
        torch.testing.assert_close(module(task.net, one)(task.x.T).T, out)


@pytest.mark.parametrize(("activation", "kind", "sizes"), CASES)
def test_gradient_and_hessian_are_those_of_autograd(activation, kind, sizes):
    task, weights = small(activation, kind, sizes)
    value = lambda w: task.loss(w[None])[0]  # noqa: E731
    dense = hessians(task, weights)
    for i, w in enumerate(weights):
        torch.testing.assert_close(
            task.gradient(weights)[i], torch.autograd.functional.jacobian(value, w), rtol=0, atol=1e-13
        )
        exact = torch.autograd.functional.hessian(value, w)
        torch.testing.assert_close(task.hessian(w[None]), exact, rtol=0, atol=1e-12)
        torch.testing.assert_close(dense[i], exact, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("activation", "kind", "sizes"), CASES)
def test_second_derivative_along_a_vector(activation, kind, sizes):
    task, weights = small(activation, kind, sizes)
    v = torch.randn(weights.shape, generator=generator(1)).to(weights)
    torch.testing.assert_close(task.bend(weights, v), (task.curvature(weights)(v) * v).sum(1))


def test_batches_of_each_network_are_its_own():
    task, weights = small(*CASES[0])
    rows = torch.tensor([[0, 1, 2], [3, 3, 4], [5, 6, 7]])
    together = task.take(rows).gradient(weights)
    for i in range(3):
        torch.testing.assert_close(task.take(rows[i]).gradient(weights[i : i + 1])[0], together[i])


def test_sharpness_against_the_dense_hessian(trained):
    task, weights = trained
    exact = torch.linalg.eigvalsh(task.to(torch.float64).hessian(weights.double()))
    for seed in range(3):
        assert sharpness(task, weights, generator(seed)) == pytest.approx(float(exact[-1]), rel=1e-6)
    values, vectors = top(task.curvature(weights), task.net.size, 2, generator(0), like=weights, tolerance=1e-5)
    np.testing.assert_allclose(values, exact[[-1, -2]].cpu().numpy(), rtol=1e-4)
    assert abs(float(vectors[0] @ vectors[1])) < 1e-5


def test_lanczos_ends_by_itself_where_the_space_is_small():
    matrix = torch.diag(torch.arange(6, dtype=torch.float64))
    found = lanczos(lambda v: v @ matrix, torch.ones(1, 6, dtype=torch.float64))
    np.testing.assert_allclose(found.ritz()[0], np.arange(6), atol=1e-12)
    flat = lanczos(lambda v: 0 * v, torch.ones(2, 6))
    assert (flat.ritz()[0] == 0).all()


def test_density_of_a_small_network_integrates_to_its_spectrum():
    task, weights = small(*CASES[1])
    exact = torch.linalg.eigvalsh(task.hessian(weights[:1])).cpu().numpy()
    places = np.linspace(exact.min() - 1, exact.max() + 1, 4001)
    start = torch.randn(300, task.net.size, generator=generator(0)).to(weights)
    spread = density(lanczos(task.curvature(weights[:1]), start, 30), places, 0.05)
    assert np.trapezoid(spread, places) == pytest.approx(1, abs=1e-3)
    assert np.trapezoid(spread * places, places) == pytest.approx(exact.mean(), abs=0.05 * exact.max())


@pytest.mark.parametrize("sizes", [(64, 16, 10), (64, 12, 8, 10)])
@pytest.mark.parametrize("activation", ["relu", "tanh"])
@pytest.mark.parametrize("reach", [1.0, 60.0])
def test_the_lattice_is_that_of_a_careful_loop(sizes, activation, reach):
    task, rng = all_digits(Network(sizes, activation)), generator(0)
    centre = task.net.init(1, rng)[0]
    flat = Plane(centre, plane.random_directions(task.net, centre, rng))
    xs = reach * torch.linspace(-1, 1, 5, device=DEVICE)
    found = torch.stack(list(plane.losses(task, flat, xs, xs + 0.1)))
    np.testing.assert_allclose(found.cpu(), careful_loop(task, flat, xs, xs + 0.1), rtol=1e-4)


def test_lattice_of_a_square_loss():
    task, weights = small(*CASES[1])
    flat = Plane(weights[0], weights[1:] - weights[:1])
    xs = torch.linspace(-1, 1, 4)
    spots = torch.cartesian_prod(xs, xs).flip(1)
    found = torch.stack(list(plane.losses(task, flat, xs, xs))).flatten()
    torch.testing.assert_close(found, task.loss(flat.at(spots)), rtol=1e-7, atol=1e-9)


def test_filters_are_as_long_as_their_own(trained):
    task, weights = trained
    drawn = plane.random_directions(task.net, weights[0], generator(0))
    for mine, own in zip(task.net.parts(drawn)[::2], task.net.parts(weights)[::2], strict=True):
        torch.testing.assert_close(mine.norm(dim=2), own.norm(dim=2).expand(2, -1))
    assert not any(bool(bias.any()) for bias in task.net.parts(drawn)[1::2])


def test_a_shadow_is_the_nearest_point_and_its_shares_add_up():
    rng = generator(0)
    path, along = torch.randn(9, 20, generator=rng), torch.randn(2, 20, generator=rng)
    seen = plane.shadow(Plane(path[-1], along), path)
    rest = (path - path[-1]).double() - seen.spots @ along.double()
    torch.testing.assert_close(rest @ along.double().T, torch.zeros(9, 2).double(), rtol=0, atol=1e-5)
    inside = (seen.spots @ along.double()).square().sum()
    assert float(inside / seen.distance.square().sum()) == pytest.approx(seen.explained)


def test_path_directions_are_the_best_plane():
    path = torch.randn(9, 20, generator=generator(0)).cumsum(0)
    best = plane.shadow(Plane(path[-1], plane.path_directions(path)), path).explained
    singular = torch.linalg.svdvals((path - path[-1]).double()).square()
    assert best == pytest.approx(float(singular[:2].sum() / singular.sum()))
    still = path[:1].expand(4, -1)
    assert plane.shadow(Plane(still[-1], plane.path_directions(still)), still).explained == 1.0


def test_a_training_replays_and_shares_its_tape():
    cfg = Training(steps=20, width=4)
    steps = [frame.step for frame in learned(cfg)[0]]
    assert steps == list(range(21)) and learned(landscape.Config(steps=20, width=4))[0] is learned(cfg)[0]
    task, rng = cfg.tasks[0], generator(0)
    again = final(train(task, task.net.init(1, rng), cfg.recipe, 20, rng)).weights
    torch.testing.assert_close(again[0], learned(cfg)[1][-1], rtol=0, atol=0)


def test_a_network_that_runs_away_is_held_and_told():
    task, weights = small(*CASES[1])
    recipe = Recipe("gd", torch.tensor([[1e-3], [1e9], [1e-3]], device=DEVICE), 0, Hyper())
    last = final(train(task, weights, recipe, 30, generator(0)))
    assert last.diverged[0] == -1 and last.diverged[1] > 0 and bool(last.weights.isfinite().all())


def test_a_picture_is_coarse_first_and_then_right():
    *_, end = landscape.run(landscape.Config(steps=40, width=8))
    first = next(landscape.run(landscape.Config(steps=40, width=8)))
    assert first.height.shape == (13, 13) and end.height.shape == (51, 51) and end.finished == 1.0
    assert end.height[25, 25] == pytest.approx(np.log10(end.true_loss), abs=1e-4) and np.isnan(end.residual)
    assert first.height[6, 6] == pytest.approx(end.height[25, 25], abs=1e-5)


def test_rescaling_keeps_the_function_and_refuses_what_would_not(trained):
    task, weights = trained
    for factor in (0.01, 100.0):
        out = task.net(rescale.rescaled(task.net, weights, factor), task.x)
        torch.testing.assert_close(out, task.net(weights, task.x), rtol=1e-4, atol=1e-4)
    with pytest.raises(ValueError, match="factor of -1"):
        rescale.rescaled(task.net, weights, -1)
    with pytest.raises(ValueError, match="tanh"):
        rescale.rescaled(Network((2, 2, 2), "tanh"), weights, 2.0)


def test_reordering_undoes_a_shuffle(trained):
    task, weights = trained
    shuffle = torch.randperm(16, generator=generator(0)).to(DEVICE)
    first, bias, second, last = task.net.parts(weights)
    pieces = first[:, shuffle], bias[:, shuffle], second[:, :, shuffle], last
    mixed = torch.cat([piece.flatten(1) for piece in pieces], 1)
    torch.testing.assert_close(task.net(mixed, task.x), task.net(weights, task.x), rtol=1e-4, atol=1e-4)
    back = between.matched(task.net, weights, mixed, task.x)
    assert float(task.loss(back)) == pytest.approx(float(task.loss(weights)), rel=1e-5)
    alive = task.net.forward(weights, task.x)[1][1][0].any(1)
    torch.testing.assert_close(task.net.parts(back)[0][0, alive], first[0, alive])


def test_a_wall_is_measured_above_the_line_between_the_ends():
    hill = torch.from_numpy(2 + 3 * between.LINE + np.exp(-50 * (between.LINE - 0.5) ** 2))
    assert between.wall(hill) == pytest.approx(1.0, abs=0.02)
    assert between.wall(torch.from_numpy(between.LINE) ** 2) == pytest.approx(0, abs=1e-6)


def test_critical_points_have_no_slope_left():
    rng = generator(0)
    task = teacher_task(Network((2, 3, 1), "tanh"), 20, rng)
    found = critical_points(task, task.net.init(30, rng).to(task.x), steps=300)
    assert len(found.loss) >= 2 and bool((found.index >= 0).all())
