"""Principal components of pictures, one after the other: how much each explains, and what the pictures gain by it."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from engine.device import generator
from engine.knob import knob
from engine.latent_spaces.data import NAMES, examples
from engine.latent_spaces.learning import array
from engine.latent_spaces.pca import PCA, pca

MOST, TILES, COLUMNS, EXAMPLES = 100, 40, 10, 2000  # components; of them drawn; pictures reconstructed; learned from
PICTURES = {name: NAMES[name] for name in ("digits", "glyphs")}
WHOLE = "all of them"


@dataclass(frozen=True)
class Config:
    """The settings of a principal component analysis of pictures."""

    data: str = knob("digits", "pictures", choices=PICTURES)
    only: str = knob("all", "numerals", choices={"all": WHOLE} | {str(k): f"only {k}" for k in range(10)})
    seed: int = knob(0, "pictures shown", 0, 999, help="another number, other held-out pictures")


class Frame(NamedTuple):
    """The pictures with their first components."""

    n_components: int
    eigenvalue: float  # of the newest component, λ_k: the variance along it; NaN at 0
    ratio: float  # share of the variance that it explains
    cumulative: float  # share that all so far explain
    error: float  # measured: mean of ‖x − x̂‖² over the training pictures
    discarded: float  # exact: sum of the eigenvalues left out
    held_out: float  # the same error over held-out pictures
    images: np.ndarray  # (20, h, w) held-out pictures, and below what the components make of them
    components: np.ndarray  # (40, h, w) the components so far as pictures, 1/2 is 0; black where there is none yet
    spectrum: np.ndarray  # (m, 2) number and eigenvalue of each component, the same in every frame
    newest: np.ndarray  # (1, 2) the newest of them; (0, 2) at the start


class Known(NamedTuple):
    """What does not depend on the number of components."""

    found: PCA
    train: Tensor  # (n, d) float64
    test: Tensor  # (m, d)
    shape: tuple[int, ...]


@lru_cache(maxsize=8)
def known(data: str, only: str) -> Known:
    """The PCA of the training pictures with that numeral, or of all."""
    seen = examples(data)
    train, test = seen.train, seen.test
    if only != "all":
        train, test = train[seen.labels == int(only)], test[seen.test_labels == int(only)]
    train, test = train[:EXAMPLES].flatten(1).double(), test.flatten(1).double()
    return Known(pca(train, min(MOST, *train.shape)), train, test, seen.shape)


def total(cfg: Config) -> float:
    """The whole variance of the training pictures, with n below."""
    basis, train, *_ = known(cfg.data, cfg.only)
    return float((train - basis.mean).square().sum(1).mean())


def run(cfg: Config) -> Iterator[Frame]:
    """No component, then one more in each frame, up to 100 or all there are: a few milliseconds a frame."""
    basis, train, test, shape = known(cfg.data, cfg.only)
    values = basis.explained_variance * (len(train) - 1) / len(train)  # of the covariance with n below
    whole = float((train - basis.mean).square().sum(1).mean())
    coordinates = basis.encode(train), basis.encode(test)
    shown = torch.randperm(len(test), generator=generator(cfg.seed))[:COLUMNS]
    spectrum = np.stack([np.arange(1, len(values) + 1), array(values.clamp_min(1e-6))], 1).astype(np.float32)
    tiles = relief(basis.components[:TILES]).view(-1, *shape)
    left = [part - basis.mean for part in (train, test)]  # what is not explained yet
    for k in range(len(values) + 1):
        if k:
            for part, codes in zip(left, coordinates, strict=True):
                part.addr_(codes[:, k - 1], basis.components[k - 1], alpha=-1)
        remade = (test - left[1])[shown]
        so_far = float(values[:k].sum())
        yield Frame(
            n_components=k,
            eigenvalue=float(values[k - 1]) if k else float("nan"),
            ratio=float(values[k - 1]) / whole if k else 0.0,
            cumulative=so_far / whole,
            error=float(left[0].square().sum(1).mean()),
            discarded=whole - so_far,
            held_out=float(left[1].square().sum(1).mean()),
            images=array(torch.cat([test[shown], remade]).clamp(0, 1).view(-1, *shape)),
            components=array(torch.cat([tiles[:k], torch.zeros_like(tiles[k:])])),
            spectrum=spectrum,
            newest=spectrum[max(0, k - 1) : k],
        )


def relief(components: Tensor) -> Tensor:
    """Components (k, d) as pictures: 1/2 where they are 0, the largest entry at 0 or 1."""
    return 0.5 + 0.5 * components / components.abs().amax(1, keepdim=True)
