"""Noise schedules against diffusers, against their own recursion, and the forward process against its exact law."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from diffusers.schedulers.scheduling_ddpm import DDPMScheduler

from engine.data.points import SETS
from engine.device import generator
from engine.diffusion_denoising import forward
from engine.diffusion_denoising.schedules import BETA_SCHEDULES, SPACINGS, add_noise, schedule
from engine.distance import sliced_w2
from engine.knob import extremes

EVERY = [(name, steps) for name in BETA_SCHEDULES for steps in (10, 50, 1000)]


@pytest.mark.parametrize("name", ["linear", "squaredcos_cap_v2"])
@pytest.mark.parametrize("steps", [10, 50, 1000])
def test_betas_are_those_of_diffusers(name, steps):
    theirs = DDPMScheduler(steps, beta_schedule=name)
    assert (schedule(name, steps).betas - theirs.betas).abs().max() < 1e-6
    assert (schedule(name, steps).alpha_bar - theirs.alphas_cumprod).abs().max() < 2e-6


def test_scaled_linear_betas_are_those_of_diffusers():
    theirs = DDPMScheduler(1000, beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear")
    assert (schedule("scaled_linear", 1000).betas - theirs.betas).abs().max() < 1e-7


@pytest.mark.parametrize(("name", "steps"), EVERY)
def test_one_step_kernels_compose_to_alpha_bar(name, steps):
    """x_t = sqrt(alpha_t) x_{t-1} + sqrt(beta_t) noise, over and over: the mean's scale and the noise's variance."""
    plan, scale, variance = schedule(name, steps), 1.0, 0.0
    for t in range(steps):
        alpha = float(plan.alphas[t])
        scale, variance = math.sqrt(alpha) * scale, alpha * variance + float(plan.betas[t])
        assert scale == pytest.approx(math.sqrt(plan.alpha_bar[t]), abs=1e-12)
        assert variance == pytest.approx(1 - float(plan.alpha_bar[t]), abs=1e-12)


@pytest.mark.parametrize(("name", "steps"), EVERY)
def test_noise_only_grows(name, steps):
    plan = schedule(name, steps)
    assert len(plan) == steps and bool(((plan.betas > 0) & (plan.betas < 1)).all())
    assert bool((plan.sigma.diff() > 0).all()) and bool((plan.snr.diff() < 0).all())
    assert torch.allclose(plan.sigma**-2, plan.snr, rtol=1e-12)


def test_log_linear_is_geometric_from_end_to_end():
    sigma = schedule("log_linear", 1000).sigma
    assert float(sigma[0]) == pytest.approx(0.02) and float(sigma[-1]) == pytest.approx(8)
    assert float(sigma.log().diff().std()) < 1e-9


def test_a_short_linear_schedule_leaves_most_of_the_signal():
    assert math.sqrt(schedule("linear", 50).alpha_bar[-1]) == pytest.approx(0.78, abs=0.01)
    assert math.sqrt(schedule("linear", 1000).alpha_bar[-1]) < 0.01


@pytest.mark.parametrize(("name", "steps"), EVERY)
@pytest.mark.parametrize("spacing", SPACINGS)
def test_timesteps_fall_from_last_to_first(name, steps, spacing):
    plan = schedule(name, steps)
    for count in (1, 2, 3, 7, 20, steps, 2 * steps):
        found = plan.timesteps(count, spacing)
        assert len(found) == min(count, steps) and found[0] == steps - 1
        assert all(a > b for a, b in zip(found, found[1:], strict=False))
        assert found[-1] == 0 or count == 1
        assert plan.levels(count, spacing)[-1] == 1.0


def test_nonsense_gets_a_sentence():
    with pytest.raises(ValueError, match="beta_schedule was 'sharp'; expected one of log_linear"):
        schedule("sharp", 10)
    with pytest.raises(ValueError, match="num_train_timesteps was 0; expected at least 1"):
        schedule("linear", 0)


def test_add_noise_is_that_of_diffusers():
    theirs, plan = DDPMScheduler(1000), schedule("linear", 1000)
    x0, noise = torch.randn(2, 64, 2, generator=generator(0))
    t = torch.randint(1000, (64,), generator=generator(1))
    ours = add_noise(x0, noise, plan.alpha_bar[t, None])
    assert (ours - theirs.add_noise(x0, noise, t)).abs().max() < 1e-5  # type: ignore[arg-type]


@pytest.mark.parametrize("name", SETS)
def test_noised_points_follow_the_exact_law(name):
    """Draws of x_t by add_noise and draws of the noised mixture are two clouds of one law."""
    p, rng, bar = SETS[name](), generator(0), 0.6
    x0 = p.sample(8000, rng)
    noisy = add_noise(x0, torch.randn(x0.shape, generator=rng).to(x0), bar)
    law = p.noised(bar**0.5, (1 - bar) ** 0.5)
    floor = sliced_w2(law.sample(8000, rng), law.sample(8000, rng))
    assert sliced_w2(noisy, law.sample(8000, rng)) < 0.01 + 2 * floor


def test_forward_frames_tell_the_truth():
    *_, end = forward.run(forward.Config(beta_schedule="linear", num_train_timesteps=50))
    assert end.t == 49 and end.signal_left == pytest.approx(0.78, abs=0.01)
    assert end.snr == pytest.approx(end.alpha_bar / (1 - end.alpha_bar)) and end.sigma == pytest.approx(end.snr**-0.5)
    *_, end = forward.run(forward.Config(beta_schedule="linear"))
    assert end.t == 999 and end.distance < end.floor + 4 * end.floor_spread  # what is left is N(0, I)
    y, x = np.mgrid[-1:1:64j, -1:1:64j] * end.half
    assert np.allclose(end.density, np.exp(-(x**2 + y**2) / 2) / end.density.max(), atol=0.02)


def test_forward_density_integrates_to_its_peak():
    frames = list(forward.run(forward.Config(data="eight_gaussians", num_train_timesteps=12)))
    for frame in frames[6:]:
        p = SETS["eight_gaussians"]().noised(frame.alpha_bar**0.5, (1 - frame.alpha_bar) ** 0.5)
        y, x = np.mgrid[-1:1:64j, -1:1:64j] * frame.half
        height = p.log_density(torch.from_numpy(np.stack([x, y], 2))).exp().numpy()
        assert np.allclose(frame.density, height / height.max(), atol=1e-4)


def test_curves_cover_every_schedule():
    found = forward.curves(1000)
    assert set(found) == set(BETA_SCHEDULES)
    for rows in found.values():
        assert rows.shape == (100, 3) and np.isfinite(rows).all() and rows[0, 0] == 0 and rows[-1, 0] == 999


@pytest.mark.parametrize("cfg", list(extremes(forward.Config)), ids=str)
def test_forward_at_the_ends_of_its_knobs(cfg):
    if cfg.data == "yours":
        with pytest.raises(ValueError, match="empty drawing"):
            next(forward.run(cfg))
        return
    if cfg.num_train_timesteps == 1000 and cfg != forward.Config():
        cfg = replace(cfg, num_train_timesteps=12)
    frames = list(forward.run(cfg))
    assert len(frames) == min(100, cfg.num_train_timesteps)
    for frame in (frames[0], frames[len(frames) // 2], frames[-1]):
        assert frame.cloud.shape == (800, 2) and frame.density.shape == (64, 64) and frame.score.shape == (225, 4)
        assert all(np.isfinite(value).all() for value in frame)
