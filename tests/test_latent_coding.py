"""Coders, principal components, distances to the prior and adversaries against scikit-learn, SciPy and torch's own."""

from typing import Any

import numpy as np
import pytest
import torch
from scipy import integrate, linalg, optimize, stats
from sklearn.datasets import make_s_curve, make_swiss_roll
from sklearn.decomposition import PCA as SkPCA
from torch import distributions, nn

from engine.data import digits
from engine.data.pictures import KEPT, Pictures
from engine.device import DEVICE, generator
from engine.latent_spaces import adversary, axes, data, dial, gap, learning, spectrum
from engine.latent_spaces.adversaries import Critic, Discriminator
from engine.latent_spaces.coder import Affine, Coder, Model, kl
from engine.latent_spaces.methods import METHODS, Training, fit
from engine.latent_spaces.pca import pca, principal_angles, rank

IMAGES = digits.split()[0].images
X = IMAGES.flatten(1).double().cpu().numpy()


def scikit(x, k=None, **settings) -> Any:
    """Its PCA of the rows of x."""
    return SkPCA(k, svd_solver="full", **settings).fit(x)


def random(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=generator(seed), dtype=dtype)


# --- coder ------------------------------------------------------------------------------------------------------


def test_an_affine_map_is_torchs_linear_layer():
    one, layer = Affine(5, 3), nn.Linear(5, 3).double()
    weights = torch.cat([layer.weight.T.flatten(), layer.bias])
    torch.testing.assert_close(one(weights, random(7, 5)), layer(random(7, 5)))
    assert one.init(generator(0)).shape == (one.size,) == (18,)


@pytest.mark.parametrize("linear", [False, True])
@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian"])
def test_nats_are_those_of_torchs_distributions(linear, likelihood):
    coder = Coder(12, 3, likelihood, linear=linear, noisy=True, noise=0.3)
    weights = coder.init(torch.full((12,), 0.3), generator(1)).double() + 0.05 * random(coder.size)
    x, z = torch.rand(6, 12, generator=generator(2), dtype=torch.float64).round(), random(6, 3)
    raw = coder.raw(weights, z)
    law = distributions.Bernoulli(logits=raw) if likelihood == "bernoulli" else distributions.Normal(raw, 0.3)
    torch.testing.assert_close(coder.nats(weights, z, x), -law.log_prob(x).sum(1))
    torch.testing.assert_close(coder.decode(weights, z), law.mean)


def test_kl_is_that_of_torchs_distributions():
    mean, log_var = random(9, 4), random(9, 4, seed=1)
    exact = distributions.kl_divergence(distributions.Normal(mean, (log_var / 2).exp()), distributions.Normal(0.0, 1.0))
    torch.testing.assert_close(kl(mean, log_var), exact)


@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian"])
def test_an_untrained_decoder_begins_at_the_mean(likelihood):
    coder, mean = Coder(10, 2, likelihood), torch.linspace(0.05, 0.95, 10)
    weights = coder.init(mean, generator(0))
    torch.testing.assert_close(coder.decode(weights, torch.zeros(1, 2))[0], mean)
    assert coder.encode(weights, torch.rand(50, 10, generator=generator(1))).std() > 0.1


def test_a_coder_refuses_what_it_is_not():
    with pytest.raises(ValueError, match="'poisson', expected bernoulli"):
        Coder(4, 2, "poisson")
    coder = Coder(4, 2)
    with pytest.raises(ValueError, match="without noise"):
        coder.posterior(torch.zeros(coder.size), torch.zeros(1, 4))


# --- principal components ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("k", [1, 2, 8, 40])
def test_pca_is_that_of_scikit_learn(k):
    ours, theirs = pca(torch.tensor(X), k), scikit(X, k)
    sign = np.sign((ours.components.numpy() * theirs.components_).sum(1))
    np.testing.assert_allclose(ours.components.numpy() * sign[:, None], theirs.components_, atol=1e-10)
    np.testing.assert_allclose(ours.explained_variance, theirs.explained_variance_, atol=1e-10)
    np.testing.assert_allclose(ours.explained_variance_ratio, theirs.explained_variance_ratio_, atol=1e-10)
    np.testing.assert_allclose(ours.encode(torch.tensor(X)).numpy() * sign, theirs.transform(X), atol=1e-10)
    back = ours.decode(ours.encode(torch.tensor(X)))
    np.testing.assert_allclose(back, theirs.inverse_transform(theirs.transform(X)), atol=1e-10)


