"""The titles of the scenes about steps are claims: each is measured on the very run that the scene shows."""

from functools import cache

import numpy as np
import pytest

from engine.figures.optimizer_theory import SCENES, VIEWS
from engine.figures.wire import News, Track, encode
from engine.knob import extremes, tidy
from engine.optimizer_paths import momentum, rates, stability
from engine.reel import Reel

BY_NAME = {view.name: view for view in VIEWS}
LOOK = {"view": "test", "fps": 10, "hold": False, "present": False, "cursor": None}
CASES = [(scene.view, scene.settings) for scene in SCENES] + [(view.name, {}) for view in VIEWS]


@cache
def filmed(view, cfg):
    reel = Reel(view, cfg)
    while not reel.done:
        reel.wind(1)
    return reel.frames


def config(name, **changes):
    scene = next(scene for scene in SCENES if scene.name == name)
    view = BY_NAME[scene.view]
    cfg, says = view.mend(tidy(view.config, dict(scene.settings) | changes))
    assert not says
    return view, cfg


def frames(name, **changes):
    """Every frame of a scene, with some knobs turned."""
    return filmed(*config(name, **changes))


def column(seen, field):
    return np.array([getattr(f, field) for f in seen])


def test_legends_are_short():
    for view in VIEWS:
        for panel in view.panels(view.config()):
            named = {layer.name for layer in panel.layers if layer.name}
            assert len(named) <= 5 and all(len(name) <= 18 for name in named)
    assert 4 <= len(SCENES) <= 6


def test_the_best_momentum_is_five_times_faster():
    need = np.flatnonzero(column(frames("fastest"), "size") <= 0.01)[0]
    alone = np.flatnonzero(column(frames("fastest", alpha=2 / 1.01, beta=0.0, steps=300), "size") <= 0.01)[0]
    assert (need, alone) == (42, 221) and alone >= 5 * need
    cfg = config("fastest")[1]
    assert (cfg.alpha, cfg.beta) == pytest.approx(momentum.best(cfg.condition), rel=1e-5)


@pytest.mark.parametrize("alpha", [0.1, 1.0, 2.0, 3.8])
def test_too_much_momentum_swings_back_and_forth(alpha):
    seen = frames("ringing", alpha=alpha)
    turns = (np.diff(np.sign(column(seen, "error")), axis=0) != 0).sum(0)
    assert seen[0].ringing == 1 and turns[2] > turns[1] >= 2 and turns[0] >= 1
    if alpha == 1.0:
        assert (turns >= 5).all() and (column(seen, "error").min(0) < -0.4).all()
        assert frames("ringing", beta=0.0)[0].ringing == 0


def test_beyond_the_limit_the_loss_grows():
    over, under = (frames("cliff", step_size=share) for share in (1.02, 0.98))
    assert over[-1].loss > 50 and under[-1].loss < 0.02
    late = column(over, "loss")[10:]
    assert (np.diff(late) > 0).all() and (np.diff(column(under, "loss")) < 0).all()
    assert late[-1] / late[-2] == pytest.approx(1.04**2, rel=1e-6)
    assert over[-1].growth == pytest.approx(1.04) and under[-1].growth == pytest.approx(0.96)


def test_nesterov_falls_off_before_plain_descent():
    last = frames("early")[-1]
    at = int(np.argmin(abs(stability.SHARES - 0.7)))
    gd, mom, nesterov = last.cliff[:, at, 1]
    assert last.loss > 1000 and nesterov == pytest.approx(last.loss, rel=0.01) and max(gd, mom) < 0.01
    falls = [share[loss > 1].min() for share, loss in last.cliff.transpose(0, 2, 1)]
    assert falls[2] < falls[0] < falls[1] and np.allclose(falls, [1, 1.9, 0.68], atol=0.05)


def test_nesterov_stays_within_four_times_the_floor():
    seen = frames("floor")
    share = column(seen, "fast") / column(seen, "floor")
    assert len(seen) > 40 and (share >= 1).all() and share.max() < 4
    assert seen[-1].loss / seen[-1].floor > 8


