"""The surface, the Jacobians and the Taylor terms, against automatic differentiation and closed forms."""

from itertools import permutations

import numpy as np
import pytest
import torch
from torch import Tensor

from engine.device import generator
from engine.knob import extremes, parse, tidy
from engine.maml_adaptation import jacobians, surface, taylor
from engine.maml_adaptation.surface import HALF, STEPS, A, B, valleys

TASKS = valleys(generator(3), 8.0, 0.15, 0.6)
PHI = torch.tensor([-1.3, 0.9], dtype=torch.float64)


def stepped(phi: Tensor, fast_lr: float, steps: int, sets: tuple[int, ...] = (A,)) -> Tensor:
    """Where the inner steps lead, with gradients that one can go back through: (2,) -> (t, 2)"""
    at = phi.expand(5, 2)
    for j in range(steps):
        (g,) = torch.autograd.grad(TASKS.loss(sets[j % len(sets)], at).sum(), at, create_graph=True)
        at = at - fast_lr * g
    return at


def fresh(phi: Tensor) -> Tensor:
    return phi.clone().requires_grad_()


# --- the tasks --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("which", [A, B])
def test_gradient_and_hessian_of_the_valleys(which):
    w = torch.randn(7, 5, 2, generator=generator(0), dtype=torch.float64).requires_grad_()
    (g,) = torch.autograd.grad(TASKS.loss(which, w).sum(), w, create_graph=True)
    torch.testing.assert_close(TASKS.gradient(which, w), g)
    rows = [torch.autograd.grad(g[..., i].sum(), w, retain_graph=True)[0] for i in (0, 1)]
    torch.testing.assert_close(TASKS.hessian(which, w), torch.stack(rows, -2))


def test_the_valleys_are_as_the_knobs_say():
    for which in (A, B):
        torch.testing.assert_close(TASKS.loss(which, TASKS.centre[which]), torch.zeros(5).double())
        found = torch.linalg.eigvalsh(TASKS.matrix[which])
        torch.testing.assert_close(found, torch.tensor([1 / 8, 1.0]).double().expand(5, 2))
    gap = (TASKS.centre[A] - TASKS.centre[B]).norm(dim=1)
    torch.testing.assert_close(gap, torch.full((5,), 0.6).double())
    assert (TASKS.centre.abs() < HALF).all()


def test_by_hand_one_value():
    d = torch.tensor([0.3, -0.4]).double()
    one = TASKS._replace(
        matrix=torch.eye(2).double().expand(2, 5, 2, 2), along=torch.eye(2).double().expand(2, 5, 2, 2)
    )
    seen = one.loss(A, one.centre[A] + d)
    torch.testing.assert_close(seen, torch.full((5,), 0.25 / 2 + 0.15 / 4 * (0.3**4 + 0.4**4)).double())