def test_pca_of_wide_data_is_that_of_scikit_learn():
    x = random(12, 40)
    ours, theirs = pca(x), scikit(x.numpy())
    np.testing.assert_allclose(ours.explained_variance, theirs.explained_variance_, atol=1e-12)
    assert (ours.components.gather(1, ours.components.abs().argmax(1, keepdim=True)) > 0).all()


def test_pca_says_what_it_cannot_do():
    for k in (0, 65):
        with pytest.raises(ValueError, match=f"n_components = {k}, expected 1 to 64"):
            pca(torch.tensor(X), k)
    with pytest.raises(ValueError, match="all the same"):
        pca(torch.ones(5, 3), 1)
    with pytest.raises(ValueError, match="n of 2 or more"):
        pca(torch.ones(1, 3), 1)


def test_rank_is_that_of_numpy():
    assert rank(torch.tensor(X)) == np.linalg.matrix_rank(X - X.mean(0)) == 61
    assert rank(torch.ones(6, 3)) == 0 and rank(torch.empty(0, 3)) == 0


def test_principal_angles_are_those_of_scipy():
    a, b = random(3, 10), random(3, 10, seed=1)
    close = a + 1e-9 * b
    for other in (b, close):
        found = principal_angles(a, other).numpy()
        np.testing.assert_allclose(found, linalg.subspace_angles(a.T.numpy(), other.T.numpy())[::-1], rtol=1e-5)
    assert principal_angles(a, random(3, 3, seed=2) @ a).max() < 1e-14


# --- distances to the prior -------------------------------------------------------------------------------------


@pytest.mark.parametrize(("k", "width"), [(1, 1.0), (2, 0.5), (5, 2.0)])
def test_mmd_is_the_brute_force_one_with_the_prior_sampled(k, width):
    codes, drawn = 0.5 + 1.5 * random(40, k), random(4000, k, seed=1)
    h2 = (width * gap.bandwidth(k)) ** 2
    kernel = lambda a, b: torch.exp(-torch.cdist(a, b).square() / (2 * h2))  # noqa: E731
    among = kernel(drawn, drawn)
    prior = (among.sum() - len(drawn)) / (len(drawn) * (len(drawn) - 1))
    exact = float(kernel(codes, codes).mean() - 2 * kernel(codes, drawn).mean() + prior)
    assert float(gap.mmd2(codes, width=width)) == pytest.approx(exact, abs=0.01)


def test_mmd_of_one_code_is_the_integral():
    for place in (0.0, 1.3, 4.0):
        inside = lambda z, place=place: np.exp(-((place - z) ** 2) / 2) * stats.norm.pdf(z)  # noqa: E731
        both = lambda z: np.exp(-(z**2) / 2) * stats.norm.pdf(z, scale=np.sqrt(2))  # noqa: E731
        exact = 1 - 2 * integrate.quad(inside, -9, 9)[0] + integrate.quad(both, -12, 12)[0]
        assert float(gap.mmd2(torch.tensor([[place]], dtype=torch.float64))) == pytest.approx(exact, abs=1e-9)


def test_floors_are_what_samples_of_the_prior_give():
    n, k = 60, 2
    many = [random(n, k, seed=100 + i) for i in range(400)]
    known = gap.floor(n, k)
    biased = torch.stack([gap.mmd2(z) for z in many])
    unbiased = torch.stack([gap.mmd2(z, unbiased=True) for z in many])
    assert float(biased.mean().sqrt()) == pytest.approx(known.mmd, rel=0.05)
    assert abs(float(unbiased.mean())) < 4 * float(unbiased.std()) / 20
    distances = np.array([gap.sliced(z) for z in many])
    assert abs(distances.mean() - known.sliced) < 4 * known.spread / 4 + 4 * distances.std() / 20


