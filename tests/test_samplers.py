"""The samplers step by step against diffusers, against closed forms, and what a visitor sees of them."""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from diffusers.schedulers.scheduling_ddim import DDIMScheduler
from diffusers.schedulers.scheduling_ddpm import DDPMScheduler

from engine.data.points import SETS, Mixture, encode
from engine.device import DEVICE, generator
from engine.diffusion_denoising import forward, learn, reverse
from engine.diffusion_denoising.model import predict_noise
from engine.diffusion_denoising.samplers import (
    SAMPLERS,
    Noise,
    annealed_langevin,
    ddim,
    ddim_step,
    ddpm,
    ddpm_step,
    heun,
    last,
    normal,
    steps_within,
)
from engine.diffusion_denoising.schedules import Schedule, schedule
from engine.distance import Truth, off_manifold
from engine.knob import extremes, knobs

EVERY = [("linear", 1000), ("linear", 50), ("squaredcos_cap_v2", 1000), ("log_linear", 1000)]
MOONS = SETS["moons"]()


def gaussian(mean: float, std: float) -> Mixture:
    centre = torch.full((1, 2), mean, dtype=torch.float64)
    return Mixture(centre, torch.ones(1).double(), torch.full((1,), std).double())


def start(n: int = 256, seed: int = 0) -> torch.Tensor:
    return torch.randn(n, 2, generator=generator(seed))


def precise(kind: type, plan: Schedule) -> Any:
    """One of diffusers' schedulers on our betas, its tables in float64: they are float32 as it comes."""
    theirs = kind(len(plan), trained_betas=plan.betas.numpy(), clip_sample=False)
    theirs.alphas_cumprod, theirs.one = plan.alpha_bar, torch.ones((), dtype=torch.float64)
    theirs.final_alpha_cumprod = theirs.one
    return theirs


def double(seed: int) -> Noise:
    """Noise as diffusers draws it, in the precision of x."""
    rng = generator(seed)
    return lambda x: torch.randn(x.shape, generator=rng, dtype=x.dtype)


@pytest.mark.parametrize(("name", "steps"), EVERY)
@pytest.mark.parametrize("count", [1000, 20])
def test_ddpm_is_that_of_diffusers_step_by_step(name, steps, count):
    """Each step from the same state, with the same prediction and the same draw of noise."""
    plan = schedule(name, steps)
    theirs = precise(DDPMScheduler, plan)
    theirs.set_timesteps(timesteps=plan.timesteps(count))
    walk, rng = ddpm(MOONS.denoise, plan, count, start(32).double(), double(1)), generator(1)
    before = next(walk).x
    for t, state in zip(theirs.timesteps, walk, strict=True):
        hat = predict_noise(MOONS.denoise, before, float(plan.alpha_bar[t]))
        after = theirs.step(hat, t, before, generator=rng).prev_sample
        assert (state.x - after).abs().max() < 1e-9, t
        before = state.x


def test_ddpm_is_that_of_diffusers_as_it_comes():
    """With its float32 tables and ours in float64, over all of a walk."""
    theirs, plan, rng = DDPMScheduler(1000, clip_sample=False), schedule("linear", 1000), generator(1)
    theirs.set_timesteps(50, timesteps=None)
    x, ours = start(), normal(generator(1))
    for t in theirs.timesteps.tolist():
        now, after = float(plan.alpha_bar[t]), float(plan.alpha_bar[t - 20]) if t >= 20 else 1.0
        hat = predict_noise(MOONS.denoise, x, now)
        expected = theirs.step(hat, t, x, generator=rng).prev_sample  # type: ignore[union-attr]
        x = ddpm_step(x, hat, now, after, ours(x) if after < 1 else 0.0)
        assert (x - expected).abs().max() < 1e-5, t


@pytest.mark.parametrize(("name", "steps"), EVERY)
@pytest.mark.parametrize("eta", [0.0, 0.4, 1.0])
@pytest.mark.parametrize("count", [50, 25])
def test_ddim_is_that_of_diffusers_step_by_step(name, steps, eta, count):
    """On diffusers' own choice of t."""
    plan = schedule(name, steps)
    theirs = precise(DDIMScheduler, plan)
    theirs.set_timesteps(count)
    rng, ours, x, stride = generator(1), double(1), start(32).double(), steps // count
    for t in theirs.timesteps.tolist():
        now, after = float(plan.alpha_bar[t]), float(plan.alpha_bar[t - stride]) if t >= stride else 1.0
        hat = predict_noise(MOONS.denoise, x, now)
        expected = theirs.step(hat, t, x, eta=eta, generator=rng).prev_sample
        x = ddim_step(x, hat, now, after, ours(x) if eta else 0.0, eta)
        assert (x - expected).abs().max() < 1e-9, t


