"""The denoiser: what it says in every form, what it learns, and how the learned score compares to the exact one."""

from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
import torch
from scipy.stats import norm

from engine.data.points import SETS, encode
from engine.device import DEVICE, generator
from engine.diffusion_denoising import learn, train
from engine.diffusion_denoising.model import (
    BREADTH,
    MEDIAN,
    PREDICTION_TYPES,
    Denoiser,
    denoised,
    emphasis,
    init,
    lessons,
    network,
    predict_noise,
    score,
    target,
)
from engine.diffusion_denoising.samplers import heun, last
from engine.diffusion_denoising.schedules import BETA_SCHEDULES, add_noise, schedule
from engine.distance import off_manifold
from engine.knob import extremes
from engine.nets import Adam, Descent, ResidualMLP, fourier

LEVELS = torch.logspace(-1.7, 1.5, 64, dtype=torch.float64)[:, None]


def pairs() -> tuple[torch.Tensor, torch.Tensor]:
    x0, noise = torch.randn(2, 64, 2, generator=generator(0)).double()
    return x0, noise


@pytest.mark.parametrize("kind", PREDICTION_TYPES)
def test_every_output_gives_back_the_clean_point(kind):
    x0, noise = pairs()
    found = denoised(kind, target(kind, x0, noise, LEVELS), x0 + LEVELS * noise, LEVELS)
    assert (found - x0).abs().max() < 1e-12


def test_targets_are_what_their_names_say():
    x0, noise = pairs()
    bar = 1 / (1 + LEVELS**2)
    assert torch.allclose(target("epsilon", x0, noise, LEVELS), noise, atol=1e-12)
    assert torch.allclose(target("sample", x0, noise, LEVELS), x0, atol=1e-12)
    assert torch.allclose(target("v_prediction", x0, noise, LEVELS), bar.sqrt() * noise - (1 - bar).sqrt() * x0)


def test_noise_and_score_follow_from_the_denoiser():
    x0, noise = pairs()
    bar = 0.3
    found = predict_noise(lambda x, sigma: x0, add_noise(x0, noise, bar), bar)
    assert (found - noise).abs().max() < 1e-12
    p = SETS["pinwheel"]()
    assert torch.allclose(score(p.denoise, x0, 0.5), p.noised(1.0, 0.5).score(x0), atol=1e-10)


def test_a_number_and_a_column_of_noise_levels_agree():
    net = network(32)
    denoise = Denoiser(init(net, generator(0)), net=net)
    x = torch.randn(20, 2, generator=generator(1))
    assert torch.allclose(denoise(x, 0.7), denoise(x, torch.full((20, 1), 0.7)), atol=1e-6)


def test_an_untrained_v_prediction_shrinks_towards_the_mean():
    denoise = Denoiser(init(network(16), generator(0)), net=network(16))
    x = torch.randn(20, 2, generator=generator(1))
    assert torch.allclose(denoise(x, 2.0), x / 5, atol=1e-6)


def test_training_looks_most_where_there_is_something_to_learn():
    plan = schedule("log_linear", 1000)
    level = (plan.sigma.log() - MEDIAN) / BREADTH
    reach = norm.cdf(level[-1]) - norm.cdf(level[0])
    share = torch.as_tensor((norm.cdf(level) - norm.cdf(level[0])) / reach)
    assert torch.allclose(emphasis(plan), share, atol=2e-3)


@pytest.mark.parametrize("name", BETA_SCHEDULES)
@pytest.mark.parametrize("length", [1, 2, 10, 1000])
def test_all_of_the_training_is_given_away(name, length):
    share = emphasis(schedule(name, length))
    assert share.shape == (length,) and bool((share.diff() >= 0).all()) and float(share[0]) > 0
    assert float(share[-1]) == pytest.approx(1)


@pytest.mark.parametrize("kind", PREDICTION_TYPES)
def test_lessons_ask_for_the_noise_they_added_at_levels_of_the_schedule(kind):
    plan, still = schedule("log_linear", 1000), torch.tensor([0.5, -1.0])
    stream = lessons(lambda n, rng: still.expand(n, 2).to(DEVICE), plan, kind, 400, [generator(0), generator(1)])
    for x, sigma, wanted in islice(stream, 10):
        x0 = still.to(DEVICE).expand_as(x)
        assert torch.allclose(denoised(kind, wanted, x, sigma), x0, atol=1e-4)
        noise = (x - x0) / sigma
        assert abs(float(noise.mean())) < 0.1 and float(noise.std()) == pytest.approx(1, abs=0.1)
        at = torch.searchsorted(plan.sigma.float(), sigma.cpu() * (1 - 1e-5)).flatten(1)
        spread = (torch.arange(400) + 0.5) / 400  # the batch holds every quantile once
        assert bool(((emphasis(plan)[at] - spread).abs() < 0.01).all())


def test_a_run_of_lessons_does_not_know_the_others():
    plan, sample = schedule("linear", 100), SETS["moons"]().sample
    both = lessons(sample, plan, "epsilon", 8, [generator(0), generator(1)])
    alone = lessons(sample, plan, "epsilon", 8, [generator(1)])
    for pair, single in islice(zip(both, alone, strict=False), 20):
        assert all(torch.equal(a[1], b[0]) for a, b in zip(pair, single, strict=True))


