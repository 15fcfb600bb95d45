"""An encoder that squeezes an example into a few numbers, and a decoder that makes the example of them again."""

from dataclasses import dataclass
from functools import cached_property
from math import log, pi, sqrt

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from engine.nets import ResidualMLP

DEPTH = 2
NARROW, WIDE = 64, 128  # hidden units, for up to 100 inputs and for more
FAR = 10.0  # the logarithm of a code's variance stays within this


@dataclass(frozen=True)
class Affine:
    """y = W x + b, of one flat weight vector like the network that it stands in for."""

    inputs: int
    outputs: int

    @property
    def size(self) -> int:
        """Length of the flat weight vector: W (inputs, outputs), then b."""
        return (self.inputs + 1) * self.outputs

    def init(self, generator: torch.Generator) -> Tensor:
        """Fresh weights (size,) on the CPU: variance 1/inputs, and no offset."""
        matrix = torch.randn(self.inputs * self.outputs, generator=generator) / sqrt(self.inputs)
        return torch.cat([matrix, torch.zeros(self.outputs)])

    def __call__(self, weights: Tensor, x: Tensor) -> Tensor:
        """weights: (size,), x: (n, inputs) -> (n, outputs)."""
        matrix, offset = weights.split([self.inputs * self.outputs, self.outputs])
        return torch.addmm(offset, x, matrix.view(self.inputs, self.outputs))


