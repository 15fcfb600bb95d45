"""The 1 797 real handwritten digits, 8×8 pixels, that come with scikit-learn (Alpaydin and Kaynak, 1998)."""

from functools import cache
from typing import Any, NamedTuple

import torch
from sklearn.datasets import load_digits
from torch import Tensor

from engine.device import DEVICE, generator


class Digits(NamedTuple):
    """Images with 0 for paper and 1 for ink, and what they show."""

    images: Tensor  # (n, 8, 8) float32 in [0, 1]
    labels: Tensor  # (n,) int64 in 0…9


@cache
def load() -> Digits:
    """All 1 797 digits on DEVICE, read once and shared: never write into them."""
    bunch: Any = load_digits()
    images = torch.tensor(bunch.images / 16, dtype=torch.float32, device=DEVICE)
    return Digits(images, torch.tensor(bunch.target, dtype=torch.int64, device=DEVICE))


@cache
def split(seed: int = 0, test: float = 0.2) -> tuple[Digits, Digits]:
    """(train, test), with the share test of every class in the second; the same seed gives the same split.

    Raises ValueError unless 0 < test < 1.
    """
    if not 0 < test < 1:
        raise ValueError(f"Saw a test share of {test}, expected one between 0 and 1.")
    labels, draw = load().labels.cpu(), generator(seed)
    held = torch.zeros(len(labels), dtype=torch.bool)
    for label in range(10):
        members = torch.nonzero(labels == label)[:, 0]
        shuffled = members[torch.randperm(len(members), generator=draw)]
        held[shuffled[: round(test * len(members))]] = True
    return _take(~held), _take(held)


def _take(chosen: Tensor) -> Digits:
    return Digits(*(part[chosen.to(DEVICE)] for part in load()))
