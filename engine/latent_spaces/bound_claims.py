"""The statements of the sheet on the variational bound, its terms, its gradients and its prior, put to the test."""

from math import log, pi
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.distributions import Independent, MultivariateNormal, Normal, kl_divergence

from engine.claim import Evidence, claim
from engine.data import digits
from engine.device import DEVICE, generator
from engine.latent_spaces import collapse, gap, holes, trick
from engine.latent_spaces.coder import kl
from engine.latent_spaces.methods import fit


class Gaussian(NamedTuple):
    """A linear model in which all is known: z ~ N(0, I), x | z ~ N(W z, s^2 I). W: (d, n)."""

    w: Tensor
    s2: float

    @property
    def evidence(self) -> MultivariateNormal:
        """p(x) = N(0, W W' + s^2 I)"""
        eye = torch.eye(len(self.w), dtype=self.w.dtype)
        return MultivariateNormal(torch.zeros(len(self.w)).to(self.w), self.w @ self.w.T + self.s2 * eye)

    @property
    def prior(self) -> MultivariateNormal:
        """p(z)"""
        n = self.w.shape[1]
        return MultivariateNormal(torch.zeros(n).to(self.w), torch.eye(n, dtype=self.w.dtype))

    def posterior(self, x: Tensor) -> MultivariateNormal:
        """p(z | x) for x: (..., d)."""
        m = self.w.T @ self.w + self.s2 * torch.eye(self.w.shape[1], dtype=self.w.dtype)
        inverse = torch.linalg.inv(m)
        inverse = (inverse + inverse.T) / 2
        return MultivariateNormal(x @ self.w @ inverse, self.s2 * inverse)

    def likelihood(self, x: Tensor, z: Tensor) -> Tensor:
        """log p(x | z): (..., d), (..., n) -> (...)"""
        return Independent(Normal(z @ self.w.T, self.s2**0.5), 1).log_prob(x)

    def mean_likelihood(self, x: Tensor, q: MultivariateNormal) -> Tensor:
        """E_q log p(x | z), exactly."""
        spread = (self.w @ q.covariance_matrix @ self.w.T).diagonal(dim1=-2, dim2=-1).sum(-1)
        return self.likelihood(x, q.mean) - spread / (2 * self.s2)

    def elbo(self, x: Tensor, q: MultivariateNormal) -> Tensor:
        """E_q log p(x | z) - KL(q, p(z)), exactly."""
        return self.mean_likelihood(x, q) - kl_divergence(q, self.prior)


def some_model(d: int = 4, n: int = 2, seed: int = 0) -> Gaussian:
    """A model drawn at random, in float64."""
    return Gaussian(torch.randn(d, n, generator=generator(seed)).double(), 0.3)


def some_posteriors(count: int, n: int, rng: torch.Generator) -> MultivariateNormal:
    """Gaussians drawn at random, none of them the right one."""
    root = torch.randn(count, n, n, generator=rng).double()
    mean = torch.randn(count, n, generator=rng).double()
    return MultivariateNormal(mean, root @ root.mT + 0.1 * torch.eye(n, dtype=torch.float64))


@claim("VAE-1")
def evidence_is_an_integral() -> Evidence:
    """The density of x is the prior times the likelihood, integrated over z: on probabilistic PCA a quadrature of
    it agrees with N(0, WWᵀ + s²I). With p(x) in the first factor's place the integral gives p(x)² instead.
    """
    model, rng = some_model(3, 1), generator(1)
    x = 1.5 * torch.randn(200, 3, generator=rng).double()
    z = torch.linspace(-14, 14, 8001, dtype=torch.float64)[:, None]
    width = float(z[1] - z[0])
    joint = model.prior.log_prob(z)[:, None] + model.likelihood(x, z[:, None])  # (8001, 200)
    found, exact = width * joint.exp().sum(0), model.evidence.log_prob(x).exp()
    printed = width * (joint + model.evidence.log_prob(x)).exp().sum(0)
    numbers = {
        "largest relative gap of the integral to the density, 200 x": float((found / exact - 1).abs().max()),
        "as printed, over the density: smallest": float((printed / exact).min()),
        "as printed, over the density: largest": float((printed / exact).max()),
    }
    return Evidence(numbers["largest relative gap of the integral to the density, 200 x"] <= 1e-8, numbers)


