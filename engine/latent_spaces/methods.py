"""Nine ways to train an encoder and a decoder, from principal components to a Wasserstein autoencoder."""

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import NamedTuple

import torch
from torch import Tensor

from engine.device import DEVICE, generator
from engine.latent_spaces import gap
from engine.latent_spaces.adversaries import Adversary, Critic, Discriminator
from engine.latent_spaces.coder import Coder, Model, kl
from engine.latent_spaces.pca import pca, rank
from engine.nets import Descent

CORRUPTION = {True: 0.4, False: 0.2}  # std of the noise that the denoising autoencoder removes: pixels, points
MMD_WIDTHS = (0.5, 1.0, 2.0)  # of the kernels whose sum is the penalty, in units of gap.bandwidth
SLICES = 16  # random directions for each batch

Loss = Callable[[Tensor, Tensor], Tensor]  # of weights (p,) and a batch (n, d)


class Method(NamedTuple):
    """How one method trains."""

    label: str
    loss: Callable[["Setting"], Loss] | None  # None: solved, not trained
    linear: bool = False
    noisy: bool = False
    prior: bool = True  # whether its codes are pulled to N(0, I); else they are standardised afterwards
    adversary: type[Adversary] | None = None
    batch_size: int = 64
    step_size: float = 8e-3

    def coder(self, shape: tuple[int, ...], n_components: int) -> Coder:
        """What it trains on examples of that shape: (h, w) for pictures, (d,) for points."""
        likelihood = "bernoulli" if len(shape) == 2 and not self.linear else "gaussian"
        return Coder(prod(shape), n_components, likelihood, self.linear, self.noisy)


@dataclass(frozen=True, eq=False)
class Setting:
    """What a loss is made of."""

    coder: Coder
    beta: float  # weight of the pull to the prior; 1 is the ELBO for the VAE, else what worked well
    rng: torch.Generator
    adversary: Adversary | None = None


def plain(setting: Setting) -> Loss:
    """The mean of −log p(x | φ(x)): nothing but reconstruction."""
    coder = setting.coder
    return lambda weights, x: coder.nats(weights, coder.encode(weights, x), x).mean()


def squared(setting: Setting) -> Loss:
    """The mean of ½‖x − ψ(φ(x))‖²."""
    coder = setting.coder
    return lambda weights, x: (x - coder.raw(weights, coder.encode(weights, x))).square().sum(1).mean() / 2


def denoising(setting: Setting) -> Loss:
    """Noise goes into the encoder, and the clean example is asked for (Vincent et al. 2008)."""
    coder = setting.coder
    amount = CORRUPTION[coder.likelihood == "bernoulli"]

    def loss(weights: Tensor, x: Tensor) -> Tensor:
        noisy = x + amount * torch.randn(x.shape, generator=setting.rng).to(x)
        return coder.nats(weights, coder.encode(weights, noisy), x).mean()

    return loss


def vae(setting: Setting) -> Loss:
    """−ELBO with the KL weighted by β (Kingma & Welling 2014; Higgins et al. 2017)."""
    coder = setting.coder

    def loss(weights: Tensor, x: Tensor) -> Tensor:
        mean, log_var = coder.posterior(weights, x)
        noise = torch.randn(mean.shape, generator=setting.rng).to(mean)
        wrong = coder.nats(weights, mean + (log_var / 2).exp() * noise, x).mean()
        return wrong + setting.beta * kl(mean, log_var).sum(1).mean()

    return loss


def matching(strength: float, penalty: Callable[[Setting], Callable[[Tensor], Tensor]]) -> Callable[[Setting], Loss]:
    """Reconstruction, and a penalty on the codes of a whole batch: the WAE's form (Tolstikhin et al. 2018, eq. 4)."""

    def of(setting: Setting) -> Loss:
        coder, pull = setting.coder, penalty(setting)

        def loss(weights: Tensor, x: Tensor) -> Tensor:
            codes = coder.encode(weights, x)
            return coder.nats(weights, codes, x).mean() + setting.beta * strength * pull(codes)

        return loss

    return of


def mmd(setting: Setting) -> Callable[[Tensor], Tensor]:
    """The unbiased MMD² to the prior, summed over kernels of three widths (Tolstikhin et al. 2018)."""
    return lambda codes: sum((gap.mmd2(codes, unbiased=True, width=w) for w in MMD_WIDTHS), codes.new_zeros(()))


def sliced(setting: Setting) -> Callable[[Tensor], Tensor]:
    """The squared sliced W2 to the prior along fresh random directions (Kolouri et al. 2018)."""
    k = setting.coder.n_components

    def pull(codes: Tensor) -> Tensor:
        along = torch.randn(SLICES, k, generator=setting.rng)
        return gap.sliced_w2_squared(codes, along / along.norm(dim=1, keepdim=True))

    return pull


def adversarial(setting: Setting) -> Callable[[Tensor], Tensor]:
    """A network that tells codes from the prior, trained a little at every step before the codes answer to it."""
    assert setting.adversary is not None, "this method needs an adversary"
    return setting.adversary.pull