def test_sliced_distance_is_the_quantile_integral():
    codes = 0.3 + 1.4 * random(7, 1)
    u = (np.arange(700_000) + 0.5) / 700_000
    steps = np.sort(codes[:, 0].numpy())[(u * 7).astype(int)]
    exact = np.mean((steps - stats.norm.ppf(u)) ** 2)
    assert float(gap.sliced_w2_squared(codes, torch.ones(1, 1))) == pytest.approx(exact, abs=1e-4)
    assert float(gap.quantiles(9).sum()) == pytest.approx(0, abs=1e-12)


def test_sliced_distance_of_a_shifted_prior():
    codes = stats.norm.ppf((np.arange(4000) + 0.5) / 4000)[:, None]
    assert gap.sliced(torch.tensor(codes + 2)) == pytest.approx(2, abs=0.01)


def test_gradients_of_both_distances():
    codes = random(6, 2).requires_grad_()
    along = torch.linalg.qr(random(2, 2, seed=3))[0]
    assert torch.autograd.gradcheck(lambda z: gap.sliced_w2_squared(z, along), codes)
    assert torch.autograd.gradcheck(lambda z: gap.mmd2(z, unbiased=True), codes)


# --- adversaries ------------------------------------------------------------------------------------------------


def test_the_discriminator_minimises_cross_entropy():
    eta = Discriminator(2, generator(0))
    with torch.no_grad():
        eta.weights.add_(0.2 * random(*eta.weights.shape, dtype=torch.float32).to(DEVICE))
    codes, drawn = (random(30, 2, seed=s, dtype=torch.float32).to(DEVICE) for s in (1, 2))
    odds = eta(torch.cat([codes, drawn]))
    told = torch.cat([torch.zeros(30), torch.ones(30)]).to(DEVICE)
    exact = 2 * nn.functional.binary_cross_entropy_with_logits(odds, told)
    torch.testing.assert_close(eta.wrong(codes, drawn), exact)
    torch.testing.assert_close(eta.blame(odds), -odds.sigmoid().log().mean())


def test_a_critic_learns_the_distance_between_two_clouds():
    rng = generator(0)
    critic, codes = Critic(2, rng), 0.3 * random(400, 2, seed=1, dtype=torch.float32) + torch.tensor([3.0, 0.0])
    for _ in range(300):
        critic.learn(codes.to(DEVICE))
    drawn = random(400, 2, seed=2, dtype=torch.float32)
    cost = torch.cdist(drawn, codes).numpy()
    exact = cost[optimize.linear_sum_assignment(cost)].mean()
    with torch.no_grad():
        found = float(critic(drawn.to(DEVICE)).mean() - critic(codes.to(DEVICE)).mean())
    assert found == pytest.approx(exact * (1 + exact / 2), rel=0.15)


def test_the_bound_is_the_divergence_at_the_best_discriminator():
    line = torch.linspace(-9, 9, 181, dtype=torch.float64)
    p, q = adversary.prior(line, line), adversary.Density(torch.tensor([[1.0, 0.5]]).double(), 0.8).on(line, line)
    bound, exact, off = adversary.compared(p, q, p.log() - q.clamp_min(1e-300).log(), 0.01)
    both = (
        distributions.Normal(torch.zeros(2).double(), 1.0),
        distributions.Normal(torch.tensor([1, 0.5]).double(), 0.8),
    )
    terms = []
    for i, law in enumerate(both):
        z = law.mean + law.stddev * random(200_000, 2, seed=i)
        a, b = (other.log_prob(z).sum(1) for other in both)
        terms.append(float(((a if i == 0 else b) - torch.logaddexp(a, b)).mean()))
    assert bound == pytest.approx(exact, abs=1e-9) and off < 1e-9
    assert exact == pytest.approx(sum(terms), abs=0.01)
    for seed in range(5):
        assert adversary.compared(p, q, random(181, 181, seed=seed), 0.01)[0] < exact