@claim("VAE-2")
def bound_and_gap() -> Evidence:
    """On a linear Gaussian model, with any q, log p(x) is the ELBO plus KL(q ‖ p(z|x)), and the mean of
    log p(x|z)p(z)/p(z|x) over q. With both divergences to p(z|x), as printed, they cancel and another number is left.
    """
    model, rng = some_model(), generator(1)
    q = some_posteriors(300, 2, rng)
    x = 1.5 * torch.randn(300, 4, generator=rng).double()
    evidence, posterior = model.evidence.log_prob(x), model.posterior(x)
    gap_ = evidence - model.elbo(x, q) - kl_divergence(q, posterior)
    z = q.sample(torch.Size([50]))
    inside = model.likelihood(x, z) + model.prior.log_prob(z) - posterior.log_prob(z)
    cancelled = model.mean_likelihood(x, q)  # what is left when KL(q, p(z|x)) is subtracted and added
    first = evidence + cancelled  # the two log p(z) cancel
    numbers = {
        "largest |log p(x) − ELBO − KL(q ‖ p(z|x))|, 300 x": float(gap_.abs().max()),
        "largest |log of the ratio − log p(x)|, 50 z each": float((inside - evidence).abs().max()),
        "as printed, the two KLs cancel: mean error, nats": float((cancelled - evidence).abs().mean()),
        "as printed, log [p(x)/p(z) · p(z,x)]: mean error, nats": float((first - evidence).abs().mean()),
    }
    right = max(float(gap_.abs().max()), float((inside - evidence).abs().max())) <= 1e-8
    return Evidence(right and float((cancelled - evidence).abs().mean()) > 0.1, numbers)


@claim("VAE-3")
def divergence_of_gaussians() -> Evidence:
    """The closed form −½ Σ (1 + log σ² − μ² − σ²) is KL(N(μ, σ²) ‖ N(0, I)): against torch.distributions, and against
    the mean of log q/p over samples of q.
    """
    rng = generator(0)
    mean, log_var = 2 * torch.randn(2, 500, 3, generator=rng).double()
    q, p = Normal(mean, (log_var / 2).exp()), Normal(torch.zeros(()).double(), torch.ones(()).double())
    ours = kl(mean, log_var)
    z = mean[:50] + (log_var[:50] / 2).exp() * torch.randn(20_000, 50, 3, generator=rng).double()
    drawn = (Normal(mean[:50], (log_var[:50] / 2).exp()).log_prob(z) - p.log_prob(z)).sum(2)
    errors = (drawn.mean(0) - ours[:50].sum(1)) / (drawn.std(0) / len(drawn) ** 0.5)
    numbers = {
        "largest relative gap to torch.distributions": float((ours / kl_divergence(q, p) - 1).abs().max()),
        "largest gap to 20 000 samples, standard errors, 50 Gaussians": float(errors.abs().max()),
        "root mean square of those, expected near 1": float(errors.square().mean().sqrt()),
    }
    holds = numbers["largest relative gap to torch.distributions"] <= 1e-6 and float(errors.abs().max()) <= 4
    return Evidence(holds, numbers)


@claim("VAE-4")
def noise_level_is_beta() -> Evidence:
    """For a Gaussian decoder −log p(x|z) is the squared error over 2s² plus D/2 log(2πs²), so its gradient is that of
    the squared error over 2s². Linear VAEs of the digits keep one dimension for each eigenvalue above s², and none
    where s² exceeds them all.
    """
    rng = generator(0)
    x, mean = torch.randn(2, 64, 20, generator=rng).double()
    off, slopes = 0.0, 0.0
    for s2 in (0.01, 0.3, 1.0, 7.0):
        guess = mean.clone().requires_grad_()
        nats = -Independent(Normal(guess, s2**0.5), 1).log_prob(x)
        closed = (x - guess).square().sum(1) / (2 * s2) + 10 * log(2 * pi * s2)
        (slope,) = torch.autograd.grad(nats.sum(), guess)
        slopes = max(slopes, float((slope - (mean - x) / s2).abs().max()))
        off = max(off, float((nats - closed).detach().abs().max()))
    *_, last = collapse.run(collapse.Config())
    values = collapse.data().values.cpu().numpy()[:10]
    lit = np.array([(values > beta).sum() for beta in collapse.BETAS])
    numbers = {
        "largest gap of −log N to its closed form": off,
        "largest gap of the gradients": slopes,
        "noise levels of 12 with as many dimensions in use as eigenvalues above": float((last.active == lit).sum()),
        "largest gap of a KL to ½ log(λ/s²), nats": last.off,
        f"dimensions in use at s² = {collapse.BETAS[0]:.2g}": float(last.active[0]),
        f"KL in nats at s² = {collapse.BETAS[-1]:.2g}: collapsed": float(last.rate[-1]),
    }
    holds = off < 1e-9 and slopes < 1e-9 and bool((last.active == lit).all()) and last.rate[-1] < 1e-3
    return Evidence(holds, numbers)