METHODS = {
    "pca": Method("PCA", None, linear=True, prior=False),
    "linear": Method("linear autoencoder", squared, linear=True, prior=False, step_size=2e-2),
    "deep": Method("deep autoencoder", plain, prior=False),
    "denoising": Method("denoising autoencoder", denoising, prior=False),
    "vae": Method("VAE", vae, noisy=True),
    "aae": Method("adversarial autoencoder", matching(3, adversarial), adversary=Discriminator, batch_size=128),
    "wae_mmd": Method("WAE, MMD", matching(30, mmd), batch_size=128),
    "wae_sw": Method("WAE, sliced W₂", matching(30, sliced), batch_size=256),
    "wae_critic": Method("WAE, critic", matching(3, adversarial), adversary=Critic, batch_size=128),
}


class Training:
    """One method on one set of examples, step by step. Everything random comes from the seed.

    images: (n, *shape), pictures (n, h, w) in 0..1 or points (n, d). Raises ValueError when they vary in fewer
    directions than n_components, or the method is none of METHODS.
    """

    def __init__(self, images: Tensor, method: str, n_components: int, beta: float, steps: int, seed: int) -> None:
        if method not in METHODS:
            raise ValueError(f"Saw the method {method!r}, expected one of {', '.join(METHODS)}.")
        self.method, self.how, self.shape = method, METHODS[method], tuple(images.shape[1:])
        self.x, self.rng = images.flatten(1).to(DEVICE, torch.float32), generator(seed)
        check(self.x, n_components)
        self.coder = self.how.coder(self.shape, n_components)
        self.descent = Descent(self.coder.init(self.x.mean(0), self.rng), steps, self.how.step_size)
        self.adversary = self.how.adversary(n_components, self.rng) if self.how.adversary else None
        self._shuffled, self._at = self.x, len(self.x)
        if self.how.loss:
            self._loss = self.how.loss(Setting(self.coder, beta, self.rng, self.adversary))
        else:
            self.descent.average, self.descent.step = principal(self.x, n_components), steps

    @property
    def step(self) -> int:
        """Steps taken."""
        return self.descent.step

    @property
    def done(self) -> bool:
        """Whether there are no more steps to take."""
        return self.descent.step >= self.descent.steps

    def advance(self, steps: int) -> None:
        """Take that many steps, or those that are left."""
        for _ in range(min(steps, self.descent.steps - self.descent.step)):
            batch = self._batch()
            self.descent(lambda weights, batch=batch: self._loss(weights, batch))

    def _batch(self) -> Tensor:
        """The next examples of the order that all were shuffled to; a fresh order when too few are left."""
        n = min(self.how.batch_size, len(self.x))
        if self._at + n > len(self.x):
            self._shuffled = self.x[torch.randperm(len(self.x), generator=self.rng).to(DEVICE)]
            self._at = 0
        self._at += n
        return self._shuffled[self._at - n : self._at]

    def model(self) -> Model:
        """What has been learned so far, in averaged weights."""
        weights, k = self.descent.average.clone(), self.coder.n_components
        shift, scale = torch.zeros(k, device=DEVICE), torch.ones(k, device=DEVICE)
        if not self.how.prior:
            codes = self.coder.encode(weights, self.x)
            shift, scale = codes.mean(0), codes.std(0).clamp_min(1e-6)
        return Model(self.method, self.coder, weights, shift, scale, self.shape)


@torch.enable_grad()
def fit(
    images: Tensor, method: str = "vae", *, n_components: int = 2, beta: float = 1.0, steps: int = 1500, seed: int = 0
) -> Model:
    """Train to the end: pictures (n, h, w) in 0..1 or points (n, d) -> a model. Raises like Training."""
    training = Training(images, method, n_components, beta, steps, seed)
    training.advance(steps)
    return training.model()


def check(x: Tensor, n_components: int) -> None:
    """Raise ValueError with a sentence unless the rows of x: (n, d) vary in at least n_components ≥ 1 directions."""
    if len(x) and not bool(torch.stack(x.aminmax()).isfinite().all()):  # which carry a NaN through
        raise ValueError("Saw an example with a number that is not finite, expected all of them finite.")
    few = 4 * max(n_components, 16)
    if 1 <= n_components <= rank(x[:few]):  # a few examples are enough, mostly, and cost less
        return
    found = rank(x)
    if found == 0:
        raise ValueError(f"Saw {len(x)} examples that are all the same, expected at least two that differ.")
    if not 1 <= n_components <= found:
        raise ValueError(
            f"Saw n_components = {n_components}, expected 1 to {found}: the data vary in no more directions."
        )


def principal(x: Tensor, k: int) -> Tensor:
    """The weights of a linear coder that is the PCA of x: (n, d)."""
    found = pca(x, k)
    u = found.components
    parts = [u.T.flatten(), -u @ found.mean, u.flatten(), found.mean]
    return torch.cat([part.flatten() for part in parts]).float()
