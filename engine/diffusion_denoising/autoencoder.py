"""A small autoencoder that squeezes a picture into sixteen numbers, so that diffusion can work on those."""

from dataclasses import dataclass
from functools import cache, cached_property
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from engine import nets
from engine.data import digits, glyphs
from engine.device import generator
from engine.nets import ResidualMLP

CODE = 16  # numbers a picture is squeezed into
WIDTH, DEPTH = 128, 3
NOISE = 0.3  # standard deviation of the noise on the code in training: near codes must mean near pictures
PULL = 0.01  # weight of a code's squared length, which keeps it from outgrowing that noise
POOL, TEST = 8192, 100  # glyphs to train on, pictures held out


class Pictures(NamedTuple):
    """What is learned from, and what is held out; numeral i % 10 at index i of the latter."""

    train: Tensor  # (n, h, w)
    labels: Tensor  # (n,)
    test: Tensor  # (100, h, w)


@cache
def pictures(data: str) -> Pictures:
    """The pictures of that name on DEVICE, made once: the same for every seed."""
    if data == "digits":
        train, test = digits.split()
    else:
        pool = glyphs.sample(POOL + 5 * TEST, generator(0))
        train, test = [digits.Digits(*(part[cut] for part in pool[:2])) for cut in (slice(POOL), slice(POOL, None))]
    rows = torch.stack([test.images[test.labels == k][:10] for k in range(10)], 1)
    return Pictures(train.images, train.labels, rows.flatten(0, 1))


@dataclass(frozen=True)
class Autoencoder:
    """Encoder and decoder for pictures of side×side pixels, as pure functions of one flat weight vector."""

    side: int

    @cached_property
    def encoder(self) -> ResidualMLP:
        """Pixels to code."""
        return ResidualMLP(self.side**2, CODE, WIDTH, DEPTH)

    @cached_property
    def decoder(self) -> ResidualMLP:
        """Code to the logit of every pixel."""
        return ResidualMLP(CODE, self.side**2, WIDTH, DEPTH)

    @property
    def size(self) -> int:
        """Length of the flat weight vector, encoder first."""
        return self.encoder.size + self.decoder.size

    def init(self, generator: torch.Generator) -> Tensor:
        """Fresh weights (size,) on the CPU."""
        encoder, decoder = self.encoder.init(generator), self.decoder.init(generator)
        before = (self.side**2 + 1) * WIDTH  # a code that begins at zero would learn late
        encoder[before : before + WIDTH * CODE].normal_(std=WIDTH**-0.5, generator=generator)
        return torch.cat([encoder, decoder])

    def encode(self, weights: Tensor, images: Tensor) -> Tensor:
        """weights: (size,), images: (n, side, side) in [0, 1] -> codes (n, 16)."""
        return self.encoder(weights[: self.encoder.size], images.flatten(1))

    def logits(self, weights: Tensor, codes: Tensor) -> Tensor:
        """weights: (size,), codes: (n, 16) -> log odds of ink (n, side²)."""
        return self.decoder(weights[self.encoder.size :], codes)

    def decode(self, weights: Tensor, codes: Tensor) -> Tensor:
        """weights: (size,), codes: (n, 16) -> images (n, side, side) in [0, 1]."""
        return self.logits(weights, codes).sigmoid().view(-1, self.side, self.side)

    def loss(self, weights: Tensor, images: Tensor, noise: Tensor) -> Tensor:
        """Cross-entropy in nats per picture after noise (n, 16) on the code, and the pull on the code's length."""
        codes = self.encode(weights, images)
        guess = self.logits(weights, codes + NOISE * noise)
        wrong = binary_cross_entropy_with_logits(guess, images.flatten(1), reduction="sum") / len(images)
        return wrong + PULL * codes.square().sum(1).mean()


@dataclass(frozen=True, eq=False)
class Codec:
    """A trained autoencoder whose codes are shifted and scaled to mean 0 and variance 1 over its training pictures."""

    net: Autoencoder
    weights: Tensor  # (size,)
    mean: Tensor  # (16,)
    std: Tensor  # (16,)

    def encode(self, images: Tensor) -> Tensor:
        """(n, side, side) -> (n, 16)."""
        return (self.net.encode(self.weights, images) - self.mean) / self.std

    def decode(self, codes: Tensor) -> Tensor:
        """(n, 16) -> (n, side, side) in [0, 1]."""
        return self.net.decode(self.weights, self.mean + self.std * codes)


def standardised(net: Autoencoder, weights: Tensor, images: Tensor) -> tuple[Codec, Tensor]:
    """The codec whose codes of these images (n, side, side) have mean 0 and variance 1, and those codes (n, 16)."""
    codes = net.encode(weights, images)
    mean, std = codes.mean(0), codes.std(0).clamp_min(1e-6)
    return Codec(net, weights, mean, std), (codes - mean) / std


class Descent(nets.Descent):
    """With a longer warm-up, and averages that look back over all of a run at first."""

    warm_up, start = 30, 1