def test_the_density_of_codes_is_a_mean_of_gaussians_of_scipys_width():
    codes = random(50, 2) * 0.7
    found, line = adversary.density(codes), torch.linspace(-2, 2, 5, dtype=torch.float64)
    grid = np.stack(np.meshgrid(line, line), -1).reshape(-1, 2)
    exact = stats.norm.pdf(grid[:, None] - codes.numpy(), scale=found.h).prod(2).mean(1).reshape(5, 5)
    np.testing.assert_allclose(found.on(line, line), exact, atol=1e-12)
    wide = torch.linspace(-8, 8, 161, dtype=torch.float64)
    assert float(found.on(wide, wide).sum()) * 0.01 == pytest.approx(1, abs=1e-6)
    assert found.h == pytest.approx(50 ** (-1 / 6) * float(codes.var(0).mean()) ** 0.5)  # as scipy's scotts_factor


# --- linear networks --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def linear():
    """The digits' problem with three dimensions, and random weights for it."""
    on = axes.problem("digits", 3)
    return on, *(t.to(DEVICE) for t in (0.3 * random(3, 64), 0.3 * random(64, 3, seed=1), 0.2 * random(3, seed=2)))


def test_the_squared_error_is_the_mean_over_the_pictures(linear):
    on, encoder, decoder, _ = linear
    x = torch.tensor(X - X.mean(0), device=DEVICE)
    exact = (x - x @ encoder.T @ decoder.T).square().sum(1).mean()
    torch.testing.assert_close(axes.squared_error(on, encoder, decoder), exact, check_dtype=False)


def test_the_exact_elbo_is_what_samples_estimate(linear):
    on, encoder, decoder, log_var = linear
    coder = Coder(64, 3, "gaussian", linear=True, noisy=True, noise=on.noise**0.5)
    mean = torch.tensor(X.mean(0), device=DEVICE)
    first = torch.cat([encoder.T, torch.zeros(64, 3, device=DEVICE)], 1)
    parts = [first.flatten(), -encoder @ mean, log_var, decoder.T.flatten(), mean]
    origin, unit = torch.zeros(3, device=DEVICE), torch.ones(3, device=DEVICE)
    model = Model("vae", coder, torch.cat(parts).double(), origin, unit, (64,))
    drawn = torch.stack([model.elbo(torch.tensor(X, device=DEVICE), generator(s)).mean() for s in range(40)])
    exact = -float(axes.negative_elbo(on, encoder, decoder, log_var))
    assert abs(float(drawn.mean()) - exact) < 4 * float(drawn.std()) / 40**0.5


def test_the_limit_of_the_elbo_is_probabilistic_pcas_likelihood(linear):
    on = linear[0]
    u, values = on.found.components.cpu().numpy(), on.eigenvalues.cpu().numpy()
    covariance = u.T * (values - on.noise) @ u + on.noise * np.eye(64)
    exact = stats.multivariate_normal(X.mean(0), covariance).logpdf(X).mean()
    assert axes.likelihood(on) == pytest.approx(exact, abs=1e-8)
    decoder = torch.tensor(u.T * np.sqrt(values - on.noise), device=DEVICE)
    encoder = torch.linalg.solve(decoder.T @ decoder + on.noise * torch.eye(3, device=DEVICE), decoder.T)
    log_var = torch.log(torch.tensor(on.noise / values, device=DEVICE))
    assert -float(axes.negative_elbo(on, encoder, decoder, log_var)) == pytest.approx(exact, abs=1e-8)


def test_columns_are_put_in_order():
    near = torch.eye(5)[torch.tensor([3, 1, 4, 0, 2])] + 0.1 * random(5, 5, dtype=torch.float32)
    assert axes.order(near).tolist() == torch.tensor([3, 1, 4, 0, 2]).argsort().tolist()
    assert sorted(axes.order(torch.ones(4, 4)).tolist()) == [0, 1, 2, 3]


# --- spectrum ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cfg", [spectrum.Config(), spectrum.Config("glyphs"), spectrum.Config(only="3")])
def test_the_error_is_the_eigenvalues_left_out(cfg):
    frames = list(spectrum.run(cfg))
    assert max(abs(f.error - f.discarded) for f in frames) < 1e-10
    assert frames[0].cumulative == 0 and frames[-1].cumulative <= 1 + 1e-12
    assert all(a.error >= b.error - 1e-12 for a, b in zip(frames, frames[1:], strict=False))