@claim("VAE-5")
def gap_is_not_negative() -> Evidence:
    """log p(x) − ELBO is never negative, whatever q; it is KL(q ‖ p(z|x)), and 0 exactly when q is the posterior:
    moving q there step by step closes it.
    """
    model, rng = some_model(), generator(2)
    x = 1.5 * torch.randn(2000, 4, generator=rng).double()
    evidence, posterior = model.evidence.log_prob(x), model.posterior(x)
    q = some_posteriors(2000, 2, rng)
    gaps = [evidence - model.elbo(x, q)]
    for share in (0.5, 0.9, 0.99, 1.0):
        mean = q.mean + share * (posterior.mean - q.mean)
        covariance = q.covariance_matrix + share * (posterior.covariance_matrix - q.covariance_matrix)
        gaps.append(evidence - model.elbo(x, MultivariateNormal(mean, covariance)))
    numbers = {
        "smallest gap of 2 000 random q, nats": float(gaps[0].min()),
        "mean gap, nats": float(gaps[0].mean()),
        "mean gap half of the way to the posterior": float(gaps[1].mean()),
        "99 % of the way": float(gaps[3].mean()),
        "largest |gap| where q is the posterior": float(gaps[4].abs().max()),
    }
    falling = bool((torch.stack(gaps[:4]).diff(dim=0) < 0).all())
    return Evidence(float(gaps[0].min()) > 0 and falling and float(gaps[4].abs().max()) <= 1e-8, numbers)


@claim("VAE-6")
def pathwise_gradient() -> Evidence:
    """With z = μ + σε the mean slope over samples of ε is the gradient of E[z²], (2μ, 2σ), within four standard
    errors; the score-function estimates have the same mean and more than ten times the variance.
    """
    numbers, holds = {}, True
    for parameter, label in (("mean", "in μ"), ("std", "in σ")):
        cfg = trick.Config(parameter=parameter, mu=1.0, sigma=0.5)
        *_, last = trick.run(cfg)
        exact = 2 * cfg.mu if parameter == "mean" else 2 * cfg.sigma
        off = abs(last.pathwise - exact) / last.pathwise_error
        holds &= off <= 4 and abs(last.score - exact) <= 4 * last.score_error
        holds &= last.ratio_exact >= 10 and last.ratio >= 10
        numbers[f"gradient {label}, pathwise; {exact:g} is exact"] = last.pathwise
        numbers[f"its error {label}, standard errors"] = off
        numbers[f"variance ratio {label}, score function over pathwise"] = last.ratio
        numbers[f"the same {label}, exactly"] = last.ratio_exact
    return Evidence(holds, numbers)