# --- the methods ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("k", range(6))
def test_maml_is_the_gradient_through_the_steps(k):
    phi = fresh(PHI)
    (exact,) = torch.autograd.grad(TASKS.loss(B, stepped(phi, 0.3, k)).mean(), phi)
    torch.testing.assert_close(surface.maml(TASKS, PHI, 0.3, k), exact, rtol=1e-12, atol=1e-13)
    every = jacobians.through(TASKS, PHI, 0.3, k)
    torch.testing.assert_close(every.mean(0), exact, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("k", [0, 1, 4])
def test_fomaml_is_the_gradient_where_the_steps_end(k):
    end = stepped(fresh(PHI), 0.3, k).detach().requires_grad_()
    (g,) = torch.autograd.grad(TASKS.loss(B, end).sum(), end)
    torch.testing.assert_close(surface.fomaml(TASKS, PHI, 0.3, k), g.mean(0))


def test_reptile_is_the_mean_gradient_met_on_the_way():
    ends = [stepped(fresh(PHI), 0.3, k, (A, B)).detach() for k in range(3)]
    met = [TASKS.gradient(j % 2, one) for j, one in enumerate(ends)]
    torch.testing.assert_close(surface.reptile(TASKS, PHI, 0.3, 3), torch.stack(met).mean((0, 1)))
    assert surface.reptile(TASKS, PHI, 0.3, 0).isnan().all()


def test_joint_takes_no_step():
    phi = fresh(PHI)
    loss = (TASKS.loss(A, phi.expand(5, 2)) + TASKS.loss(B, phi.expand(5, 2))).mean() / 2
    torch.testing.assert_close(surface.joint(TASKS, PHI, 0.3, 4), torch.autograd.grad(loss, phi)[0])


def test_with_short_steps_all_methods_nearly_agree():
    short, long = ([f.turned for f in surface.run(surface.Config(fast_lr=e))][2] for e in (0.01, 0.4))
    assert short.max() < 10 and short[1] < 1 and long[1:].min() > 90


# --- the surface ------------------------------------------------------------------------------------------------


def test_the_surface_is_the_loss_after_the_steps_and_falls_along_maml():
    cfg = surface.Config(phi_x=surface.places()[20, 30, 0].item(), phi_y=surface.places()[20, 30, 1].item())
    frames = list(surface.run(cfg))
    assert len(frames) == STEPS + 1
    for f in frames:
        assert 10 ** float(f.height[20, 30]) == pytest.approx(f.loss, rel=1e-5)
        assert 10 ** float(f.height.min()) == pytest.approx(f.least, rel=1e-5) and f.least <= f.middle + 1e-12
        lowest = np.unravel_index(f.height.argmin(), f.height.shape)
        np.testing.assert_allclose(f.best[0], surface.places()[lowest].numpy())
    f, wide = frames[3], 2 * HALF / surface.EDGE
    up = np.array([f.height[20, 31] - f.height[20, 29], f.height[21, 30] - f.height[19, 30]]) / (2 * wide)
    np.testing.assert_allclose(-up / np.linalg.norm(up), f.maml[0], atol=0.05)


def test_readouts_of_the_surface():
    cfg = surface.Config()
    first = next(surface.run(cfg))
    values = np.linalg.eigvalsh(np.eye(2) - cfg.fast_lr * cfg.tasks.hessian(A, cfg.phi.expand(5, 2)).numpy())
    np.testing.assert_allclose(first.factor, [values.min(), values.max()])
    assert (1 - first.factor[0]) / cfg.fast_lr == pytest.approx(2 / first.limit)
    for f in surface.run(cfg):
        ways = np.concatenate([getattr(f, name) for name in surface.WAYS])
        known = ~np.isnan(ways[:, 0])
        np.testing.assert_allclose(np.linalg.norm(ways[known], axis=1), 1)
        cosine = np.clip(ways[known] @ ways[0], -1, 1)
        np.testing.assert_allclose(f.turned[known], np.degrees(np.arccos(cosine)), atol=1e-5)
        np.testing.assert_array_equal(f.walks[:, f.step :], f.walks[:, f.step : f.step + 1].repeat(11 - f.step, 1))


def test_on_a_quadratic_the_steps_are_powers_and_run_away_past_two_over_lambda():
    cfg = surface.Config(bend=0.0, fast_lr=1.2)
    tasks, path = cfg.tasks, surface.walk(cfg.tasks, cfg.phi, 1.2, STEPS)
    factor = torch.eye(2).double() - 1.2 * tasks.matrix[A]
    for k in (1, 4, 10):
        closed = torch.einsum("tij,tj->ti", torch.linalg.matrix_power(factor, k), cfg.phi - tasks.centre[A])
        torch.testing.assert_close(path[k] - tasks.centre[A], closed)
    assert next(surface.run(cfg)).limit == pytest.approx(2.0)
    calm, wild = (list(surface.run(surface.Config(bend=0.0, fast_lr=e)))[-1].diverged for e in (1.95, 3.0))
    assert (calm, wild) == (0, 5)


def test_steps_that_diverge_are_marked_and_stopped():
    cfg = surface.Config(fast_lr=3.0, bend=0.3, phi_x=3.0, phi_y=-3.0)
    frames = list(surface.run(cfg))
    last = frames[-1]
    assert surface.diverges(cfg) and last.diverged == 5 and not surface.diverges(surface.Config())
    assert np.isfinite(last.height).all() and np.isfinite([last.loss, last.least, last.middle]).all()
    assert np.isnan([last.maml, last.fomaml, last.reptile]).all() and np.isfinite(last.joint).all()
    assert np.isnan(last.turned).all() and abs(last.walks).max() <= HALF + 1e-5
    np.testing.assert_allclose(abs(last.lost).max(1), HALF)
    assert np.isnan(frames[0].lost).all()


def test_weights_dragged_out_of_the_plot_go_to_its_edge():
    assert tidy(surface.Config, {"phi_x": 99.0, "phi_y": -7.5}).phi.tolist() == [HALF, -HALF]
    cfg, notes = parse(jacobians.Config, {"phi_x": "nan", "task": "9"})
    assert cfg.phi_x == surface.Config().phi_x and cfg.task == 5 and len(notes) == 2


# --- the Jacobians ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("task", [2, 5])
def test_the_product_is_the_transposed_jacobian_of_the_steps(task):
    cfg = jacobians.Config(task=task, fast_lr=0.5)
    tasks, t = cfg.tasks, task - 1
    for f in jacobians.run(cfg):

        def move(phi: Tensor, k: int = f.step) -> Tensor:
            at = phi.expand(5, 2)
            for _ in range(k):
                at = at - cfg.fast_lr * tasks.gradient(A, at)
            return at[t]

        whole = torch.autograd.functional.jacobian(move, cfg.phi)
        assert isinstance(whole, Tensor)
        np.testing.assert_allclose(f.product, whole.numpy().T, atol=1e-13)
        np.testing.assert_allclose(f.stretch, np.linalg.svd(f.product)[1], atol=1e-13)
        np.testing.assert_allclose(f.swapped, f.outer @ f.product, atol=1e-13)
        np.testing.assert_allclose(f.right, f.outer @ f.product.T, atol=1e-13)
        np.testing.assert_allclose(f.circle[0], f.product[:, 0])
        assert f.error < 1e-12 and np.linalg.norm(f.outer) == pytest.approx(1)
        assert f.miss == pytest.approx(np.linalg.norm(f.right - f.swapped) / np.linalg.norm(f.right))
        here = tasks.hessian(A, torch.from_numpy(f.walk[-1]).expand(5, 2))[t].numpy()
        np.testing.assert_allclose(f.factor, np.linalg.eigvalsh(np.eye(2) - cfg.fast_lr * here), atol=1e-12)


def test_one_step_needs_no_transposition_and_two_do():
    frames = list(jacobians.run(jacobians.Config()))
    assert frames[0].miss == 0 and frames[1].miss < 1e-14
    assert all(f.miss > 0.01 and f.turned > 1 for f in frames[2:])


def test_a_task_that_diverges_has_no_product_from_then_on():
    cfg = jacobians.Config(fast_lr=3.0)
    frames = list(jacobians.run(cfg))
    at = frames[-1].diverged
    assert jacobians.diverges(cfg) and at > 0 and not jacobians.diverges(jacobians.Config())
    assert np.isfinite(frames[at - 1].product).all() and np.isnan(frames[at].product).all()
    assert frames[at - 1].diverged == -1 and np.isnan(frames[at - 1].lost).all() and np.isfinite(frames[at].lost).all()
    assert np.isfinite(frames[at].factor).all()


def test_the_ground_is_the_loss_of_the_task():
    cfg = jacobians.Config(task=2)
    found, at = jacobians.ground(cfg.tasks, 1), surface.places()[10, 60]
    assert 10 ** found[10, 60] == pytest.approx(float(cfg.tasks.loss(A, at.expand(5, 2))[1]), rel=1e-5)


# --- the Taylor terms -------------------------------------------------------------------------------------------


def naive(net: taylor.Net, weights: Tensor, rows: taylor.Batches, alpha: float) -> Tensor:
    """The three gradients, a row at a time, by automatic differentiation through the steps."""
    found = []
    for x, y in zip(rows.x, rows.y, strict=True):
        start = weights.clone().requires_grad_()
        at, met = start, []
        for one, other in zip(x, y, strict=True):
            (g,) = torch.autograd.grad(net.loss(at[None], one[None], other[None]).sum(), at, create_graph=True)
            met.append(g)
            before, at = at, at - alpha * g
        (full,) = torch.autograd.grad(net.loss(before[None], x[-1:], y[-1:]).sum(), start)
        found.append(torch.stack([full, met[-1], torch.stack(met).sum(0)]).detach())
    return torch.stack(found).mean(0)


@pytest.mark.parametrize(("units", "k"), [("tanh", 1), ("tanh", 3), ("softplus", 2), ("relu", 2)])
def test_the_gradients_of_the_methods(units, k):
    made = taylor.expansion(taylor.Config(adaptation_steps=k, units=units, shots=3))
    some = taylor.Batches(made.rows.x[::9], made.rows.y[::9])
    found = taylor.methods(made.net, made.weights, some, 0.01)
    torch.testing.assert_close(found, naive(made.net, made.weights, some, 0.01), rtol=1e-10, atol=1e-12)


def test_the_second_term_is_half_the_gradient_of_the_agreement():
    made = taylor.expansion(taylor.Config())
    at = made.weights.clone().requires_grad_()
    slopes = [
        torch.autograd.grad(made.net.loss(at[None], x[None], y[None]).sum(), at, create_graph=True)[0]
        for x, y in zip(made.rows.x[:, 0], made.rows.y[:, 0], strict=True)
    ]
    others = [
        torch.autograd.grad(made.net.loss(at[None], x[None], y[None]).sum(), at, create_graph=True)[0]
        for x, y in zip(made.rows.x[:, 1], made.rows.y[:, 1], strict=True)
    ]
    agreement = torch.stack([a @ b for a, b in zip(slopes, others, strict=True)]).mean()
    torch.testing.assert_close(made.both[0], torch.stack(slopes).mean(0).detach())
    torch.testing.assert_close(made.both[1], torch.autograd.grad(agreement, at)[0] / 2)


def test_minibatches_come_in_every_order():
    cfg = taylor.Config(adaptation_steps=3, shots=2)
    rows, singles = taylor.batches(cfg, 3), taylor.batches(cfg, 1)
    assert rows.x.shape == (taylor.TASKS * 24, 3, 2, 1) and singles.x.shape == (taylor.TASKS * 4, 1, 2, 1)
    seen = {tuple(row.flatten().tolist()) for row in rows.x[:24]}
    assert seen == {
        tuple(torch.cat([singles.x[i, 0] for i in order]).flatten().tolist()) for order in permutations(range(4), 3)
    }


@pytest.mark.parametrize("k", [2, 3, 4])
def test_theory_is_what_an_expansion_of_polynomials_gives(k):
    """On random quadratics with gradients g + H w, the mean over orders, to first order in alpha, by differences."""
    rng = generator(k)
    h = torch.randn(4, 6, 6, generator=rng, dtype=torch.float64)
    h, g = h + h.mT, torch.randn(4, 6, generator=rng, dtype=torch.float64)

    def ways(alpha: float) -> Tensor:
        found = []
        for order in permutations(range(4), k):
            w, met = torch.zeros(6).double(), []
            for i in order:
                met.append(g[i] + h[i] @ w)
                w = w - alpha * met[-1]
            v = met[-1]
            for i in order[-2::-1]:
                v = v - alpha * h[i] @ v
            found.append(torch.stack([v, met[-1], torch.stack(met).sum(0)]))
        return torch.stack(found).mean(0)

    inner = torch.stack([h[i] @ g[j] for i, j in permutations(range(4), 2)]).mean(0)
    first, second = taylor.theory(k).T
    slope = (ways(1e-6) - ways(-1e-6)) / 2e-6
    torch.testing.assert_close(ways(0.0), torch.from_numpy(np.outer(first, g.mean(0))))
    torch.testing.assert_close(slope, torch.from_numpy(np.outer(second, inner)), rtol=1e-6, atol=1e-6)


def test_amounts_are_least_squares():
    rng = np.random.default_rng(0)
    columns, found = torch.from_numpy(rng.normal(size=(2, 40))), torch.from_numpy(rng.normal(size=(3, 40)))
    np.testing.assert_allclose(taylor.fitted(columns, found), np.linalg.lstsq(columns.numpy().T, found.numpy().T)[0].T)
    assert np.isnan(taylor.fitted(columns, found * torch.nan)).all()


def test_slopes_of_powers():
    before, now = np.array([0.1, 0.01, 0.1, 0.0]), np.array([0.01, 0.0001, 0.01, 0.0])
    np.testing.assert_allclose(taylor.slopes(before, now), [2, 1, np.nan])
    assert np.isnan(taylor.slopes(None, now)).all()


def test_step_sizes_go_from_long_to_short():
    sizes = [f.size for f in taylor.run(taylor.Config(longest=0.1, shots=1))]
    assert sizes[0] == pytest.approx(0.1) and sizes[-1] == pytest.approx(1e-4) and sizes == sorted(sizes, reverse=True)


# --- all of them ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("part", [surface, jacobians, taylor])
def test_the_same_settings_give_the_same_run_and_extremes_are_no_trouble(part):
    one, other = (list(part.run(part.Config()))[-1] for _ in range(2))
    for a, b in zip(one, other, strict=True):
        np.testing.assert_array_equal(a, b)
    for cfg in extremes(part.Config):
        frames = part.run(cfg)
        first = next(frames)
        last = next(frames) if part is taylor else list(frames)[-1]
        assert last._fields == first._fields


def test_a_network_that_blows_up_is_shown_as_such():
    f = next(taylor.run(taylor.Config(adaptation_steps=4, longest=0.2, units="softplus")))
    assert np.isfinite(f.first).all() or np.isnan(f.first).all()
    wild = taylor.expansion(taylor.Config(adaptation_steps=4, units="relu"))
    found, columns = wild.at(1e200)
    assert np.isnan(taylor.fitted(columns, found)).all()