# --- methods ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("name", ["digits", "s_curve"])
def test_every_method_trains_encodes_decodes_and_samples(method, name):
    x, before = data.examples(name).train[:300], torch.random.get_rng_state()
    one, again = (fit(x, method, steps=8, seed=3) for _ in range(2))
    assert torch.equal(one.weights, again.weights) and torch.equal(before, torch.random.get_rng_state())
    codes = one.encode(x)
    assert codes.shape == (300, 2) and one.decode(codes).shape == x.shape
    assert one.sample(5, generator(0)).shape == (5, *x.shape[1:]) and bool(torch.isfinite(codes).all())
    assert float(one.posterior(x)[1].sum()) > 0 if METHODS[method].noisy else not bool(one.posterior(x)[1].any())
    if not METHODS[method].prior:
        torch.testing.assert_close(codes.mean(0), torch.zeros(2, device=DEVICE), atol=1e-4, rtol=0)
        torch.testing.assert_close(codes.std(0), torch.ones(2, device=DEVICE), atol=1e-4, rtol=0)
    if method != "pca":
        assert not torch.equal(one.weights, fit(x, method, steps=8, seed=4).weights)


def test_the_method_pca_is_pca():
    model, found = fit(IMAGES, "pca", n_components=5), pca(torch.tensor(X), 5)
    exact = found.decode(found.encode(torch.tensor(X)))
    torch.testing.assert_close(model.decode(model.encode(IMAGES)).flatten(1).double().cpu(), exact, atol=1e-5, rtol=0)
    whitened = scikit(X, 5, whiten=True).transform(X)
    np.testing.assert_allclose(model.encode(IMAGES).abs().cpu().numpy(), np.abs(whitened), atol=1e-3)


def test_the_linear_autoencoder_comes_to_the_error_of_pca():
    errors = {}
    for method in ("linear", "pca"):
        model = fit(IMAGES, method, steps=600)
        errors[method] = float((model.decode(model.encode(IMAGES)) - IMAGES).flatten(1).square().sum(1).mean())
    assert 1 - 1e-6 <= errors["linear"] / errors["pca"] < 1.02


def test_an_elbo_is_below_the_log_likelihood_and_only_a_vaes():
    model = fit(IMAGES, "vae", steps=60)
    with torch.no_grad():
        drawn = torch.stack([model.elbo(IMAGES[:4], generator(s)) for s in range(200)])
        z = torch.randn(20_000, 2, generator=generator(9))
        each = torch.stack(
            [-model.coder.nats(model.weights, z.to(DEVICE), x.flatten().expand(len(z), -1)) for x in IMAGES[:4]]
        )
    marginal = torch.logsumexp(each, 1) - np.log(len(z))
    assert (drawn.mean(0) < marginal + 4 * drawn.std(0) / 200**0.5).all()
    with pytest.raises(ValueError, match="without noise"):
        fit(IMAGES, "deep", steps=1).elbo(IMAGES, generator(0))


def test_a_model_refuses_other_shapes():
    with pytest.raises(ValueError, match=r"shape \(7, 8\), expected \(8, 8\)"):
        fit(IMAGES, "pca").encode(IMAGES[:, 1:])


@pytest.mark.parametrize(
    ("images", "k", "words"),
    [
        (torch.ones(5, 8, 8), 2, "5 examples that are all the same"),
        (torch.ones(1, 8, 8), 2, "all the same"),
        (torch.full((5, 3), float("nan")), 2, "not finite"),
        (IMAGES, 62, "n_components = 62, expected 1 to 61"),
        (IMAGES, 0, "n_components = 0"),
    ],
)
def test_data_that_cannot_be_coded(images, k, words):
    with pytest.raises(ValueError, match=words):
        fit(images, "vae", n_components=k, steps=1)


def test_an_unknown_method_is_named():
    with pytest.raises(ValueError, match="'gan', expected one of pca, linear"):
        Training(IMAGES, "gan", 2, 1.0, 1, 0)


# --- data -------------------------------------------------------------------------------------------------------


