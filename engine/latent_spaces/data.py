"""What is squeezed: glyphs, handwritten digits, points on a bent sheet in space, or the visitor's own pictures."""

from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

from engine.data import digits, glyphs
from engine.data.pictures import KEPT
from engine.device import DEVICE, generator

NAMES = {
    "glyphs": "drawn numerals, 28×28",
    "digits": "real handwriting, 8×8",
    "s_curve": "S-curve in space",
    "swiss_roll": "Swiss roll in space",
}
YOURS = "yours"
POOL, TEST, POINTS = 6000, 300, 3000  # glyphs to train on and held out; points of either kind
SPREAD = 0.5  # share of the ranges of the glyphs' factors: two numbers cannot hold all of them
JITTER = 0.02  # standard deviation of the noise on a point


class Examples(NamedTuple):
    """What is learned from and what is held out, on DEVICE: never write into it."""

    train: Tensor  # (n, *shape) float32; pixels in 0..1
    labels: Tensor  # (n,) int64 in 0..9
    test: Tensor  # (m, *shape)
    test_labels: Tensor  # (m,)
    factors: Tensor  # (n, 8) what made each glyph, in the order of glyphs.FACTORS; else (0, 8)

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one example: (h, w), or (3,) for points."""
        return tuple(self.train.shape[1:])

    @property
    def pictures(self) -> bool:
        """Whether the examples are pictures, not points."""
        return self.train.ndim == 3


@lru_cache(maxsize=6)
def examples(name: str, code: str = "") -> Examples:
    """The examples of that name, made once: the same for every seed. "yours" are the pictures kept under the code.

    Raises ValueError for a name not in NAMES, or for pictures that are not kept any more.
    """
    if name == YOURS:
        return brought(code)
    if name not in NAMES:
        raise ValueError(f"Saw data called {name!r}, expected one of {', '.join(NAMES)} or {YOURS}.")
    if name == "digits":
        train, test = digits.split()
        return Examples(*train, *test, torch.empty(0, 8))
    if name == "glyphs":
        drawn = glyphs.sample(POOL + TEST, generator(0), spread=SPREAD)
        (train, labels, factors), (test, told, _) = [[part[cut] for part in drawn] for cut in
                                                     (slice(POOL), slice(POOL, None))]  # fmt: skip
        return Examples(train, labels, test, told, factors)
    x, along = SHEETS[name](POINTS + TEST, generator(0))
    labels = (along * 10).long().clamp(0, 9).to(DEVICE)
    x = ((x - x.mean(0)) / x.std()).to(DEVICE)
    return Examples(x[:POINTS], labels[:POINTS], x[POINTS:], labels[POINTS:], torch.empty(0, 8))


def brought(code: str) -> Examples:
    """The visitor's own pictures; every fifth of them, 300 at most, is held out. Classes beyond ten share colours."""
    found = KEPT[code]
    images = torch.tensor(found.images, dtype=torch.float32, device=DEVICE)
    labels = torch.tensor(found.labels, dtype=torch.int64, device=DEVICE) % 10
    held = torch.zeros(len(images), dtype=torch.bool, device=DEVICE)
    held[4::5] = True
    held[(4 + 5 * TEST) :] = False
    if not bool(held.any()):
        held[-1] = True
    return Examples(images[~held], labels[~held], images[held], labels[held], torch.empty(0, 8))


def s_curve(n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Points on a sheet bent like an S, as scikit-learn makes them: (n, 3), and where along the S in 0..1 (n,)."""
    along, across = torch.rand(2, n, generator=generator)
    t = 3 * torch.pi * (along - 0.5)
    x = torch.stack([t.sin(), 2 * across, t.sign() * (t.cos() - 1)], 1)
    return x + JITTER * torch.randn(n, 3, generator=generator), along


def swiss_roll(n: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Points on a rolled-up sheet, as scikit-learn makes them: (n, 3), and where along the roll in 0..1 (n,)."""
    along, across = torch.rand(2, n, generator=generator)
    t = 1.5 * torch.pi * (1 + 2 * along)
    x = torch.stack([t * t.cos(), 21 * across, t * t.sin()], 1)
    return x + 10 * JITTER * torch.randn(n, 3, generator=generator), along


SHEETS = {"s_curve": s_curve, "swiss_roll": swiss_roll}