@dataclass(frozen=True)
class Coder:
    """Encoder φ and decoder ψ as pure functions of one flat weight vector, encoder first.

    An example is a row of `inputs` numbers. `likelihood` says what p(x | z) is: "bernoulli" for pixels in 0..1, each
    with probability ψ(z) of ink, or "gaussian", N(ψ(z), noise² I). A `noisy` encoder says how sure it is, too.
    """

    inputs: int
    n_components: int
    likelihood: str = "bernoulli"
    linear: bool = False
    noisy: bool = False
    noise: float = 0.1

    def __post_init__(self) -> None:
        if self.likelihood not in ("bernoulli", "gaussian"):
            raise ValueError(f"Saw the likelihood {self.likelihood!r}, expected bernoulli or gaussian.")

    @property
    def width(self) -> int:
        """Hidden units of each layer."""
        return NARROW if self.inputs <= 100 else WIDE

    @cached_property
    def encoder(self) -> Affine | ResidualMLP:
        """Example to code, and to the logarithm of the code's variance where it is noisy."""
        outputs = self.n_components * (1 + self.noisy)
        return Affine(self.inputs, outputs) if self.linear else ResidualMLP(self.inputs, outputs, self.width, DEPTH)

    @cached_property
    def decoder(self) -> Affine | ResidualMLP:
        """Code to example, or to the log odds of ink."""
        k = self.n_components
        return Affine(k, self.inputs) if self.linear else ResidualMLP(k, self.inputs, self.width, DEPTH)

    @property
    def size(self) -> int:
        """Length of the flat weight vector."""
        return self.encoder.size + self.decoder.size

    def init(self, mean: Tensor, generator: torch.Generator) -> Tensor:
        """Fresh weights (size,) on the CPU. mean: (inputs,) of the examples, where the decoder begins."""
        encoder, decoder = self.encoder.init(generator), self.decoder.init(generator)
        if isinstance(self.encoder, ResidualMLP):  # a code that begins at zero would learn late
            last = encoder[(self.inputs + 1) * self.width :][: self.width * self.encoder.outputs].view(self.width, -1)
            last[:, : self.n_components].normal_(std=self.width**-0.5, generator=generator)
        start = self.decoder.size - self.inputs if self.linear else (self.n_components + 1 + self.inputs) * self.width
        begin = mean.cpu().clamp(0.01, 0.99).logit() if self.likelihood == "bernoulli" else mean.cpu()
        decoder[start : start + self.inputs] = begin
        return torch.cat([encoder, decoder])

    def posterior(self, weights: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log variance of q(z | x): x (n, inputs) -> two (n, k). Raises ValueError unless noisy."""
        if not self.noisy:
            raise ValueError("Saw an encoder without noise, expected a noisy one: only it has a posterior.")
        mean, log_var = self.encoder(weights[: self.encoder.size], x).chunk(2, 1)
        return mean, log_var.clamp(-FAR, FAR)

    def encode(self, weights: Tensor, x: Tensor) -> Tensor:
        """φ(x), the mean code where there is noise: (n, inputs) -> (n, k)."""
        return self.encoder(weights[: self.encoder.size], x)[:, : self.n_components]

    def raw(self, weights: Tensor, codes: Tensor) -> Tensor:
        """What the decoder's last layer gives: (n, k) -> (n, inputs), log odds for pixels."""
        return self.decoder(weights[self.encoder.size :], codes)

    def decode(self, weights: Tensor, codes: Tensor) -> Tensor:
        """ψ(z): (n, k) -> (n, inputs)."""
        found = self.raw(weights, codes)
        return found.sigmoid() if self.likelihood == "bernoulli" else found

    def nats(self, weights: Tensor, codes: Tensor, x: Tensor) -> Tensor:
        """−log p(x | z) of each example: (n, k) and (n, inputs) -> (n,).

        For pixels the cross-entropy, summed over them; else ‖x − ψ(z)‖² / (2 s²) + (D / 2) log(2π s²).
        """
        found = self.raw(weights, codes)
        if self.likelihood == "bernoulli":
            return binary_cross_entropy_with_logits(found, x, reduction="none").sum(1)
        level = self.inputs / 2 * log(2 * pi * self.noise**2)
        return (x - found).square().sum(1) / (2 * self.noise**2) + level


def kl(mean: Tensor, log_var: Tensor) -> Tensor:
    """KL(N(mean, exp(log_var)) ‖ N(0, 1)) of each coordinate, in nats (Kingma & Welling 2014, App. B)."""
    return 0.5 * (mean.square() + log_var.exp() - 1 - log_var)


@dataclass(frozen=True, eq=False)
class Model:
    """A trained coder. Codes of a method without a prior are shifted and scaled to mean 0 and variance 1 each."""

    method: str
    coder: Coder
    weights: Tensor  # (size,)
    shift: Tensor  # (k,)
    scale: Tensor  # (k,)
    shape: tuple[int, ...]  # of one example

    def rows(self, images: Tensor) -> Tensor:
        """Examples as rows: (n, *shape) -> (n, inputs). Raises ValueError for another shape."""
        if tuple(images.shape[1:]) != self.shape:
            raise ValueError(f"Saw examples of shape {tuple(images.shape[1:])}, expected {self.shape}.")
        return images.flatten(1).to(self.weights)

    def encode(self, images: Tensor) -> Tensor:
        """The code of each example, the mean one where there is noise: (n, *shape) -> (n, k)."""
        return (self.coder.encode(self.weights, self.rows(images)) - self.shift) / self.scale

    def posterior(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation of q(z | x): (n, *shape) -> two (n, k); the latter 0 without noise."""
        if not self.coder.noisy:
            mean = self.encode(images)
            return mean, torch.zeros_like(mean)
        mean, log_var = self.coder.posterior(self.weights, self.rows(images))
        return (mean - self.shift) / self.scale, (log_var / 2).exp() / self.scale

    def draw(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """A code of each example drawn from q(z | x), so that all of them follow q(z): (n, *shape) -> (n, k)."""
        mean, std = self.posterior(images)
        return mean + std * torch.randn(mean.shape, generator=generator).to(mean)

    def decode(self, codes: Tensor) -> Tensor:
        """(n, k) -> (n, *shape); pixels may leave 0..1 where the decoder is linear."""
        found = self.coder.decode(self.weights, self.shift + self.scale * codes.to(self.weights))
        return found.view(-1, *self.shape)

    def sample(self, n: int, generator: torch.Generator) -> Tensor:
        """n codes drawn from N(0, I), decoded: (n, *shape)."""
        return self.decode(torch.randn(n, self.coder.n_components, generator=generator))

    def terms(self, images: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """The two parts of −ELBO with one drawn code each: −log p(x | z) (n,), and the KL of each coordinate (n, k).

        Raises ValueError for a method whose encoder has no noise: it has no ELBO.
        """
        x = self.rows(images)
        mean, log_var = self.coder.posterior(self.weights, x)
        noise = torch.randn(mean.shape, generator=generator).to(mean)
        return self.coder.nats(self.weights, mean + (log_var / 2).exp() * noise, x), kl(mean, log_var)

    def elbo(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """An unbiased estimate of the ELBO of each example, in nats: (n, *shape) -> (n,). Raises like `terms`."""
        wrong, pulled = self.terms(images, generator)
        return -(wrong + pulled.sum(1))