@claim("VAE-7")
def axes_come_from_the_diagonal_posterior() -> Evidence:
    """A linear VAE with a diagonal posterior finds the principal components themselves, |cos| ≥ 0.99 each; a linear
    autoencoder with the same span does not. Rotating z leaves the ELBO as it is where q may have any covariance,
    and lowers it where q must be diagonal.
    """
    beta, n = 0.05, 6
    components = torch.linalg.svd(collapse.data().train.cpu().double(), full_matrices=False).Vh[:n]
    with_prior, plain = linear_columns((beta, 0.0), n)
    lined, loose = aligned(with_prior, components), aligned(plain, components)
    span = torch.linalg.svdvals(torch.linalg.qr(plain.T).Q.T @ components.T).clamp_max(1).acos().max()
    values = collapse.data().values[:n].cpu().double()
    best = Gaussian(components.T * (values - beta).sqrt(), beta)
    turn = torch.linalg.qr(torch.randn(n, n, generator=generator(0)).double()).Q
    turned = Gaussian(best.w @ turn, beta)
    x = collapse.data().test.cpu().double()
    full, diagonal = (free(turned, x) - free(best, x)).abs().max(), tied(turned, x).mean() - tied(best, x).mean()
    numbers = {
        "least |cos| of a linear VAE's decoder column and its component": float(lined.min()),
        "least |cos| of a linear autoencoder's": float(loose.min()),
        "largest angle of its span to that of the components, rad": float(span),
        "change of the ELBO by a rotation, q of any covariance, nats": float(full),
        "the same, q diagonal, nats": float(diagonal),
    }
    return Evidence(
        bool(lined.min() >= 0.99 and loose.min() < 0.9 and span < 0.01 and full <= 1e-8 and diagonal < -0.1), numbers
    )


def linear_columns(betas: tuple[float, ...], n: int, steps: int = 1500) -> Tensor:
    """The decoders' columns (k, n, 64) of linear variational autoencoders of the digits; beta 0 is a plain one."""
    cfg, rng = collapse.Config(n_components=n, steps=steps), generator(0)
    family = collapse.Family(64, n)
    *_, weights = collapse.teach(cfg, family, torch.tensor(betas, device=DEVICE), rng)
    return family.parts(weights)[3].cpu().double()


def aligned(columns: Tensor, components: Tensor) -> Tensor:
    """|cos| of each component with the column nearest to it: (n, d), (n, d) -> (n,)."""
    return (columns / columns.norm(dim=1, keepdim=True) @ components.T).abs().amax(0)


def free(model: Gaussian, x: Tensor) -> Tensor:
    """The ELBO with the best q of any covariance."""
    return model.elbo(x, model.posterior(x))


def tied(model: Gaussian, x: Tensor) -> Tensor:
    """The ELBO with the best diagonal q: its mean is the posterior's, its precisions the diagonal of its precision."""
    posterior = model.posterior(x)
    precision = torch.linalg.inv(posterior.covariance_matrix).diagonal(dim1=-2, dim2=-1)
    return model.elbo(x, MultivariateNormal(posterior.mean, torch.diag_embed(1 / precision)))


@claim("VAE-8")
def samples_need_data_nearby() -> Evidence:
    """The codes of a trained VAE do not follow the prior: their MMD² to it is above what as many prior samples give.
    Decoded prior samples are worse than reconstructions, and the worse the fewer data encode nearby.
    """
    train, test = digits.split()
    model, rng = fit(train.images, "vae", n_components=2, beta=0.1, steps=1000), generator(0)
    density, known = holes.aggregate(model, train.images), train.images
    z = torch.randn(2000, 2, generator=rng).to(model.weights)
    with torch.no_grad():
        apart = holes.to_nearest(model.decode(z).clamp(0, 1), known)
        back = holes.to_nearest(model.decode(model.draw(test.images, rng)).clamp(0, 1), known)
        codes = model.draw(train.images, rng)
        few = density.log_ratio(z) < log(0.25)
    error = float((apart.var() / len(apart) + back.var() / len(back)).sqrt())
    numbers = {
        "MMD² of q(z) to the prior": float(gap.mmd2(codes)),
        "of as many prior samples, mean": gap.floor(len(codes), 2).mmd ** 2,
        "distance to real digits, reconstructions": float(back.mean()),
        "prior samples": float(apart.mean()),
        "prior samples in holes, q below a quarter of the prior": float(apart[few].mean()),
        "share of prior samples in holes": float(few.double().mean()),
        "standard errors between samples and reconstructions": float(apart.mean() - back.mean()) / error,
    }
    worse = float(apart[few].mean()) > 1.1 * float(apart[~few].mean())
    far = numbers["MMD² of q(z) to the prior"] > 4 * numbers["of as many prior samples, mean"]
    return Evidence(far and worse and float(apart.mean() - back.mean()) > 4 * error, numbers)
