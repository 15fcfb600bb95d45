"""Momentum's roots, stable step sizes and bounds on rates, each against matrices, plain loops or random functions."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import bisect, minimize

from engine.knob import extremes
from engine.optimizer_paths import momentum, rates, stability
from engine.optimizer_paths.problems import MAKERS, PROBLEMS, Problem, problem
from engine.optimizer_paths.rules import RULES, Hyper

MUS = (0.0, 0.3, 0.5, 0.9, 0.99)
QUICK = settings(max_examples=40, deadline=None, derandomize=True)


def heavy_ball(alpha, beta, curvature):
    """What a step does to (error, velocity), written out by hand: v = beta v + c e, e = e - alpha v."""
    return np.array([[1 - alpha * curvature, -alpha * beta], [curvature, beta]])


# Momentum


@QUICK
@given(st.floats(0.01, 4), st.floats(0, 0.99), st.floats(0.001, 1))
def test_roots_are_the_eigenvalues_of_the_step(alpha, beta, curvature):
    found = momentum.roots(np.asarray(alpha), np.asarray(beta), np.asarray(curvature))
    values = np.linalg.eigvals(heavy_ball(alpha, beta, curvature))
    assert np.isclose(found.sum(), values.sum(), atol=1e-12) and np.isclose(found.prod(), values.prod(), atol=1e-12)
    assert abs(found).max() == pytest.approx(abs(values).max(), abs=1e-7)


@QUICK
@given(st.floats(0.01, 4), st.floats(0, 0.99), st.floats(1, 1000), st.integers(0, 200))
def test_the_closed_form_is_the_run(alpha, beta, condition, steps):
    cfg, _ = momentum.settled(momentum.Config(alpha, beta, condition, steps))
    seen = list(momentum.run(cfg))
    assert [f.step for f in seen] == list(range(steps + 1)) and seen[-1].gap < 1e-9
    powers, state = [], np.stack([np.ones(3), np.zeros(3)], 1)
    for _ in range(steps + 1):
        powers.append(state[:, 0])
        along = momentum.curvatures(condition)
        state = np.stack([heavy_ball(cfg.alpha, cfg.beta, c) @ s for c, s in zip(along, state, strict=True)])
    assert np.allclose([f.closed for f in seen], powers, rtol=0, atol=1e-9 * max(1, np.abs(powers).max()))


def test_the_run_is_that_of_torch():
    cfg, along = momentum.Config(alpha=1.7, beta=0.8, condition=50.0, steps=60), momentum.curvatures(50.0)
    w = torch.ones(3, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.SGD([w], lr=cfg.alpha, momentum=cfg.beta)
    for f in momentum.run(cfg):
        assert np.allclose(f.error, w.detach().numpy(), rtol=0, atol=1e-12)
        optimizer.zero_grad()
        (0.5 * torch.tensor(along) * w * w).sum().backward()
        optimizer.step()


@pytest.mark.parametrize("condition", [2.0, 100.0, 1000.0])
def test_no_pair_is_faster_than_the_best(condition):
    alpha, beta = momentum.best(condition)
    least = np.sqrt(beta)  # two roots meet there, which halves the digits
    assert float(momentum.rate(np.asarray(alpha), np.asarray(beta), condition)) == pytest.approx(least, abs=1e-7)
    of = lambda at: float(momentum.rate(np.asarray(at[0]), np.asarray(at[1]), condition))  # noqa: E731
    found = minimize(of, (1.5, 0.5), method="Nelder-Mead", options={"xatol": 1e-9, "fatol": 1e-12, "maxiter": 4000})
    assert least - 1e-7 <= found.fun < least + 1e-2
    alphas, betas = np.linspace(0.01, 4, 200), np.linspace(0, 0.999, 150)[:, None]
    assert momentum.rate(alphas, betas, condition).min() >= least - 1e-12


@pytest.mark.parametrize("beta", MUS)
def test_the_pads_edge_is_where_the_spectral_radius_is_1(beta):
    radius = lambda alpha: abs(np.linalg.eigvals(heavy_ball(alpha, beta, 1.0))).max() - 1  # noqa: E731
    edge = bisect(radius, 1.9, 4.1, xtol=1e-12)
    assert edge == pytest.approx(momentum.limit(beta), abs=1e-9)


def test_the_pad_is_empty_outside_the_stable_set_and_full_at_the_best():
    pad = momentum.pad(100.0)
    alpha, beta = (np.arange(96) + 0.5) * 4 / 96, (np.arange(72)[:, None] + 0.5) / 72
    assert pad.shape == (72, 96) and ((pad > 0) == (alpha < 2 + 2 * beta)).all()
    row, column = np.unravel_index(pad.argmax(), pad.shape)
    best = momentum.best(100.0)
    assert abs(alpha[column] - best[0]) < 0.15 and abs(beta[row, 0] - best[1]) < 0.05 and pad.max() <= 1


def test_an_unstable_pair_is_mended_with_a_word():
    cfg, says = momentum.settled(momentum.Config(alpha=4.0, beta=0.5))
    assert cfg.alpha == pytest.approx(0.999 * 3) and "2 + 2β = 3" in says
    assert momentum.settled(cfg) == (cfg, "") and next(momentum.run(cfg)).rate < 1


def test_without_momentum_the_best_rate_is_that_of_gradient_descent():
    way = momentum.unaided(100.0, 300)
    exact = [np.abs(1 - 2 / 1.01 * c) ** np.arange(301) for c in momentum.curvatures(100.0)]
    assert np.allclose(way[:, 1], np.sqrt(np.mean(np.square(exact), 0)), rtol=1e-9)


# Stability


@pytest.mark.parametrize(("rule", "mu"), [*product(stability.RULES_HERE, MUS)])
def test_the_radius_is_1_at_the_limit_and_nowhere_below(rule, mu):
    at, over = stability.limit(rule, mu), lambda share: stability.growth(rule, share, mu) - 1
    assert over(at) == pytest.approx(0, abs=1e-12) and over(1.0001 * at) > 1e-5
    assert max(over(share * at) for share in np.linspace(0.01, 0.9999, 60)) < -1e-5
    assert bisect(over, 0.9 * at, 1.1 * at, xtol=1e-13) == pytest.approx(at, abs=1e-9)


@pytest.mark.parametrize(("rule", "mu"), [*product(("momentum", "nesterov"), MUS)])
def test_the_matrix_is_that_of_the_rule(rule, mu):
    by_hand = {
        "momentum": lambda a: [[1 - a, -a * mu], [1, mu]],
        "nesterov": lambda a: [[1 - a * (1 + mu), -a * mu * mu], [1, mu]],
    }
    for share in (0.1, 0.6, 1.3, 2.2):
        assert np.allclose(stability.matrix(rule, share, mu), by_hand[rule](2 * share), rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize(("rule", "mu"), [*product(stability.RULES_HERE, (0.3, 0.9))])
def test_the_rule_itself_flips_at_the_limit(rule, mu):
    for share, grows in ((0.995, False), (1.005, True)):
        w, lr = np.array([1.0, 1.0]), 2 * share * stability.limit(rule, mu) / 10
        state = RULES[rule].init(w)
        for k in range(4000):
            w, state = RULES[rule].step(lambda at: at * (1.0, 10.0), w, state, Hyper(mu=mu), k, lr)
        assert (abs(w).max() > 1e3) == grows and (abs(w).max() < 1e-3) == (not grows)


@pytest.mark.parametrize(("rule", "mu"), [*product(stability.RULES_HERE, (0.5, 0.9))])
def test_the_cliff_stands_at_the_limit(rule, mu):
    last = list(stability.run(stability.Config(rule=rule, mu=mu, condition=3.0, steps=300)))[-1]
    share, loss = last.cliff[stability.RULES_HERE.index(rule)].T
    at = stability.limit(rule, mu)
    assert (loss[share > at + 0.02] > 1).all() and (loss[(share > 0.1) & (share < at - 0.02)] < 1).all()


def test_a_column_of_the_cliff_is_the_run_with_its_step_size():
    for rule in stability.RULES_HERE:
        cfg = stability.Config(rule=rule, step_size=0.6, surface="himmelblau", steps=40)
        seen = list(stability.run(cfg))
        column = int(np.argmin(abs(stability.SHARES - 0.6)))
        w, state = cfg.start, RULES[rule].init(cfg.start)
        first = cfg.loss.f(w)
        for k, f in enumerate(seen):
            assert np.allclose(f.place[0], w, atol=1e-5)
            exact = np.clip(cfg.loss.f(w) / first, 1e-6, 1e6)
            assert f.loss == pytest.approx(exact, rel=1e-6)
            assert f.cliff[stability.RULES_HERE.index(rule), column, 1] == pytest.approx(exact, rel=1e-3)
            w, state = RULES[rule].step(cfg.loss.gradient, w, state, Hyper(mu=cfg.mu), k, 0.6 * 2 / cfg.loss.curvature)


@QUICK
@given(st.floats(-2, 2), st.floats(-2, 2), st.integers(1, 1000).map(float))
def test_a_step_at_the_bound_leaves_a_quadratic_as_high(x, y, condition):
    cfg = stability.Config(condition=condition, start_x=x, start_y=y)
    ground, w = cfg.loss, cfg.start
    g, share = ground.gradient(w), stability.bound(ground, w)
    if not g @ g > 1e-12:
        return
    at = lambda part: float(ground.f(w - part * share * cfg.unit * g))  # noqa: E731
    assert 1 - 1e-9 <= share <= condition * (1 + 1e-9)
    assert at(1.0) == pytest.approx(float(ground.f(w)), rel=1e-9)
    assert at(0.999) < ground.f(w) < at(1.001) and at(0.5) <= min(at(0.499), at(0.501))


@QUICK
@given(
    st.sampled_from(stability.SURFACES_HERE), st.sampled_from(stability.RULES_HERE), st.floats(-4, 4), st.floats(-4, 4),
    st.floats(0.02, 2.2),
)  # fmt: skip
def test_the_parabola_is_above_the_loss_and_touches_it_with_the_tangent(surface, rule, x, y, step_size):
    cfg = stability.Config(rule, step_size, surface=surface, start_x=x, start_y=y, steps=20)
    for f in stability.run(cfg):
        assert (f.line[:, 1] <= f.above[:, 1] + 1e-3).all() and (f.above >= f.tangent - 1e-6).all()
        assert f.line[0, 1] == f.above[0, 1] == f.tangent[0, 1] == 0
        if abs(f.change) < 4 and f.lost < 0:
            assert np.interp(step_size, *f.line.T) == pytest.approx(f.change, abs=0.05 + 0.05 * f.smooth)


@pytest.mark.parametrize("surface", stability.SURFACES_HERE)
def test_slope_and_curvature_of_the_line_are_those_of_differences(surface):
    cfg, h = stability.Config(surface=surface), 0.01
    w, d = cfg.start, -cfg.loss.gradient(cfg.start) / np.linalg.norm(cfg.loss.gradient(cfg.start))
    near, line = np.array([-h, h]), stability.along(cfg.loss, w, d, np.array([-h, h]))
    slope, bend = np.diff(line.true)[0] / (2 * h), line.true.sum() / h**2
    assert slope == pytest.approx(line.tangent[1] / h, rel=1e-4)
    assert line.turn == pytest.approx(-2 * slope / bend, rel=1e-3) if bend > 0 else line.turn == np.inf
    assert np.allclose(line.above - line.tangent, 4 * near**2 * line.beta / cfg.loss.curvature)


# Rates


@pytest.mark.parametrize("name", MAKERS)
def test_what_is_said_of_a_function_is_so(name):
    p, rng = PROBLEMS[name], np.random.default_rng(0)
    x, y = rng.normal(size=(2, 4000, p.dimensions)) * rng.choice([0.1, 1, 3, 10], (4000, 1))
    g, h = p.gradient(x), p.gradient(y)
    step = 1e-5 * np.eye(p.dimensions)
    slopes = (p.loss(x[:50, None] + step) - p.loss(x[:50, None] - step)) / 2e-5
    assert np.allclose(slopes, g[:50], rtol=1e-5, atol=1e-6)
    assert (np.linalg.norm(g - h, axis=1) <= p.beta * np.linalg.norm(x - y, axis=1) * (1 + 1e-9)).all()
    assert (p.loss(x) >= 0).all() and ((g**2).sum(1) >= 2 * p.pl * p.loss(x) * (1 - 1e-9)).all()
    line = p.loss(y) >= p.loss(x) + (g * (y - x)).sum(1) - 1e-9 * (1 + p.loss(y))
    assert line.all() if p.convex else not line.all()


def test_the_chain_has_the_eigenvalues_that_are_said():
    p = problem("chain", 1.0)
    values = np.linalg.eigvalsh(p.gradient(np.eye(p.dimensions)))
    assert values[0] == pytest.approx(p.pl, rel=1e-9) and values[-1] <= p.beta


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    st.sampled_from(sorted(MAKERS)), st.floats(1, 1000), st.floats(0.05, 1), st.floats(0, 30), st.integers(0, 99),
    st.floats(-8, 1),
)  # fmt: skip
def test_no_bound_is_ever_broken(name, condition, step_size, distance, seed, log_delta):
    cfg = rates.Config(name, condition, step_size, 200, log_delta, distance, seed)
    p, x, seen, proved = rates.course(cfg)
    never(seen, proved)
    due = rates.hitting_bound(p, x, step_size, cfg.delta)
    if due <= 200:
        assert np.flatnonzero(seen.squared <= cfg.delta)[0] + 1 <= due
        last = list(rates.run(cfg))[-1]
        assert last.hit <= last.hit_bound == due


def never(seen, proved):
    """Every bound holds at every step."""
    room = 1 + 1e-9
    assert (np.minimum.accumulate(seen.squared)[:-1] <= proved.gradient * room).all()
    pairs = ((seen.loss, proved.linear), (seen.loss, proved.convex), (seen.fast, proved.fast))
    for run, bound in pairs:
        assert np.isnan(bound).all() or (run[1:] <= bound * room + 1e-300).all()
    assert np.isnan(proved.floor).all() or (np.minimum(seen.loss, seen.fast)[1:] * room >= proved.floor).all()


@pytest.mark.parametrize("seed", range(12))
def test_the_bounds_hold_on_random_quadratics(seed):
    rng = np.random.default_rng(seed)
    matrix = rng.normal(size=(6, 6))
    hessian = matrix @ matrix.T
    values = np.linalg.eigvalsh(hessian)
    p = Problem("", 6, lambda x: (x @ hessian * x).sum(-1) / 2, lambda x: x @ hessian, values[-1], values[0], True)
    for step_size in (0.1, 1.0):
        x = rng.normal(size=6)
        never(rates.race(p, x, step_size, 300), rates.bounds(p, x, step_size, 300))


def test_frames_tell_the_run():
    for name in MAKERS:
        cfg = rates.Config(name, steps=700, log_delta=-2.0)
        (p, x, *_), frames = rates.course(cfg), list(rates.run(cfg))
        assert len(frames) <= 120 and frames[0].step == 1 and frames[-1].step == 700
        w, squared = x, []
        for t in range(1, 701):
            squared.append(float((p.gradient(w) ** 2).sum()))
            w = w - p.gradient(w) / p.beta
            for f in frames:
                if f.step == t:
                    assert f.loss == pytest.approx(max(float(p.loss(w)), 1e-14), rel=1e-9)
                    assert f.gradient == pytest.approx(max(min(squared), 1e-14), rel=1e-9)
        met = [t + 1 for t, one in enumerate(squared) if one <= cfg.delta]
        assert frames[-1].hit == met[0] and all(np.isnan(f.hit) == (f.step < met[0]) for f in frames)
        assert frames[-1].closest <= 1


def test_an_unknown_function_is_named_with_those_that_there_are():
    with pytest.raises(ValueError, match="Saw the function “cube”, expected one of quadratic"):
        rates.course(replace(rates.Config(), function="cube"))


@pytest.mark.parametrize("module", [momentum, stability, rates])
def test_frames_of_strange_settings_hold_numbers(module):
    unknown = {"bound", "steps_a_digit", "hit", "arrival", "linear_bound", "convex_bound", "fast", "fast_bound"}
    unknown |= {"floor"}
    for cfg in [module.Config(), *extremes(module.Config)]:
        for f in module.run(cfg):
            assert all(name in unknown or np.isfinite(value).all() for name, value in f._asdict().items())