def test_sheets_are_bent_as_scikit_learn_bends_them():
    for ours, theirs in ((data.s_curve, make_s_curve), (data.swiss_roll, make_swiss_roll)):
        x, along = ours(4000, generator(0))
        y, t = theirs(4000, random_state=0)
        near = torch.cdist(torch.tensor(y).float(), x).amin(1) / x.std()
        assert float(near.quantile(0.99)) < 0.15
        assert float(along.min()) >= 0 and float(along.max()) <= 1


@pytest.mark.parametrize("name", data.NAMES)
def test_examples_are_what_they_say(name):
    seen = data.examples(name)
    assert len(seen.train) == len(seen.labels) and len(seen.test) == len(seen.test_labels)
    assert set(seen.labels.unique().tolist()) == set(range(10))
    if seen.pictures:
        assert float(seen.train.min()) >= 0 and float(seen.train.max()) <= 1
    else:
        assert seen.shape == (3,) and abs(float(seen.train.mean())) < 0.1


def test_unknown_data_are_named():
    with pytest.raises(ValueError, match="'mnist', expected one of glyphs"):
        data.examples("mnist")


# --- the dial ---------------------------------------------------------------------------------------------------


def test_a_plane_shows_two_dimensions_or_the_widest():
    codes = random(500, 5, dtype=torch.float32) * torch.tensor([1.0, 4.0, 1.0, 2.0, 1.0])
    plain = dial.plane(dial.Config(n_components=5, axis_x=4, axis_y=1), codes)
    torch.testing.assert_close(plain.flat(codes), codes[:, [3, 0]])
    wide = dial.plane(dial.Config(n_components=5, turned=True), codes)
    exact = scikit(codes.numpy(), 2).components_
    np.testing.assert_allclose(wide.along.abs().numpy(), np.abs(exact), atol=1e-4)
    torch.testing.assert_close(plain.flat(plain.lift(torch.tensor([[0.5, -1.0]]))), torch.tensor([[0.5, -1.0]]))
    assert dial.axes(dial.Config(n_components=1)) == (0, 0) and dial.axes(dial.Config(axis_x=9, axis_y=9)) == (1, 0)


def test_ellipses_are_two_standard_deviations():
    here = dial.Plane(torch.tensor([[1.0, 0, 0], [0, 0.6, 0.8]]))
    mean, std = random(3, 3, dtype=torch.float32), torch.tensor([[0.5, 1.0, 0.2]]).repeat(3, 1)
    lines = dial.ellipses(here, mean, std)
    covariance = here.along * std[0].square() @ here.along.T
    away = torch.tensor(lines) - here.flat(mean)[:, None]
    length = (away @ torch.linalg.inv(covariance) * away).sum(-1)
    torch.testing.assert_close(length, torch.full_like(length, 4.0), atol=1e-3, rtol=0)


@pytest.mark.parametrize("method", ["vae", "deep"])
@pytest.mark.parametrize("k", [1, 2, 3])
def test_the_atlas_is_the_plane_decoded(method, k):
    cfg = dial.Config(data="digits", method=method, n_components=k, steps=50)
    *_, last = dial.run(cfg)
    model, cell = learning.trained(cfg), dial.REACH / dial.ATLAS
    for row, column in ((0, 0), (3, 9), (15, 2)):
        place = torch.tensor([[column, row]]) * 2 * cell + cell - dial.REACH
        z = torch.zeros(1, k)
        z[0, : min(k, 2)] = place[0, : min(k, 2)]
        with torch.no_grad():
            exact = model.decode(z)[0].clamp(0, 1).cpu()
            moved = [(model.decode(z + h) - model.decode(z - h))[0].flatten() / 2e-3 for h in 1e-3 * torch.eye(k)[:2]]
        np.testing.assert_allclose(last.atlas[row, column], exact, atol=1e-5)
        j = torch.stack(moved + [0 * moved[0]] * (2 - len(moved)), 1)
        (a, b), (_, c) = (j.T @ j / len(j)).tolist()
        np.testing.assert_allclose(last.metric[row, column], [a, b, c], rtol=0.02, atol=1e-6)
    assert last.progress == 1 and last.step == 50


