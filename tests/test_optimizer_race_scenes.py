"""The titles of the scenes on a surface are claims: each is measured on the very run that the scene shows."""

from functools import cache

import numpy as np
import pytest

from engine.figures.optimizer_race import SCENES, VIEWS
from engine.figures.wire import News, Track, encode
from engine.knob import extremes, tidy
from engine.optimizer_paths import terms
from engine.reel import Reel

BY_NAME = {view.name: view for view in VIEWS}
LOOK = {"view": "test", "fps": 10, "hold": False, "present": False, "cursor": None}
CASES = [(scene.view, scene.settings) for scene in SCENES]
CASES += [(view.name, {}) for view in VIEWS]


@cache
def filmed(view, cfg):
    reel = Reel(view, cfg)
    while not reel.done:
        reel.wind(1)
    return reel.frames


def config(name, **changes):
    scene = next(scene for scene in SCENES if scene.name == name)
    view = BY_NAME[scene.view]
    return view, tidy(view.config, dict(scene.settings) | changes)


def frames(name, **changes):
    """Every frame of a scene, with some knobs turned."""
    return filmed(*config(name, **changes))


def end(name, **changes):
    return frames(name, **changes)[-1]


def of(name, **changes):
    """The last frame of a race, what each rule has come to by its name."""
    _, cfg = config(name, **changes)
    last = end(name, **changes)
    return {rule: (last.arrived[i], last.gap[i, 0], last.places[i, 0]) for i, rule in enumerate(cfg.names)}


def test_momentum_crosses_the_ravine_five_times_sooner():
    last = of("ravine")
    assert last["gd"][0] >= 5 * last["momentum"][0] > 0


def test_turned_the_ravine_slows_adam():
    along, turned = of("tilt", tilt=0)["adam"], of("tilt")["adam"]
    assert turned[1] > 1000 * along[1] and np.hypot(*turned[2]) > 0.5 > 0.01 > np.hypot(*along[2])


def test_newton_crosses_the_ravine_in_one_step():
    arrived = {rule: step for rule, (step, _, _) in of("landing").items()}
    assert arrived["newton"] == 1 and not 0 <= min(arrived["gd"], arrived["momentum"]) < 10
    assert np.hypot(*frames("landing")[1].places[-1, 0]) < 1e-6


def test_newton_walks_to_the_saddle():
    last = of("saddle")
    assert np.hypot(*last["newton"][2]) < 1e-6
    assert all(abs(abs(last[rule][2][1]) - 1) < 0.01 for rule in ("gd", "momentum"))


def test_sam_pays_two_gradients_a_step():
    assert all(f.cost[1] == 2 * f.cost[0] == 2 * f.step for f in frames("double"))


@pytest.mark.parametrize("start", [(-1.7, 0.6), (1.9, -0.01), (0.3, 1.7)])
@pytest.mark.parametrize("surface", ["ravine", "himmelblau", "rosenbrock"])
def test_adam_takes_the_same_first_step_everywhere(start, surface):
    view, cfg = config("first", start_x=start[0], start_y=start[1], surface=surface)
    first = next(terms.run(cfg))
    assert np.allclose(abs(first.whole[0, 2:] / first.magnified), cfg.scaled_step, rtol=1e-5)


def test_basins_of_momentum_are_frayed():
    frayed, plain = end("frayed"), end("frayed", mu=0.0)
    assert frayed.progress == plain.progress == 1
    assert frayed.frayed > 3 * plain.frayed
    assert frayed.shares[:-1].sum() > 0.9


@pytest.mark.parametrize(("name", "settings"), CASES)
def test_every_scene_travels_to_the_stage(name, settings):
    view = BY_NAME[name]
    cfg = tidy(view.config, settings)
    seen = filmed(view, cfg)
    encode([Track("run", view.panels(cfg), view.readouts)], [News(0, seen, True)], LOOK, with_spec=True)
    finite(view, cfg)
    assert view.equation and all(isinstance(text, str) for text in view.equation(seen[-1], cfg).values())


STRANGE = [
    {"surface": "yours", "formula": text}
    for text in ("5", "1/0", "log(x)", "sqrt(x)*y", "x - y", "1/x", "-x**8 - y**8", "exp(exp(x*y))", "abs(x) + abs(y)")
] + [
    {"steps": 0},
    {"steps": 1, "schedule": "cosine"},
    {"step_size": 4, "steps": 1000, "noise": 2, "rules": "all", "rule": "nesterov"},
    {"mu": 0.999, "beta1": 0.999, "beta2": 0.9999, "alpha": 0.9999, "spread": 2, "rules": "all"},
    {"surface": "plateau", "start_x": 5, "start_y": -5, "rules": "all"},
]


def finite(view, cfg):
    """Run, draw and send it all; what travels is finite, read-outs aside: they may have nothing to say."""
    seen = filmed(view, cfg)[:: max(1, len(filmed(view, cfg)) // 8)]
    for panel in view.panels(cfg):
        assert panel.x.low < panel.x.high and panel.y.low < panel.y.high
        for layer in panel.layers:
            for frame in seen:
                holes = layer.kind == "relief"  # where the surface has no loss
                assert holes or np.isfinite(layer.values(frame)).all(), layer.name
    for frame in seen:
        assert all(isinstance(float(readout.of(frame)), float) for readout in view.readouts)


@pytest.mark.parametrize("settings", STRANGE, ids=str)
@pytest.mark.parametrize("name", ["race", "terms", "basins"])
def test_strange_settings_are_shown_and_finite(name, settings):
    if name == "basins" and settings.get("steps") == 1000:
        settings = settings | {"steps": 50}
    finite(BY_NAME[name], tidy(BY_NAME[name].config, settings))


@pytest.mark.parametrize("name", ["race", "terms"])
def test_every_knob_at_both_ends(name):
    for cfg in extremes(BY_NAME[name].config):
        finite(BY_NAME[name], cfg)


def test_a_lost_run_is_marked_with_its_step():
    view, cfg = config("ravine", step_size=2.2, mu=0.9)
    layers = [layer for layer in view.panels(cfg)[0].layers if layer.style.get("labels")]
    lost = int(filmed(view, cfg)[-1].lost[0])
    assert [list(layer.style["labels"]) for layer in layers] == [[f"diverged at step {lost}"]]
    assert layers[0].values(filmed(view, cfg)[-1]).shape == (1, 2) and lost > 0


def test_a_frame_that_holds_nothing_is_drawn():
    for view in VIEWS:
        frame = filmed(view, view.config())[0]
        empty = frame._replace(**{k: v[:0] for k, v in frame._asdict().items() if isinstance(v, np.ndarray)})
        track = Track("run", view.panels(view.config()), view.readouts)
        encode([track], [News(0, [empty], True)], LOOK, with_spec=True)
