"""The titles of scenes are claims: each is measured on the very run that the scene shows."""

from functools import cache
from pathlib import Path

import numpy as np
import pytest

from engine.figures.diffusion_denoising import LOPSIDED, SCENES, VIEWS
from engine.figures.view import View
from engine.knob import tidy
from engine.reel import Reel

BY_NAME: dict[str, View] = {view.name: view for view in VIEWS}


@cache
def frames(name, **changes):
    """Every frame of a scene, with some knobs turned."""
    scene = next(scene for scene in SCENES if scene.name == name)
    view = BY_NAME[scene.view]
    reel = Reel(view, tidy(view.config, dict(scene.settings) | changes))
    while not reel.done:
        reel.wind(1)
    return reel.frames


def end(name, **changes):
    return frames(name, **changes)[-1]


def on_the_right(points):
    """Share nearer to the right one of the two rings."""
    return float(((points - (0.8, -0.3)) @ np.array([2.8, -1.4]) > 0).mean())


def test_a_few_hundred_steps_are_enough():
    assert next(f.step for f in frames("train") if f.off_manifold <= 0.10) <= 300
    assert frames("train")[0].off_manifold > 0.5 and end("train").off_manifold <= 0.06


def test_guessing_the_clean_point_nearly_doubles_the_error():
    assert end("clean").score_error > 1.7 * end("train").score_error


@pytest.mark.parametrize("name", ["leftover", "wrong"])
def test_a_cut_schedule_gets_the_weights_wrong(name):
    fields = ["samples"] if name == "leftover" else ["ddpm", "ddim", "heun"]
    good = {"beta_schedule": "log_linear", "num_train_timesteps": 1000}
    for field in fields:
        assert on_the_right(getattr(end(name), field)) > 0.15  # the truth is 0.1
        assert abs(on_the_right(getattr(end(name, **good), field)) - 0.1) < 0.04
    assert LOPSIDED["data"] == "yours"


def test_training_closes_the_band():
    run = frames("seeds")
    early, late = run[len(run) // 5], run[-1]
    assert late.off_high < early.off_low
    assert late.off_high - late.off_low < 0.6 * (early.off_high - early.off_low)


@pytest.mark.parametrize("seed", [0, 1])
def test_luck_alone_doubles_the_misses(seed):
    last = end("gamble", seed=seed)
    assert last.off_high > 2 * last.off_low


def test_what_schedules_leave():
    assert end("drown").signal_left < 0.13 and end("drown").distance < end("drown").floor + 0.03
    assert end("cut").signal_left == pytest.approx(0.78, abs=0.005)
    middle = len(frames("cosine")) // 2
    early = frames("cosine", beta_schedule="linear")[middle].signal_left
    assert frames("cosine")[middle].signal_left > 2 * early
    assert frames("drown")[0].signal_left > 0.99


def test_samplers_at_one_budget():
    race, few, same = end("race"), end("few"), end("same")
    w2 = [race.ddpm_w2, race.ddim_w2, race.heun_w2, race.langevin_w2]
    assert max(w2) - min(w2) > race.floor_spread
    assert max(race.ddpm_calls, race.ddim_calls, race.heun_calls, race.langevin_calls) <= 40
    assert few.heun_off > 0.3 and few.ddpm_off < 0.05 and few.heun_calls == 9
    np.testing.assert_allclose(same.ddpm, same.ddim, atol=1e-4)
    np.testing.assert_allclose(same.ddpm_path, same.ddim_path, atol=1e-4)


def test_one_changed_draw_forks_only_the_walks_that_draw():
    fork = end("fork")
    assert np.abs(fork.ddpm_path - fork.ddpm_fork).max() > 0.1
    assert np.abs(fork.langevin_path - fork.langevin_fork).max() > 0.1
    np.testing.assert_array_equal(fork.heun_path, fork.heun_fork)
    np.testing.assert_array_equal(fork.ddim_path, fork.ddim_fork)


def test_denoising_is_the_score():
    assert end("tweedie").relative_error < 0.12
    assert end("coarse").relative_error < 0.12 and end("coarse").smoothing > 0.9


def test_levels():
    assert end("onesided").level_error[0] > 5 * end("mixed").level_error[0]
    assert (end("mixed").level_error < 0.6).all()


def test_langevin():
    bias = end("bias")
    assert bias.variance_limit == pytest.approx(2.0)
    assert abs(bias.variance - 2.0) < 3 * bias.variance_error
    assert end("diverge").diverged > 0
    assert end("far").share_right < 0.3 and end("far").weight_right == pytest.approx(0.7, abs=0.01)
    assert abs(end("anneal").share_right - 0.7) < 0.06


def test_digits():
    assert end("order").legibility > 0.95 and end("hand").legibility > 0.95
    assert end("nobody").legibility < 0.35
    assert end("plain").legibility < end("order").legibility - 0.05
    spread = lambda f: f.images.reshape(10, 6, -1).std(axis=1).mean()  # noqa: E731
    assert spread(end("plain", guidance_scale=8.0)) < 0.95 * spread(end("plain"))  # the price in variety
    phases = [f.phase for f in frames("order")]
    assert phases == sorted(phases) and set(phases) == {0, 1, 2}


def test_one_image():
    assert end("back").reads == 3 and end("other").reads not in (3, -1) and end("turned").reads == 8
    deepest = min(f.alpha_bar for f in frames("back"))
    assert deepest == pytest.approx(0.5, abs=0.08)


def test_every_scene_is_measured_here():
    text = Path(__file__).read_text("utf-8")
    assert not [scene.name for scene in SCENES if f'"{scene.name}"' not in text]