def test_the_network_is_its_formula():
    net = ResidualMLP(3, 2, width=5, depth=2, condition=4)
    weights = torch.randn(net.size, generator=generator(0))
    x, c = torch.randn(7, 3, generator=generator(1)), torch.randn(7, 4, generator=generator(2))
    first, bias, last_, offset, push, shift, w1, w2 = (
        part.view(shape)
        for part, shape in zip(weights.split([int(np.prod(s)) for s in net.shapes]), net.shapes, strict=True)
    )
    h = x @ first + bias
    for i, w in enumerate([w1, w2]):
        a = h @ w + (c @ push + shift)[:, 5 * i : 5 * i + 5]
        h = h + a * torch.sigmoid(a)
    assert torch.allclose(net(weights, x, c), h @ last_ + offset, atol=1e-5)


def test_fourier_features_are_waves():
    x, frequencies = torch.randn(4, 2, generator=generator(0)), torch.randn(2, 3, generator=generator(1))
    found = fourier(x, frequencies)
    assert torch.equal(found[:, :2], x) and torch.allclose(found[:, 2:5] ** 2 + found[:, 5:] ** 2, torch.ones(4, 3))


def test_adam_takes_the_steps_of_torch_optim():
    weights = torch.randn(50, generator=generator(0), dtype=torch.float64).to(DEVICE)
    theirs = weights.clone().requires_grad_()
    ours, peer = Adam(weights, (0.5, 0.9)), torch.optim.Adam([theirs], betas=(0.5, 0.9))
    for step in range(20):
        slope, size = (weights + 1).sin(), 0.1 / (step + 1)
        theirs.grad, peer.param_groups[0]["lr"] = slope.clone(), size
        peer.step()
        ours(slope, size)
    torch.testing.assert_close(weights, theirs.detach(), rtol=1e-12, atol=1e-12)


def test_descent_finds_the_bottom_of_a_bowl():
    descent = Descent(torch.tensor([3.0, -2.0], device=DEVICE), 400, 0.1)
    for _ in range(400):
        descent(lambda w: (w - 1).square().sum())
    assert torch.allclose(descent.average, torch.ones(2, device=DEVICE), atol=1e-2) and descent.loss_ema < 1e-3


@pytest.mark.parametrize("name", ["swiss_roll", "eight_gaussians", "circles"])
def test_training_finds_the_data(name):
    *_, end = learn.run(learn.Config(data=name, train_steps=400))
    assert end.score_error < 0.2 and end.off_manifold < 0.12
    assert end.sliced_w2 < end.attainable + 0.15
    assert end.loss_ema == pytest.approx(end.least, abs=0.1)


def test_the_best_possible_loss_is_not_beaten():
    frames = list(learn.run(learn.Config(train_steps=300)))
    assert min(frame.loss_ema for frame in frames) > frames[0].least - 0.05
    assert frames[0].score_error > 2 * frames[-1].score_error


@pytest.mark.parametrize("kind", PREDICTION_TYPES)
def test_every_output_can_be_learned(kind):
    *_, end = learn.run(learn.Config(train_steps=300, prediction_type=kind))
    assert end.off_manifold < 0.35 and end.score_error < 0.35


def test_the_last_frame_rebuilds_the_network():
    cfg = learn.Config(train_steps=60)
    frames = list(learn.run(cfg))
    assert all(frame.weights.shape == (0,) for frame in frames[:-1])
    exam_noise = torch.from_numpy(frames[-1].paths[:, 0]).to(DEVICE)
    states = heun(learn.denoiser(cfg, frames[-1].weights), schedule("log_linear", 1000), 10, exam_noise)
    assert np.allclose(last(states).x.cpu().numpy(), frames[-1].paths[:, -1], atol=1e-4)
    assert np.array_equal(frames[-1].paths[:, -1], frames[-1].samples[:12])


def test_samples_move_from_one_noise():
    frames = list(learn.run(learn.Config(train_steps=100)))
    for frame in frames[1:]:
        assert np.array_equal(frame.paths[:, 0], frames[0].paths[:, 0])
    jumps = [np.abs(b.samples - a.samples).mean() for a, b in zip(frames, frames[1:], strict=False)]
    assert max(jumps) < 0.5


def test_train_is_usable_alone():
    p, rng = SETS["moons"](), generator(0)
    *_, descent = train(p.sample, schedule("log_linear", 1000), rng, train_steps=300)
    denoise = Denoiser(descent.average, net=network(64))
    x = last(heun(denoise, schedule("log_linear", 1000), 20, torch.randn(500, 2, generator=rng).to(DEVICE))).x
    assert off_manifold(x, p) < 0.15


@pytest.mark.parametrize("cfg", list(extremes(learn.Config)), ids=str)
def test_learn_at_the_ends_of_its_knobs(cfg):
    if cfg.data == "yours":
        cfg = replace(cfg, points=encode(np.array([[1.0, 1.0]])))
    if cfg.sampler_steps == learn.Config.sampler_steps:
        cfg = replace(cfg, sampler_steps=3)
    long = cfg.train_steps > 600
    frames = list(islice(learn.run(cfg if long else replace(cfg, train_steps=50)), 8 if long else None))
    assert long or frames[-1].step == 50
    for frame in (frames[0], frames[len(frames) // 2], frames[-1]):
        assert frame.samples.shape == (400, 2) and frame.paths.shape[::2] == (12, 2)
        assert frame.score.shape == frame.exact_score.shape == (225, 4) and frame.levels.shape == (4,)
        assert all(np.isfinite(value).all() for value in frame)


@pytest.mark.parametrize("steps", [50, 600, 3000])
def test_frames_come_fast_at_first_and_cover_the_run(steps):
    found = learn.stops(learn.Config(train_steps=steps))
    assert found[:3] == [1, 2, 3] and found[-1] == steps and 20 < len(found) < 350