def test_ddim_with_eta_one_is_ddpm():
    plan = schedule("log_linear", 1000)
    one = last(ddim(MOONS.denoise, plan, 30, start(), normal(generator(1)), eta=1.0))
    other = last(ddpm(MOONS.denoise, plan, 30, start(), normal(generator(1))))
    assert torch.allclose(one.x, other.x, atol=1e-4)


def test_the_last_step_draws_no_noise():
    plan = schedule("linear", 100)
    for sampler in (ddpm, ddim, heun):
        states = list(sampler(MOONS.denoise, plan, 10, start(), normal(generator(1))))
        assert states[-1].alpha_bar == 1 and torch.allclose(states[-1].x, states[-1].denoised, atol=1e-5)


def test_ddpm_brings_back_mean_and_variance_of_a_gaussian():
    p = gaussian(2.0, 0.5)
    x = last(ddpm(p.denoise, schedule("linear", 1000), 1000, start(10_000), normal(generator(1)))).x
    assert float(x.mean()) == pytest.approx(2.0, rel=0.02)
    assert float(x.var(0).mean()) == pytest.approx(0.25, rel=0.02)


def heun_error(steps: int, std: float = 0.5) -> float:
    """On N(0, std^2 I) the ODE has the solution x sqrt(std^2 + sigma^2); compared at the lowest noise level."""
    plan, x_T = schedule("log_linear", 961), start().double()
    *_, state, _ = heun(gaussian(0.0, std).denoise, plan, steps + 1, x_T)
    sigma, bar = plan.sigma[[0, -1]].tolist(), plan.alpha_bar[[0, -1]].tolist()
    exact = x_T / bar[1] ** 0.5 * math.sqrt((std**2 + sigma[0] ** 2) / (std**2 + sigma[1] ** 2)) * bar[0] ** 0.5
    return float((state.x - exact).abs().max())


def test_heun_converges_at_second_order():
    errors = [heun_error(steps) for steps in (16, 32, 64, 120, 240)]
    orders = [math.log2(a / b) for a, b in zip(errors, errors[1:], strict=False)]
    assert errors[-1] < 1e-3 and all(1.8 < order < 2.3 for order in orders), orders


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("name", ["swiss_roll", "eight_gaussians"])
@pytest.mark.parametrize("levels", ["log_linear", "linear", "squaredcos_cap_v2"])
def test_with_the_exact_denoiser_every_sampler_reaches_the_data(sampler, name, levels):
    p = SETS[name]()
    truth = Truth(p.sample, 1000, generator(9))
    walk = SAMPLERS[sampler](
        p.denoise, schedule(levels, 1000), steps_within(sampler, 100), start(1000), normal(generator(1))
    )
    x = last(walk).x.to(DEVICE)
    assert truth(x) < truth.floor + 4 * truth.spread + 0.02
    assert off_manifold(x, p) < 0.04


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("budget", [5, 12, 40, 101])
def test_the_budget_is_kept_and_nearly_spent(sampler, budget):
    counted = 0

    def denoise(x, sigma):
        nonlocal counted
        counted += 1
        return MOONS.denoise(x, sigma)

    walk = SAMPLERS[sampler](
        denoise, schedule("log_linear", 1000), steps_within(sampler, budget), start(8), normal(generator(1))
    )
    states = list(walk)
    assert [s.calls for s in states] == sorted(s.calls for s in states) and states[0].calls == 0
    assert states[-1].calls == counted and budget - 2 <= counted <= budget
    assert all(torch.isfinite(s.x).all() for s in states)


def test_langevin_keeps_the_law_of_its_level():
    """At one level, small steps leave draws of that level's law where they are."""
    p, plan = gaussian(0.0, 1.0), schedule("log_linear", 1000)
    bar = float(plan.alpha_bar[-1])
    states = list(
        annealed_langevin(p.denoise, plan, 1, start(20_000), normal(generator(1)), repeats=20, step_size=0.05)
    )
    assert states[-2].alpha_bar == bar
    assert float(states[-2].x.var()) == pytest.approx(1.0, rel=0.04)