def test_not_convex_and_yet_a_straight_line_down():
    seen = frames("straight")
    loss = column(seen, "loss")
    assert (loss <= column(seen, "linear_bound")).all() and (np.diff(loss) < 0).all()
    late = [f for f in seen if f.step >= 25]
    ratio = (late[-1].loss / late[0].loss) ** (1 / (late[-1].step - late[0].step))
    assert ratio == pytest.approx(0.36, abs=0.002)
    line = [abs(np.log(f.loss / late[0].loss) - (f.step - late[0].step) * np.log(ratio)) for f in late]
    assert max(line) < 0.01
    place, height = seen[0].cut.T
    assert np.diff(height, 2).min() < 0 < place.max()


def finite(view, cfg):
    """Run, draw and send it all; what travels is finite, read-outs aside: they may have nothing to say."""
    cfg, _ = view.mend(cfg)
    seen = filmed(view, cfg)
    panels = view.panels(cfg)
    assert len(panels) <= 3
    for panel in panels:
        assert 0 <= panel.x.low < panel.x.high or not panel.x.log
        assert panel.x.low < panel.x.high and panel.y.low < panel.y.high
        for layer in panel.layers:
            for frame in seen[:: max(1, len(seen) // 8)] + seen[-1:]:
                assert np.isfinite(layer.values(frame)).all(), layer.name
    assert view.equation and all(isinstance(text, str) for text in view.equation(seen[-1], cfg).values())
    encode([Track("run", panels, view.readouts)], [News(0, seen, True)], LOOK, with_spec=True)


@pytest.mark.parametrize(("name", "settings"), CASES)
def test_every_scene_travels_to_the_stage(name, settings):
    view = BY_NAME[name]
    finite(view, tidy(view.config, settings))


@pytest.mark.parametrize("name", BY_NAME)
def test_every_knob_at_both_ends(name):
    for cfg in extremes(BY_NAME[name].config):
        finite(BY_NAME[name], cfg)


STRANGE = [
    ("momentum", {"alpha": 4.0, "beta": 0.0, "condition": 1000.0, "steps": 300}),
    ("momentum", {"alpha": 0.01, "beta": 0.99, "condition": 1.0, "steps": 1}),
    ("stability", {"rule": "nesterov", "step_size": 2.2, "mu": 0.99, "condition": 1000.0, "steps": 300}),
    ("stability", {"surface": "rosenbrock", "step_size": 2.2, "start_x": 5.0, "start_y": -5.0, "rule": "momentum"}),
    ("stability", {"start_x": 0.0, "start_y": 0.0}),
    ("stability", {"surface": "bowl", "step_size": 0.5, "steps": 1}),
    ("rates", {"function": "chain", "distance": 0.0, "steps": 2000}),
    ("rates", {"function": "wavy", "distance": 30.0, "step_size": 0.05, "log_delta": -8.0, "steps": 1}),
    ("rates", {"function": "tail", "distance": 0.0, "log_delta": 1.0}),
    ("rates", {"condition": 1.0, "steps": 2000}),
]


@pytest.mark.parametrize(("name", "settings"), STRANGE, ids=str)
def test_strange_settings_are_shown_and_finite(name, settings):
    finite(BY_NAME[name], tidy(BY_NAME[name].config, settings))


def test_the_drawn_bounds_are_those_of_the_frames():
    cfg = rates.Config(function="chain")
    seen = list(rates.run(cfg))
    for name, field in (("gradient", "gradient_bound"), ("convex", "convex_bound"), ("fast", "fast_bound")):
        assert np.allclose(rates.envelopes(cfg)[name], [(f.step, getattr(f, field)) for f in seen])
    assert set(rates.envelopes(rates.Config(function="tail"))) == {"gradient"}


def test_a_pair_dragged_out_of_the_stable_set_comes_back():
    view = BY_NAME["momentum"]
    cfg, says = view.mend(tidy(view.config, {"alpha": 3.9, "beta": 0.2}))
    assert cfg.alpha < 2.4 and "2 + 2β" in says
    edge = next(layer for layer in view.panels(cfg)[0].layers if layer.style.get("drag"))
    assert edge.style["drag"] == ["alpha", "beta"]
    assert np.allclose(edge.values(filmed(view, cfg)[0])[0], (cfg.alpha, cfg.beta))
