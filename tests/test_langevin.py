"""Langevin chains against what theory says of them: variance, divergence, crossing rates, annealing."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.integrate import cumulative_trapezoid

from engine.data.points import encode
from engine.device import generator
from engine.diffusion_denoising import langevin
from engine.diffusion_denoising.langevin import Chains, Config, langevin_step, level, run, two_modes
from engine.diffusion_denoising.score import relative
from engine.knob import extremes

SHORT = Config(steps=24)


def wind(cfg: Config) -> list[langevin.Frame]:
    return list(run(cfg))


def gaussian_variance(step_size: float, chains: int = 20_000) -> tuple[float, float]:
    """The variance of long chains on N(0, I) and its standard error, from 20 snapshots of both coordinates."""
    p, rng = langevin.one_gaussian(), generator(7)
    x, seen = p.sample(chains, rng).double(), []
    wait = math.ceil(3 / abs(math.log(abs(1 - step_size) + 1e-12))) + 1  # autocorrelation below e^-3
    for k in range(20 * wait):
        x = langevin_step(x, p.score, step_size, torch.randn(x.shape, generator=rng, dtype=x.dtype).to(x))
        if k >= 8 * wait and k % wait == 0:
            seen.append(float(x.square().mean()))
    limit = langevin.stationary_variance(1.0, step_size)
    return float(np.mean(seen)), limit * math.sqrt(2 / (2 * chains * len(seen))) * 1.1


@pytest.mark.parametrize("step_size", [0.1, 0.5, 1.0, 1.5, 1.8])
def test_the_stationary_variance_is_that_of_the_autoregression(step_size):
    seen, error = gaussian_variance(step_size)
    assert abs(seen - 1 / (1 - step_size / 2)) <= 3 * error


def test_the_variance_in_a_frame_follows_its_exact_course():
    for start in ("everywhere", "truth"):
        for frame in wind(Config(data="one_gaussian", step_size=0.7, steps=40, start=start)):
            assert abs(frame.variance - frame.variance_exact) <= 5 * frame.variance_error
    assert frame.variance_exact == pytest.approx(frame.variance_limit, rel=1e-6) == pytest.approx(1 / 0.65)


def test_the_divergence_threshold_bisected_is_twice_the_variance():
    low, high = 0.5, 4.0
    for _ in range(12):
        middle = (low + high) / 2
        p, x = langevin.one_gaussian(), torch.ones(1, 2, dtype=torch.float64)
        for _ in range(300):
            x = langevin_step(x, p.score, middle, torch.zeros_like(x)).clamp(-1e6, 1e6)
        low, high = (low, middle) if float(x.abs().max()) > 1 else (middle, high)
    assert low == pytest.approx(2.0, abs=2e-3)


def test_a_lost_chain_ends_the_run_and_stays_in_sight_of_the_picture():
    frames = wind(Config(data="one_gaussian", step_size=2.4, steps=200))
    last = frames[-1]
    assert 0 < last.diverged <= last.step < 200
    assert all(frame.diverged == -1 for frame in frames if frame.step < last.diverged)
    assert all(np.isfinite(frame.cloud).all() and np.abs(frame.cloud).max() <= 4 * frame.half for frame in frames)
    assert math.isinf(last.variance_limit) and math.isfinite(last.variance)


def first_passage_rate(gap: float, edge: float) -> float:
    """Crossings from -edge to edge or back per unit of time, in the limit of small steps, by quadrature.

    The mean first passage time of dX = (log p)' dt + sqrt(2) dW is the integral of P(y) / p(y) over [-edge, edge].
    """
    z = np.linspace(-gap / 2 - 9, gap / 2 + 9, 200_001)
    p = np.exp(-((z - gap / 2) ** 2) / 2) + np.exp(-((z + gap / 2) ** 2) / 2)
    between = np.abs(z) <= edge
    return 1 / float(np.trapezoid((cumulative_trapezoid(p, z, initial=0) / p)[between], z[between]))


def measured_rate(gap: float, step_size: float = 0.05) -> tuple[float, float]:
    p, rng = two_modes(gap, 0.5), generator(3)
    now, chains = level(p, 0.0, step_size, 8.0), Chains(p.sample(1500, rng), 8.0, gap / 4)
    for _ in range(1500):
        chains.advance(now, rng)
    spent = len(chains.x) * chains.time
    return chains.crossings / spent, math.sqrt(chains.crossings) / spent


def test_the_rate_of_crossings_is_that_of_first_passage_and_log_linear_in_the_barrier():
    gaps = [4.0, 5.0, 6.0, 7.0]
    rates = []
    for gap in gaps:
        rate, error = measured_rate(gap)
        edge = gap / 4 + 0.5826 * math.sqrt(2 * 0.05)  # chains overshoot: Broadie, Glasserman and Kou (1997)
        assert rate == pytest.approx(first_passage_rate(gap, edge), abs=3 * error + 0.05 * rate)
        rates.append(rate)
    barriers = [langevin.barrier(two_modes(gap, 0.5)) for gap in gaps]
    fit = np.corrcoef(barriers, np.log(rates))[0, 1]
    assert fit < 0 and fit**2 > 0.99


def test_the_barrier_is_the_drop_of_the_log_density():
    assert langevin.barrier(two_modes(0.0)) == 0
    assert langevin.barrier(two_modes(6.0, 0.5)) == pytest.approx(4.5 - math.log(2), abs=2e-3)


def test_annealing_mends_the_weights_that_plain_chains_get_wrong():
    plain = Config(gap=8.0, start="left", steps=600)
    stuck, mended = wind(plain)[-1], wind(replace(plain, annealed=True))[-1]
    assert stuck.share_right < 0.1 and stuck.crossings < 60
    assert abs(mended.share_right - mended.weight_right) <= 3 * mended.share_error
    assert mended.distance < mended.floor + 4 * mended.floor_spread < stuck.distance
    assert mended.sigma == 0


def test_a_learned_score_is_trained_first_and_with_annealing_it_samples_the_data():
    cfg = Config(data="swiss_roll", score="learned", annealed=True, steps=300)
    frames = wind(cfg)
    taught = [frame.trained for frame in frames if frame.step == 0]
    assert taught[0] == 0 and taught == sorted(taught) and frames[-1].trained == 1
    assert np.array_equal(frames[0].cloud, frames[len(taught) - 1].cloud)
    assert frames[-1].distance < frames[-1].floor + 5 * frames[-1].floor_spread
    assert frames[-1].sigma == pytest.approx(langevin.FINEST * float(langevin.target(cfg).std.min()))


def test_a_learned_score_is_close_to_the_exact_one_where_data_are():
    p = two_modes(4.0)
    *_, (denoiser, done) = langevin.taught(p, generator(0))
    x = p.noised(1.0, 0.5).sample(2000, generator(1))
    assert done == 1
    assert relative(level(p, 0.5, 0.1, 4.0, denoiser).score(x), p.noised(1.0, 0.5).score(x)) < 0.15


def test_moments_and_masses_agree_with_samples():
    for data in ("two_modes", "swiss_roll"):
        p = langevin.target(Config(data=data))
        first = p.sample(200_000, generator(0))[:, 0].double()
        assert langevin.variance(p) == pytest.approx(float(first.var()), rel=0.01)
        assert langevin.mass_right(p) == pytest.approx(float((first > 0).double().mean()), abs=0.004)


def test_the_arrows_point_along_the_score():
    p = two_modes(5.0)
    arrows = torch.from_numpy(level(p, 0.4, 0.1, 4.0).arrows).double()
    score = p.noised(1.0, 0.4).score(arrows[:, :2])
    turn = torch.cosine_similarity(arrows[:, 2:], score, dim=1)
    assert float(turn.min()) > 0.9999


def test_a_run_is_the_same_to_the_bit_also_beside_another_and_leaves_the_global_generator_alone():
    before = torch.get_rng_state()
    alone, other = wind(SHORT), run(replace(SHORT, seed=5))
    beside = []
    for frame in run(SHORT):
        next(other, None)
        beside.append(frame)
    for a, b in zip(alone, beside, strict=True):
        assert all(np.array_equal(x, y, equal_nan=True) for x, y in zip(a, b, strict=True))
    assert torch.equal(before, torch.get_rng_state())


CORNERS = [replace(cfg, steps=min(cfg.steps, 30)) for cfg in extremes(Config) if cfg.data != "yours"]


@pytest.mark.parametrize("cfg", CORNERS, ids=lambda cfg: f"{cfg.data}-{cfg.gap}-{cfg.step_size}-{cfg.start}")
def test_every_knob_at_both_ends_gives_whole_frames(cfg):
    frames = wind(cfg)
    shapes = {"cloud": (600, 2), "path": (160, 2), "density": (48, 48), "arrows": (400, 4)}
    for frame in (frames[0], frames[-1]):
        for name, shape in shapes.items():
            values = getattr(frame, name)
            assert values.shape == shape and values.dtype == np.float32 and np.isfinite(values).all()
    assert frames[-1].step == cfg.steps or frames[-1].diverged > 0
    assert frames[-1].trained == 1


def test_at_most_120_frames_and_all_steps_in_order():
    for steps in (10, 119, 120, 600, 2500):
        counts = [frame.step for frame in run(Config(steps=steps, data="one_gaussian"))]
        assert len(counts) <= 120 and counts[0] == 0 and counts[-1] == steps and counts == sorted(set(counts))


def test_a_visitors_points_are_a_target_and_an_empty_drawing_is_a_sentence():
    one = Config(data="yours", points=encode(np.array([[0.5, -1.0]])), steps=200)
    assert abs(wind(one)[-1].cloud.mean(0) - [0.5, -1.0]).max() < 0.05
    with pytest.raises(ValueError, match="empty drawing"):
        next(run(Config(data="yours")))