@pytest.mark.parametrize("sampler", ["ddpm", "ddim", "heun"])
def test_a_short_schedule_starts_from_the_wrong_noise(sampler):
    """Moons are wider than tall; 78 % of that is still there at T = 50 of the linear schedule, and N(0, I) is round."""
    truth = Truth(MOONS.sample, 4000, generator(9))
    good, bad = (
        truth(
            last(
                SAMPLERS[sampler](MOONS.denoise, plan, steps_within(sampler, 50), start(4000), normal(generator(1)))
            ).x.to(DEVICE)
        )
        for plan in (schedule("log_linear", 1000), schedule("linear", 50))
    )
    assert good < truth.floor + 4 * truth.spread + 0.02 and bad > 0.1 > 3 * truth.floor


def test_one_changed_draw_forks_the_path_where_noise_is_drawn():
    frames = list(reverse.run(reverse.Config(fork_step=20, eta=0.5)))
    end = frames[-1]
    for name in ("ddpm", "ddim", "langevin"):
        path, fork = getattr(end, f"{name}_path"), getattr(end, f"{name}_fork")
        assert np.abs(path[:20] - fork[:20]).max() < 1e-4 < np.abs(path[21] - fork[21]).max()
        assert np.allclose(path[0], end.start[0])
    assert np.abs(end.heun_path - end.heun_fork).max() < 1e-4
    still = list(reverse.run(reverse.Config(fork_step=20)))[-1]
    assert np.abs(still.ddim_path - still.ddim_fork).max() < 1e-4


def test_the_learned_denoiser_is_trained_on_the_way():
    frames = list(reverse.run(reverse.Config(denoiser="learned", train_steps=120)))
    phases = [frame.phase for frame in frames]
    assert phases == sorted(phases) and set(phases) == set(reverse.PHASES)
    end = frames[-1]
    assert end.heun_off < 0.35 and end.progress == 1 and end.heun_calls <= end.budget == 40


def same(a, b) -> bool:
    return all(
        np.array_equal(x, y, equal_nan=True) if isinstance(x, np.ndarray) else x == y for x, y in zip(a, b, strict=True)
    )


@pytest.mark.parametrize(
    ("run", "one", "other"),
    [
        (learn.run, learn.Config(train_steps=50), learn.Config(train_steps=50, seed=1)),
        (forward.run, forward.Config(num_train_timesteps=20), forward.Config(num_train_timesteps=20, seed=1)),
        (reverse.run, reverse.Config(calls=12, eta=0.5), reverse.Config(calls=12, eta=0.5, seed=1)),
    ],
    ids=["learn", "forward", "reverse"],
)
def test_the_same_seed_gives_the_same_frames_however_runs_interleave(run, one, other):
    state = torch.get_rng_state()
    alone = list(run(one))
    mixed = [a for a, _ in zip(run(one), run(other), strict=True)]
    assert len(alone) == len(mixed) and all(map(same, alone, mixed))
    assert not same(alone[-1], list(run(other))[-1])
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("cfg", list(extremes(reverse.Config)), ids=str)
def test_reverse_at_the_ends_of_its_knobs(cfg):
    if cfg.data == "yours":
        cfg = replace(cfg, points=encode(np.array([[1.0, 1.0]])))
    if cfg.denoiser == "learned":
        cfg = replace(cfg, train_steps=50)
    if cfg.calls == reverse.Config.calls:
        cfg = replace(cfg, calls=12)
    frames = list(reverse.run(cfg))
    for frame in (frames[0], frames[len(frames) // 2], frames[-1]):
        for name in reverse.NAMES.values():
            assert getattr(frame, name).shape == (400, 2)
            assert getattr(frame, f"{name}_path").shape == getattr(frame, f"{name}_fork").shape == (101, 2)
            assert getattr(frame, f"{name}_calls") <= frame.budget <= cfg.calls
        assert all(np.isfinite(value).all() for value in frame[1:])


@pytest.mark.parametrize("config", [learn.Config, forward.Config, reverse.Config], ids=lambda c: c.__module__)
def test_no_more_than_six_knobs_are_in_view(config):
    shown = [k for _, k in knobs(config) if not k.folded and not k.text]
    assert len(shown) <= 6 and all(k.label for k in shown)


@pytest.mark.parametrize(
    "run", [(learn.run, learn.Config), (forward.run, forward.Config), (reverse.run, reverse.Config)]
)
def test_an_empty_drawing_gets_a_sentence(run):
    with pytest.raises(ValueError, match="expected at least one point"):
        next(run[0](run[1](data="yours")))
