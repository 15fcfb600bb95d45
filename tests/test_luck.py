"""Runs side by side: each is what it would be alone, and the band over them is a band."""

from dataclasses import replace
from itertools import islice
from time import process_time

import numpy as np
import pytest
import torch

from engine.data.points import encode, mixture
from engine.device import DEVICE, generator
from engine.diffusion_denoising import luck
from engine.diffusion_denoising.model import PREDICTION_TYPES, Denoiser, init, network
from engine.diffusion_denoising.schedules import schedule
from engine.distance import off_manifold
from engine.knob import extremes
from engine.tape import size

SHORT = luck.Config(runs=2, train_steps=50)
PLAN = schedule("log_linear", luck.LEVELS)


def crowd(cfg: luck.Config) -> luck.Crowd:
    return luck.Crowd(cfg, mixture(cfg.data, cfg.points), PLAN)


def same(a: luck.Frame, b: luck.Frame) -> bool:
    return all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


@pytest.mark.parametrize("kind", PREDICTION_TYPES)
@pytest.mark.parametrize("width", [8, 64])
def test_each_row_of_the_batch_is_the_single_network(kind, width):
    side = crowd(luck.Config(runs=3, prediction_type=kind, width=width))
    net, rng = network(width), generator(7)
    side.descent.average.copy_(torch.stack([init(net, rng) for _ in range(3)]))
    side.descent.average.add_(0.1 * torch.randn(side.descent.average.shape, generator=rng).to(DEVICE))
    x = torch.randn(3, 20, 2, generator=rng).to(DEVICE)
    for sigma in (0.02, 0.5, 8.0):
        alone = torch.stack([Denoiser(w, kind, net)(y, sigma) for w, y in zip(side.descent.average, x, strict=True)])
        assert torch.allclose(side.denoise(x, sigma), alone, rtol=1e-5, atol=1e-5)


def test_each_point_of_a_batch_has_its_own_noise_level():
    net, rng = network(16), generator(1)
    weights = torch.stack([init(net, rng) for _ in range(3)])
    weights += 0.1 * torch.randn(weights.shape, generator=rng)
    x, sigma = torch.randn(3, 20, 2, generator=rng), torch.rand(3, 20, 1, generator=rng) + 0.1
    found = luck.denoised("epsilon", luck.guesses(net, weights, x, sigma), x, sigma)
    for i in range(3):
        assert torch.allclose(found[i], Denoiser(weights[i], "epsilon", net)(x[i], sigma[i]), rtol=1e-5, atol=1e-5)


def test_a_run_does_not_know_how_many_there_are():
    few, many = (list(luck.run(replace(SHORT, runs=k)))[-1] for k in (2, 4))
    for name in ("loss", "off", "w2"):
        assert np.allclose(getattr(few, name), getattr(many, name)[:2], atol=1e-4), name
    two, four = crowd(SHORT), crowd(replace(SHORT, runs=4))
    for _ in range(20):
        two.advance()
        four.advance()
    assert torch.allclose(two.descent.average, four.descent.average[:2], atol=1e-4)


def test_runs_differ_and_so_do_seeds():
    frame = list(luck.run(replace(SHORT, runs=4)))[-1]
    assert len(np.unique(frame.loss)) == 4 and len(np.unique(frame.w2)) == 4
    other = list(luck.run(replace(SHORT, runs=4, seed=1)))[-1]
    assert not np.isin(frame.loss, other.loss).any()


def test_the_same_run_twice_even_interleaved_and_the_global_state_untouched():
    before = torch.random.get_rng_state()
    alone = list(luck.run(SHORT))
    pairs = list(zip(luck.run(SHORT), luck.run(replace(SHORT, seed=5)), strict=True))
    assert all(same(a, b) for a, (b, _) in zip(alone, pairs, strict=True))
    assert not same(alone[-1], pairs[-1][1])
    assert torch.equal(before, torch.random.get_rng_state())


def test_frames_are_not_changed_afterwards():
    frames = luck.run(SHORT)
    first = next(frames)
    kept = [np.copy(value) for value in first]
    list(islice(frames, 5))
    assert all(np.array_equal(a, b) for a, b in zip(first, kept, strict=True))


