"""Races, steps taken apart and basins, each against a plain loop that does one thing at a time."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.optimize import minimize

from engine.optimizer_paths import basins, race, terms
from engine.optimizer_paths.descent import FAR, descend
from engine.optimizer_paths.ground import noises, step_sizes
from engine.optimizer_paths.rules import RULES, Slope
from engine.optimizer_paths.surfaces import SURFACES, surface

HARD: dict[str, Any] = dict(surface="himmelblau", step_size=0.3, noise=0.05, steps=40, schedule="warm_up")


def frames(module, **settings):
    return list(module.run(module.Config(**settings)))


def plain(cfg, name, start, noise):
    """One rule from one start, as a loop. noise: (steps, 2)"""
    w, state, sizes = start, RULES[name].init(start), step_sizes(cfg, [name])[:, 0]
    way = [w]
    for k, size in enumerate(sizes):
        slope = Slope(lambda at, k=k: cfg.loss.gradient(at) + (noise[k] if len(noise) else 0.0), cfg.loss.solve)
        w, state = RULES[name].step(slope, w, state, cfg.hyper, k, size)
        way.append(w)
    return np.array(way)


@pytest.mark.parametrize("noise", [0.0, 0.05])
@pytest.mark.parametrize("name", RULES)
def test_side_by_side_is_one_by_one(name, noise):
    cfg = race.Config(**{**HARD, "rules": "all", "spread": 0.4, "noise": noise})
    starts, drawn = cfg.starts, noises(cfg, 64)
    whole = descend(cfg.loss, cfg.names, starts, cfg.hyper, step_sizes(cfg, cfg.names), drawn)
    i = cfg.names.index(name)
    for j in (0, 17, 63):
        if whole.lost[i, j] < 0:
            alone = plain(cfg, name, starts[j], drawn[:, j] if noise else drawn)
            assert np.allclose(whole.places[:, i, j], alone, rtol=0, atol=1e-9)


def test_the_same_settings_give_the_same_run_and_another_seed_another():
    one, again, other = (frames(race, **{**HARD, "seed": seed})[-1] for seed in (0, 0, 1))
    assert (one.places == again.places).all() and (one.gap == again.gap).all()
    assert (one.places != other.places).all()


def test_frames_hold_the_way_the_loss_and_the_cost():
    cfg = race.Config(rules="all", steps=37)
    seen = list(race.run(cfg))
    assert [f.step for f in seen] == list(range(38))
    for f in seen:
        assert f.paths.shape == (9, 1, f.step + 1, 2) and (f.paths[:, :, -1] == f.places).all()
        exact = cfg.loss.f(f.places[:, 0].astype(float)) - cfg.loss.lowest
        assert np.allclose(f.gap[:, 0], exact, rtol=1e-3, atol=1e-6)
        assert (f.cost == f.step * np.array([1, 1, 1, 1, 1, 1, 1, 2, 3])).all()
    gaps = np.array([f.gap[:, 0] for f in seen])
    for i, step in enumerate(seen[-1].arrived):
        below = np.flatnonzero(gaps[:, i] <= 1e-3 * race.scale(cfg))
        assert step == (below[0] if len(below) else -1)


def test_many_starts_lie_around_the_one_and_have_a_band():
    cfg = race.Config(spread=0.5)
    distance = np.hypot(*(cfg.starts - cfg.start).T)
    assert len(distance) == 64 and distance.max() == pytest.approx(0.5) and 0.3 < distance.mean() < 0.4
    last = frames(race, spread=0.5)[-1]
    assert (last.gap[:, 1] <= last.gap[:, 0]).all() and (last.gap[:, 0] <= last.gap[:, 2]).all()


@pytest.mark.parametrize(("rule", "threshold"), [("gd", 2.0), ("momentum", 3.8)])
def test_a_run_diverges_beyond_its_threshold_and_stays_where_it_was(rule, threshold):
    for share, lost in ((0.98, False), (1.02, True)):
        cfg = race.Config(rules="classics", step_size=min(share * threshold, 4.0), steps=1000, condition=10.0)
        last = list(race.run(cfg))[-1]
        assert (last.lost[cfg.names.index(rule)] >= 0) == lost
    whole = descend(cfg.loss, ["gd"], cfg.start[None], cfg.hyper, step_sizes(cfg, ["gd"]), noises(cfg, 1))
    step = int(whole.lost[0, 0])
    assert (whole.places[step - 1 :, 0, 0] == whole.places[step - 1, 0, 0]).all()
    assert abs(whole.places).max() < FAR * cfg.loss.half
    exact = abs(1 - cfg.step_size) ** np.arange(step) * abs(cfg.start[1])
    assert np.allclose(abs(whole.places[:step, 0, 0, 1]), exact, rtol=1e-9)


def test_where_a_formula_is_no_number_a_run_is_lost():
    cfg = race.Config(surface="yours", formula="log(x) + y**2", start_x=1.0, steps=60)
    last = list(race.run(cfg))[-1]
    assert (last.lost > 0).all() and np.isfinite(last.places).all() and len(last.crosses) == 4
    assert race.foreseen(cfg) == tuple(last.lost)
    assert (frames(race, surface="yours", formula="log(x)", start_x=-1.0)[0].lost == 0).all()


@pytest.mark.parametrize("surface_", ["ravine", "rosenbrock", "ackley", "yours"])
@pytest.mark.parametrize("rule", RULES)
def test_the_parts_add_up_to_the_step(rule, surface_):
    cfg = terms.Config(rule=rule, surface=surface_, steps=40, noise=0.1, weight_decay=0.3)
    assert len(terms.PARTS[rule]) <= terms.MOST
    for now, step, _ in terms.moments(cfg):
        parts = terms.apart(rule, now)
        assert abs(parts.sum(0) - step).max() <= 1e-12 * (1 + abs(parts).max())


def test_a_run_taken_apart_is_the_run_of_the_race():
    cfg = terms.Config(**{**HARD, "rule": "adam"})
    together = plain(cfg, "adam", cfg.start, noises(cfg, 1)[:, 0])
    seen = list(terms.run(cfg))
    assert np.allclose(seen[-1].path, together, atol=1e-5)
    for now, after in zip(seen, seen[1:], strict=False):
        assert np.allclose(now.place[0] + now.whole[0, 2:] / now.magnified, after.place[0], atol=1e-5)
        tip = now.parts[-1, 0, :2] + now.parts[-1, 0, 2:]
        assert np.allclose(tip - now.place[0], now.whole[0, 2:], atol=1e-5)


@pytest.mark.parametrize("name", SURFACES)
def test_every_known_minimum_is_found_and_every_one_found_is_one(name):
    ground = surface(name)
    found = np.array(basins.minima_of(ground))
    for minimum in ground.minima:
        assert np.hypot(*(found - minimum).T).min() < 1e-6
    for w in found[:6]:
        best = minimize(ground.f, w, method="Nelder-Mead", options={"initial_simplex": w + 0.02 * np.eye(3, 2)})
        assert np.hypot(*(best.x - w)) < 1e-3
    heights = ground.f(found)
    assert (np.diff(heights) > -1e-6).all()


@pytest.mark.parametrize("rule", ["gd", "adam", "nesterov"])
def test_a_pixel_has_the_minimum_and_the_steps_of_its_own_run(rule):
    cfg = basins.Config(rule=rule, step_size=0.5, steps=80)
    minima, seen = np.array(basins.minima_of(cfg.loss)), list(basins.run(cfg))
    places, last = cfg.loss.grid(96), seen[-1]
    assert last.tints.shape == (6, 96, 96) and last.progress == 1 and last.shares.sum() == pytest.approx(1)
    assert ((last.tints > 0).sum(0) == 1).all()
    for i, j in ((3, 5), (50, 40), (90, 10), (20, 80), (47, 47)):
        way = plain(cfg, rule, places[i, j], noises(cfg, 1))
        near = np.hypot(*(way[:, None] - minima).transpose(2, 0, 1)) < basins.NEAR * cfg.loss.half
        group = int(last.tints[:, i, j].argmax())
        if not near[-1].any():
            assert group == 5 and np.isnan(last.steps[i, j])
        else:
            away = np.flatnonzero(~near[:, near[-1].argmax()])
            assert group == near[-1].argmax() and last.steps[i, j] == (away[-1] + 1 if len(away) else 0)


def test_basins_refine_and_end():
    seen = frames(basins)
    assert list(dict.fromkeys(f.edge for f in seen)) == [12, 24, 48, 96]
    assert (np.diff([f.progress for f in seen]) >= 0).all() and seen[-1].progress == 1
    coarse = next(f for f in seen if f.progress > 0).tints[0]
    assert (coarse.reshape(12, 8, 12, 8) == coarse[::8, ::8][:, None, :, None]).all()


def test_a_start_outside_the_picture_is_moved_into_it():
    cfg = replace(race.Config(), surface="ravine", start_x=5.0, start_y=-5.0)
    assert cfg.start.tolist() == [2.0, -2.0]
