"""The exact score, the denoising autoencoder that learns it, and the atlas of its error."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from engine.data.points import SETS, encode, mixture, moons
from engine.device import generator
from engine.diffusion_denoising import score
from engine.diffusion_denoising.model import Denoiser
from engine.diffusion_denoising.score import Config, exam, examine, run
from engine.knob import extremes

QUICK = Config(train_steps=50, width=16)


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize("sigma", [0.05, 0.3, 1.0, 3.0])
def test_the_exact_score_is_the_gradient_of_the_log_density(name, sigma):
    p = SETS[name]().noised(1.0, sigma)
    x = p.sample(200, generator(0)).double().cpu().requires_grad_(True)
    (slope,) = torch.autograd.grad(p.log_density(x).sum(), x)
    assert float((p.score(x.detach()) - slope).abs().max()) <= 1e-8


@pytest.mark.parametrize("sigma", [0.05, 0.5, 3.0])
def test_the_exact_denoiser_passes_its_exam_with_no_error(sigma):
    p = moons()
    frame = examine(p.denoise, exam(p, sigma, generator(0)), 7)
    assert frame.step == 7 and frame.relative_error < 1e-3 and frame.error.max() < 1e-2 and frame.gap < 1e-9
    assert frame.loss == pytest.approx(frame.least, rel=1e-4)
    assert frame.clean_error == pytest.approx(frame.smoothing, rel=1e-2)
    assert np.allclose(frame.learned, frame.exact, atol=1e-3)


def test_the_least_loss_is_the_posterior_variance():
    """For one Gaussian of variance s^2 it is s^2 sigma^2 / (s^2 + sigma^2)."""
    p = mixture("yours", encode(np.zeros((1, 2))))
    s, sigma = float(p.std[0]), 0.2
    frame = examine(p.denoise, exam(p, sigma, generator(0)), 0)
    assert frame.least == pytest.approx(s**2 * sigma**2 / (s**2 + sigma**2), abs=4 * frame.loss_error)


def test_smoothing_goes_with_the_square_of_sigma():
    p = moons()
    small, large = (exam(p, sigma, generator(0)).still["smoothing"] for sigma in (0.005, 0.01))
    assert large / small == pytest.approx(4, rel=0.05)


def test_training_brings_the_residual_to_the_score():
    frames = list(run(Config(train_steps=400)))
    first, last = frames[0], frames[-1]
    assert first.step == 0 and last.step == 400
    assert last.relative_error < 0.12 < 0.5 < first.relative_error
    assert last.loss - last.least < 0.05 * last.least
    assert abs((last.loss - last.least) - last.gap) < 4 * last.loss_error
    turn = np.sum(last.learned[:, 2:] * last.exact[:, 2:], 1)
    assert turn.mean() > 0


@pytest.mark.parametrize("kind", score.OUTPUTS)
def test_every_kind_of_output_learns(kind):
    *_, last = run(Config(train_steps=300, sigma=0.5, prediction_type=kind))
    assert last.relative_error < 0.12


def test_less_noise_asks_for_a_better_network():
    """At a tenth of the noise the learned score is farther off, the smoothing by the noise much less."""
    little, much = (list(run(Config(train_steps=300, sigma=sigma)))[-1] for sigma in (0.06, 0.6))
    assert little.relative_error > 2 * much.relative_error
    assert little.smoothing < 0.5 < 0.9 < much.smoothing


def test_a_run_is_the_same_to_the_bit_also_beside_another_and_leaves_the_global_generator_alone():
    before = torch.get_rng_state()
    alone, other = list(run(QUICK)), run(replace(QUICK, seed=5))
    beside = []
    for frame in run(QUICK):
        next(other, None)
        beside.append(frame)
    for a, b in zip(alone, beside, strict=True):
        assert all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))
    assert torch.equal(before, torch.get_rng_state())


def test_a_frame_is_not_changed_by_later_ones():
    walk = run(QUICK)
    first = next(walk)
    copy = [np.copy(value) for value in first]
    list(walk)
    assert all(np.array_equal(a, b) for a, b in zip(first, copy, strict=True))


CORNERS = [replace(cfg, train_steps=50) for cfg in extremes(Config) if cfg.data != "yours"]


@pytest.mark.parametrize("cfg", CORNERS, ids=lambda cfg: f"{cfg.data}-{cfg.sigma}-{cfg.width}-{cfg.prediction_type}")
def test_every_knob_at_both_ends_gives_whole_frames(cfg):
    frames = list(run(cfg))
    shapes = {"data": (600, 2), "noisy": (600, 2), "density": (48, 48), "error": (48, 48)}
    shapes |= {"learned": (400, 4), "exact": (400, 4)}
    for frame in (frames[0], frames[-1]):
        for name, shape in shapes.items():
            values = getattr(frame, name)
            assert values.shape == shape and values.dtype == np.float32 and np.isfinite(values).all()
    assert [frame.step for frame in frames] == list(range(0, 51, 10))


def test_one_point_is_data_and_an_empty_drawing_is_a_sentence():
    *_, last = run(replace(QUICK, data="yours", points=encode(np.array([[1.0, 0.0]]))))
    assert np.isfinite(last.error).all()
    with pytest.raises(ValueError, match="empty drawing"):
        next(run(Config(data="yours")))


class Exact(Denoiser):
    """The exact denoiser in the place of a trained one."""

    def __call__(self, x, sigma):
        cells = zip(x.split(1), torch.as_tensor(sigma).flatten().tolist(), strict=True)
        return torch.cat([moons().denoise(one, level) for one, level in cells])


def test_the_atlas_of_the_exact_denoiser_has_no_error():
    found = score.atlas(Exact(torch.zeros(0)), score.grid(moons(), 0.02, 8.0, generator(0)), 3)
    assert found.step == 3 and found.error.max() < 1e-3 and found.total_error < 1e-3
    assert np.allclose(found.learned, found.exact, atol=1e-3)
    assert found.place[0] == pytest.approx(-3) and found.place[-1] == pytest.approx(3)
    assert found.sigma[[0, -1]] == pytest.approx([0.02, 8.0])


def test_the_atlas_shows_the_score_of_x_t():
    """At noise over signal sigma, x_t follows sqrt(alpha_bar) x0 + sqrt(1 - alpha_bar) noise."""
    found = score.atlas(Exact(torch.zeros(0)), score.grid(moons(), 0.1, 8.0, generator(0)), 0)
    for row in (0, 10, 23):
        bar = float(1 / (1 + found.sigma[row] ** 2))
        p = moons().noised(bar**0.5, (1 - bar) ** 0.5)
        x = torch.stack([torch.from_numpy(found.place), torch.zeros(len(found.place))], 1).double()
        assert np.allclose(found.exact[row], (1 - bar) ** 0.5 * p.score(x)[:, 0].numpy(), atol=2e-3, rtol=1e-3)


def test_a_survey_learns_all_levels_but_the_guess_of_the_clean_point_fails_at_little_noise():
    """Divided by a small sigma squared, the error of a network that says the clean point drowns its score."""
    kinds = {}
    for kind in ("v_prediction", "sample"):
        walk = list(score.survey(score.LevelsConfig(train_steps=400, prediction_type=kind)))
        assert [walk[0].step, walk[-1].step] == [0, 400]
        kinds[kind] = walk[-1]
    assert kinds["v_prediction"].total_error < 0.2 < 2 < kinds["sample"].level_error[0]
    assert kinds["sample"].level_error[-1] < 0.05
    for name, shape in {"exact": (24, 64), "learned": (24, 64), "error": (24, 64), "density": (24, 64)}.items():
        assert getattr(kinds["sample"], name).shape == shape and np.isfinite(getattr(kinds["sample"], name)).all()
