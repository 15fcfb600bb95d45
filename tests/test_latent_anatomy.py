"""The anatomy of variational autoencoders against closed forms, autograd, scikit-learn and torch.distributions."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from engine.data import digits, drawing
from engine.device import DEVICE, generator
from engine.figures import latent_anatomy
from engine.knob import extremes
from engine.latent_spaces import between, collapse, factors, holes, pullback, trick
from engine.latent_spaces.methods import fit

CASES = [
    trick.Config(),
    trick.Config(parameter="std", dimensions=5, mu=-0.4, sigma=1.3),
    trick.Config(function="tanh", dimensions=3, baseline=True),
    trick.Config(function="ripple", mu=0.3, sigma=0.4),
    trick.Config(function="step", mu=0.5),
    trick.Config(function="step", parameter="std", mu=0.5, dimensions=2),
]


def closed_form(cfg):
    """The gradient of E g(z_1) in mu or sigma, from textbooks."""
    m, s, w = cfg.mu, cfg.sigma, trick.RIPPLE
    bell = np.exp(-((m / s) ** 2) / 2) / np.sqrt(2 * np.pi)
    flat = np.exp(-((w * s) ** 2) / 2)
    return {
        "square": (2 * m, 2 * s),
        "ripple": (w * flat * np.cos(w * m), -s * w**2 * flat * np.sin(w * m)),
        "step": (bell / s, -m * bell / s**2),
    }[cfg.function][cfg.parameter == "std"]


@pytest.mark.parametrize("cfg", [c for c in CASES if c.function != "tanh"])
def test_the_exact_gradient_is_that_of_textbooks(cfg):
    assert trick.exact(cfg).gradient == pytest.approx(closed_form(cfg), abs=1e-10)


@pytest.mark.parametrize("cfg", CASES)
def test_means_and_variances_of_both_estimators(cfg):
    known, noise = trick.exact(cfg), torch.randn(200_000, 1, cfg.dimensions, generator=generator(0)).double()
    along = trick.pathwise(cfg, noise)
    by_score = trick.score_function(cfg, noise, known.value if cfg.baseline else 0.0)
    for found, mean, var in (
        (along, known.pathwise_mean, known.pathwise_var),
        (by_score, known.gradient, known.score_var),
    ):
        assert float(found.mean()) == pytest.approx(mean, abs=4 * (var / len(noise)) ** 0.5 + 1e-12)
        assert float(found.var()) == pytest.approx(var, rel=0.05, abs=1e-12)
    if cfg.function != "step":
        assert known.pathwise_mean == pytest.approx(known.gradient, abs=1e-10)


def test_variances_of_the_square_in_one_dimension():
    known = trick.exact(trick.Config(mu=1.0, sigma=0.5))
    assert (known.pathwise_var, known.score_var) == pytest.approx((1.0, 21.75))  # moments of a Gaussian, by hand


@pytest.mark.parametrize("parameter", ["mean", "std"])
def test_scores_are_those_of_torch_distributions(parameter):
    mu, sigma = (torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in (0.3, 0.7))
    noise = torch.randn(9, generator=generator(0)).double()
    z = (mu + sigma * noise).detach()
    slopes = torch.autograd.functional.jacobian(
        lambda m, s: torch.distributions.Normal(m, s).log_prob(z), (mu.detach(), sigma.detach())
    )
    torch.testing.assert_close(trick.score(noise, 0.7, parameter), slopes[parameter == "std"])


def test_slopes_are_those_of_autograd():
    z = torch.linspace(-2, 2, 40, dtype=torch.float64, requires_grad=True)
    for one in trick.FUNCTIONS.values():
        if not one.jumps:
            (slope,) = torch.autograd.grad(one.value(z).sum(), z)
            torch.testing.assert_close(one.slope(z.detach()), slope)


@pytest.mark.parametrize("cfg", list(extremes(trick.Config)))
def test_both_tallies_hold_every_estimate(cfg):
    *_, last = trick.run(cfg)
    for bars in (last.pathwise_bars, last.score_bars):
        assert bars[::2, 1].sum() == pytest.approx(1, abs=1e-4)
    assert all(np.isfinite(v).all() for k, v in last._asdict().items() if not k.startswith("ratio"))


def test_more_samples_in_an_estimate_divide_both_variances():
    one, many = (trick.exact(trick.Config()), trick.run(trick.Config(samples=16)))
    *_, last = many
    assert last.score_error**2 * last.count == pytest.approx(one.score_var / 16, rel=0.1)
    assert last.ratio == pytest.approx(last.ratio_exact, rel=0.1)


def test_terms_of_a_linear_family_are_those_of_a_careful_estimate():
    family, rng = collapse.Family(5, 3), generator(0)
    weights = family.init(2, rng).double()
    weights += 0.3 * torch.randn(weights.shape, generator=rng).double().to(DEVICE)
    x = torch.randn(7, 5, generator=rng).double().to(DEVICE)
    error, kl = family.terms(weights, x, torch.empty(0, device=DEVICE))
    mean, log_var = family.encode(weights, x)
    noise = torch.randn(40_000, 2, 7, 3, generator=rng).double().to(DEVICE)
    z = mean + (log_var / 2).exp() * noise
    parts = family.parts(weights)
    found = ((z @ parts[3] + parts[4] - x) ** 2).sum(3).mean(2)
    spread = found.std(0) / len(found) ** 0.5
    assert bool(((found.mean(0) - error).abs() < 4 * spread).all())
    q = torch.distributions.Normal(mean, (log_var / 2).exp().expand_as(mean))
    prior = torch.distributions.Normal(torch.zeros(()).double().to(DEVICE), torch.ones(()).double().to(DEVICE))
    torch.testing.assert_close(kl, torch.distributions.kl_divergence(q, prior).mean(1))


def test_networks_of_a_family_do_not_touch_each_other():
    family, rng = collapse.Family(6, 2, 4), generator(0)
    weights = family.init(3, rng)
    weights[1] += 0.1
    x, noise = torch.randn(9, 6, generator=rng).to(DEVICE), torch.randn(9, 2, generator=rng).to(DEVICE)
    together = family.terms(weights, x, noise)
    for i in range(3):
        for all_of_them, alone in zip(together, family.terms(weights[i : i + 1], x, noise), strict=True):
            torch.testing.assert_close(all_of_them[i], alone[0])


def test_whole_stands_for_every_digit():
    known = collapse.data()
    assert float(known.whole.mean(0).abs().max()) < 1e-6
    torch.testing.assert_close(known.whole.T @ known.whole / len(known.whole),
                               known.train.T @ known.train / len(known.train), rtol=0, atol=1e-6)  # fmt: skip


def test_exact_kl_against_the_posterior_of_probabilistic_pca():
    values, sigma2 = torch.tensor([2.0, 0.9, 0.3, 0.1], dtype=torch.float64), 0.5
    w = torch.diag((values[:3] - sigma2).clamp_min(0).sqrt())  # its maximum likelihood (Tipping and Bishop, eq. 7)
    posterior = sigma2 * torch.linalg.inv(w.T @ w + sigma2 * torch.eye(3))
    spread = torch.linalg.inv(w.T @ w + sigma2 * torch.eye(3)) @ w.T  # mean = this @ x, x ~ N(0, values)
    second = posterior.diagonal() + (spread**2 @ values[:3])
    kl = 0.5 * (second - 1 - posterior.diagonal().log())
    torch.testing.assert_close(collapse.exact_kl(values, sigma2, 3), kl)
    rate, error = collapse.exact_frontier(values.float(), 3)[-1]
    assert rate == pytest.approx(0, abs=1e-6) and error == pytest.approx(float(values.sum()))


def test_probabilistic_pca_is_that_of_scikit_learn():
    from sklearn.decomposition import PCA

    found = PCA(10).fit(collapse.data().train.cpu().double().numpy())
    n = len(collapse.data().train)
    np.testing.assert_allclose(collapse.data().values[:10].cpu(), found.explained_variance_ * (n - 1) / n, rtol=1e-5)


def test_aggregated_posterior_is_a_mixture_of_gaussians():
    rng = generator(0)
    mean, std, z = torch.randn(30, 2, generator=rng), torch.rand(30, 2, generator=rng), torch.randn(9, 2, generator=rng)
    q = holes.Aggregate(mean.double(), std.double(), blur=0.2)
    parts = torch.distributions.Independent(torch.distributions.Normal(mean, (std**2 + 0.04).sqrt()), 1)
    weights = torch.distributions.Categorical(torch.ones(30))
    exact = torch.distributions.MixtureSameFamily(weights, parts).log_prob(z)
    torch.testing.assert_close(q.log_density(z.double()).float(), exact)
    prior = torch.distributions.Normal(0.0, 1.04**0.5).log_prob(z).sum(1)
    torch.testing.assert_close(q.log_ratio(z.double()).float(), exact - prior)


def test_codes_that_follow_the_prior_leave_no_holes():
    rng = generator(0)
    q = holes.Aggregate(torch.randn(2000, 2, generator=rng), torch.full((2000, 2), 0.3))
    q = holes.Aggregate(q.mean * (1 - 0.09) ** 0.5, q.std)
    assert float(q.log_ratio(2 * torch.rand(50, 2, generator=rng) - 1).abs().max()) < 0.25


def test_nearest_pictures_are_those_of_scikit_learn():
    from sklearn.neighbors import NearestNeighbors

    a, b = torch.rand(7, 4, 4, generator=generator(0)), torch.rand(20, 4, 4, generator=generator(1))
    exact = NearestNeighbors(n_neighbors=1).fit(b.flatten(1)).kneighbors(a.flatten(1))[0][:, 0] / 4
    np.testing.assert_allclose(holes.to_nearest(a, b), exact, rtol=1e-5)


@pytest.mark.parametrize("method", ["vae", "pca", "deep"])
def test_the_jacobian_is_that_of_finite_differences(method):
    images = digits.split()[0].images
    model = fit(images, method, n_components=2, steps=60)
    z = torch.randn(5, 2, generator=generator(0))
    with torch.no_grad():
        found, h = pullback.jacobian(model, z), 1e-2
        for j, step in enumerate(h * torch.eye(2)):
            slope = (model.decode(z + step) - model.decode(z - step)).flatten(1) / (2 * h)
            torch.testing.assert_close(found[:, :, j], slope, rtol=0.02, atol=2e-3)


def test_what_the_pointer_shows_is_the_decoder_s():
    cfg = between.Config(data="digits", steps=60)
    model = between.trained(cfg.learning)
    frame = next(between.run(cfg))
    for r, c in ((0, 0), (3, 14), (15, 8)):
        place = between.REACH * (2 * (torch.tensor([[c, r]]) + 0.5) / between.ATLAS - 1)
        picture = model.decode(place.to(DEVICE))[0].detach().clamp(0, 1).cpu()
        np.testing.assert_allclose(frame.atlas[r, c], picture, atol=1e-5)
    for r, c in ((0, 27), (13, 13), (20, 4)):
        place = between.REACH * (2 * (torch.tensor([[c, r]]) + 0.5) / between.FINE - 1)
        whole: Any = torch.autograd.functional.jacobian(lambda z: model.decode(z).flatten(), place.to(DEVICE))
        g = (whole[:, 0].T @ whole[:, 0] / len(whole)).cpu()
        np.testing.assert_allclose(frame.metric[r, c], g[[0, 0, 1], [0, 1, 1]], rtol=1e-3, atol=1e-7)


def test_places_on_an_ellipse_change_the_picture_alike():
    g = torch.tensor([[[0.5, 0.2], [0.2, 0.3]], [[1e-9, 0.0], [0.0, 0.04]]])
    z = torch.tensor([[1.0, -1.0], [0.0, 0.0]])
    step = pullback.ellipses(z, g)[0] - z[0]
    change = torch.einsum("mi,ij,mj->m", step, g[0], step).sqrt()
    torch.testing.assert_close(change, torch.full((pullback.ROUND,), pullback.CHANGE), rtol=1e-4, atol=0)
    assert float(pullback.ellipses(z, g)[1].abs().max()) == pytest.approx(
        pullback.LONGEST
    )  # a direction without change


@pytest.mark.parametrize("correlation", [0.0, 0.5, 0.95])
def test_information_of_two_gaussians(correlation):
    n, rng = 60_000, generator(0)
    a, b = torch.randn(2, n, generator=rng)
    found = factors.information(a[:, None], torch.stack([correlation * a + (1 - correlation**2) ** 0.5 * b, b], 1))
    exact = -0.5 * np.log(1 - correlation**2)
    assert float(found[0, 0]) == pytest.approx(exact, abs=0.01 + 0.1 * exact)  # 16 bins lose a little of a high one
    assert float(found[0, 1]) < 0.005


def test_information_against_scikit_learn():
    from sklearn.metrics import mutual_info_score

    rng = generator(0)
    z, v = torch.randn(500, 3, generator=rng), torch.rand(500, 2, generator=rng)
    v[:, 0] += z[:, 1]
    found, less = factors.information(z, v), (factors.BINS - 1) ** 2 / 1000
    for k in range(3):
        for f in range(2):
            exact = mutual_info_score(factors.bins(z)[:, k].numpy(), factors.bins(v)[:, f].numpy())
            assert float(found[k, f]) == pytest.approx(max(exact - less, 0), abs=1e-9)


def test_the_gap_is_one_where_each_dimension_is_a_factor():
    v = torch.rand(8000, 3, generator=generator(0))
    shares = factors.information(v[:, [2, 0, 1]], v) / np.log(factors.BINS)
    assert float(factors.gaps(shares).mean()) == pytest.approx(1, abs=0.03)
    mixed = torch.stack([v[:, 0] + v[:, 1], v[:, 0] - v[:, 1], v[:, 2]], 1)
    assert float(factors.gaps(factors.information(mixed, v))[:2].max()) < 0.1


def test_a_strip_changes_one_dimension_alone():
    shape = collapse.Family(9, 3, 5)
    weights, code = shape.init(1, generator(0)), torch.tensor([0.1, -0.2, 0.3], device=DEVICE)
    strips = factors.traversals(shape, weights, code, torch.tensor([2, 0, 1])).view(3, factors.STOPS, 9)
    z = code.clone()
    z[2] = -factors.FAR
    torch.testing.assert_close(strips[0, 0], shape.decode(weights, z.view(1, 1, 3))[0, 0].clamp(0, 1))


def test_a_drawing_is_a_code_and_lands():
    picture = np.zeros((28, 28), np.float32)
    picture[6:22, 12:16] = 1
    code = drawing.encode_picture(picture)
    assert drawing.check_picture(code) == code and len(code) == drawing.LETTERS and drawing.check_picture("") == ""
    np.testing.assert_allclose(drawing.decode_picture(code), picture)
    for wrong, seen in (("abc", "3 letters"), ("é" * drawing.LETTERS, "letter"), ("!" * drawing.LETTERS, "'!'")):
        with pytest.raises(ValueError, match=seen):
            drawing.check_picture(wrong)
    cfg = between.Config(data="digits", picture=code, steps=50)
    first = next(between.run(cfg))
    assert first.sent[0].max() == 1 and np.isfinite(first.landed).all() and 0 < first.error < 1


def test_a_clicked_code_is_the_picture_that_is_sent():
    cfg = between.Config(data="digits", steps=50)
    chosen = latent_anatomy.BETWEEN.events["pick"]({"index": 7}, between.Config())
    frame = next(between.run(replace(cfg, **chosen)))
    np.testing.assert_allclose(frame.landed[0], frame.held[7], atol=1e-6)
    assert chosen["picture"] == ""  # what was drawn before would go first


ENDS = [(module, cfg) for module in (holes, between, factors, collapse) for cfg in extremes(module.Config)]


@pytest.mark.parametrize(("module", "cfg"), ENDS)
def test_every_knob_at_its_ends(module, cfg):
    quick = {"steps": 50} | ({"data": "digits"} if hasattr(cfg, "data") else {})
    frames = list(module.run(replace(cfg, **quick)))
    for frame in (frames[0], frames[-1]):
        for name, value in frame._asdict().items():
            if name not in ("hole", "hole_error", "inside", "inside_error"):  # there may be none of a kind yet
                assert np.isfinite(value).all(), name