def test_the_gradient_of_a_run_is_that_of_its_own_loss():
    net, rng = network(8), generator(3)
    weights = torch.stack([init(net, rng) for _ in range(3)])
    weights = (weights + 0.1 * torch.randn(weights.shape, generator=rng)).requires_grad_()
    x = torch.randn(3, 10, 2, generator=rng)
    luck.guesses(net, weights, x, torch.ones(1, 1, 1))[1].square().mean().backward()
    assert weights.grad is not None and weights.grad[1].abs().max() > 0
    assert not weights.grad[0].any() and not weights.grad[2].any()


def test_bands_are_the_extremes_and_the_middle_of_the_runs():
    for frame in luck.run(luck.Config(runs=5, train_steps=50)):
        for name in ("loss", "off", "w2"):
            values = getattr(frame, name)
            low, mid, high = (getattr(frame, f"{name}_{end}") for end in ("low", "mid", "high"))
            assert low <= mid <= high and (low, mid, high) == (values.min(), np.median(values), values.max())
        assert frame.off_low >= 0 and frame.off_high <= 1
        assert max(np.abs(frame.samples_best).max(), np.abs(frame.samples_worst).max()) <= 4 * frame.half + 1e-4


def test_the_best_and_the_worst_cloud_are_those_of_the_numbers():
    p, frame = mixture("swiss_roll", ""), list(luck.run(replace(SHORT, runs=4)))[-1]
    exam = luck.Exam(p, PLAN, generator(luck.EXAM))
    best, worst = (torch.from_numpy(cloud).to(DEVICE) for cloud in (frame.samples_best, frame.samples_worst))
    assert exam.truth(best) == pytest.approx(frame.w2_low, abs=1e-5)
    assert exam.truth(worst) == pytest.approx(frame.w2_high, abs=1e-5)
    assert off_manifold(best, p) == pytest.approx(frame.off[frame.w2.argmin()], abs=1e-6)
    assert frame.attainable == exam.attainable and frame.floor == exam.truth.floor


def test_the_loss_is_smoothed_as_one_run_alone_smooths_it():
    side = crowd(SHORT)
    for _ in range(12):
        side.advance()
    assert float(side.loss.sum()) == pytest.approx(side.descent.loss_ema, rel=1e-5)


@pytest.mark.parametrize("cfg", list(extremes(luck.Config)), ids=str)
def test_luck_at_the_ends_of_its_knobs(cfg):
    if cfg.data == "yours":
        cfg = replace(cfg, points=encode(np.array([[1.0, 1.0]])))
    if cfg.runs == luck.Config.runs:
        cfg = replace(cfg, runs=3)
    cfg = cfg if cfg.train_steps > luck.Config.train_steps else replace(cfg, train_steps=50)
    frames = list(islice(luck.run(cfg), 12))
    for frame in (frames[0], frames[-1]):
        assert frame.loss.shape == frame.off.shape == frame.w2.shape == (cfg.runs,)
        assert frame.samples_best.shape == frame.samples_worst.shape == (luck.SAMPLES, 2)
        assert all(np.isfinite(value).all() for value in frame)
        assert {value.dtype for value in frame if isinstance(value, np.ndarray)} == {np.dtype(np.float32)}


def test_nothing_drawn_is_said_in_a_sentence():
    with pytest.raises(ValueError):
        next(luck.run(luck.Config(data="yours")))


@pytest.mark.parametrize("steps", [50, 150, 300, 1000])
def test_frames_come_fast_at_first_and_cover_the_run(steps):
    found = luck.stops(luck.Config(train_steps=steps))
    assert found[:3] == [1, 2, 3] and found[-1] == steps and found == sorted(set(found))
    assert 40 <= len(found) <= 80 or steps == 1000


def test_training_makes_the_data_and_the_band_closes():
    frames = list(luck.run(luck.Config()))
    first, end = frames[0], frames[-1]
    assert first.off_low > 0.5 and end.off_mid < 0.15 and end.off_high < 0.3
    assert end.off_high > end.off_low and end.w2_mid < first.w2_mid
    assert sum(map(size, frames)) < 1 << 20


def test_all_at_once_against_one_after_another(record_property):
    cost = {}
    for k in (1, 8):
        side = crowd(luck.Config(runs=k))
        side.advance()
        begin = process_time()
        for _ in range(16):
            side.advance()
        cost[k] = (process_time() - begin) / 16
    record_property("step_ms", {k: 1e3 * seconds for k, seconds in cost.items()})
    record_property("times_cheaper", 8 * cost[1] / cost[8])
    print(f"8 runs: {1e3 * cost[8]:.2f} ms a step, {8 * cost[1] / cost[8]:.1f} times cheaper than one by one")