def test_looking_otherwise_trains_nothing_again(monkeypatch):
    cfg = dial.Config(data="digits", n_components=3, steps=50, seed=5)
    first = list(dial.run(cfg))
    monkeypatch.setattr(Training, "advance", lambda *_: pytest.fail("it trained again"))
    again = list(dial.run(dial.Config(data="digits", n_components=3, steps=50, seed=5, axis_x=3)))
    assert [f.error for f in first] == [f.error for f in again]
    np.testing.assert_array_equal(first[-1].codes[:, 1], again[-1].codes[:, 1])
    assert not np.allclose(first[-1].codes[:, 0], again[-1].codes[:, 0])


def test_the_terms_of_a_frame_are_the_models():
    cfg = dial.Config(data="digits", steps=50)
    *_, last = dial.run(cfg)
    with torch.no_grad():
        drawn = torch.stack([learning.trained(cfg).elbo(cfg.examples.test, generator(s)).mean() for s in range(20)])
    assert abs(last.wrong + last.pulled + float(drawn.mean())) < 5 * float(drawn.std())
    assert last.kl.sum() == pytest.approx(last.pulled, rel=1e-4)


def test_a_band_is_the_least_and_the_most_of_its_seeds():
    cfg = dial.Config(data="digits", steps=50, runs=3)
    frames = list(dial.run(cfg))
    ends = [list(dial.run(dial.Config(data="digits", steps=50, seed=seed)))[-1] for seed in range(3)]
    table = np.array([(f.error, f.wrong + f.pulled, f.sliced, f.mmd, f.wrong, f.pulled, *f.kl) for f in ends])
    np.testing.assert_allclose(frames[-1].band, np.stack([table.min(0), table.max(0)], 1), rtol=1e-5)
    assert len(frames) == 3 * len(list(dial.run(dial.Config(data="digits", steps=50))))
    assert all((f.band[:, 0] <= f.band[:, 1]).all() for f in frames)


# --- the visitor's own pictures ---------------------------------------------------------------------------------


def kept(n, side=12, classes=2):
    """The code of n random pictures."""
    images = torch.rand(n, side, side, generator=generator(n)).numpy()
    names = tuple(map(str, range(classes)))
    return KEPT.keep(Pictures(images, np.arange(n) % classes, names))


@pytest.mark.parametrize(("n", "classes"), [(10, 1), (40, 3), (60, 14)])
def test_own_pictures_are_coded_and_drawn(n, classes):
    cfg, note = dial.possible(dial.Config(data="yours", pictures=kept(n, classes=classes), steps=50))
    assert not note and len(cfg.examples.train) + len(cfg.examples.test) == n
    *_, last = dial.run(cfg)
    assert last.images.shape == (20, 12, 12) and last.sheet.shape == (100, 12, 12) and last.step == 50
    assert last.codes[:, 2].max() < 10


def test_settings_that_cannot_run_become_the_nearest_that_can():
    cfg, note = dial.possible(dial.Config(data="yours"))
    assert cfg.data == dial.Config().data and "no pictures of your own" in note
    cfg, note = dial.possible(dial.Config(data="s_curve", n_components=16))
    assert cfg.n_components == 3 and "3 directions" in note
    cfg, note = dial.possible(dial.Config(data="yours", pictures=kept(10), n_components=16))
    assert cfg.n_components == 7 and "7 directions" in note  # of eight pictures that differ
    assert len(list(dial.run(dial.Config(data="yours", pictures=kept(10), n_components=7, steps=50)))) > 1
    assert dial.possible(dial.Config(n_components=16)) == (dial.Config(n_components=16), "")


def test_pictures_that_are_gone_are_asked_for_again():
    with pytest.raises(ValueError, match="bring them again"):
        data.examples("yours", "0123456789abcdef")


def test_a_model_learns_also_where_gradients_are_switched_off():
    x = torch.rand(200, 8, 8, generator=generator(0))
    with torch.no_grad():
        model = fit(x, "deep", steps=3)
    assert torch.equal(model.weights, fit(x, "deep", steps=3).weights)
