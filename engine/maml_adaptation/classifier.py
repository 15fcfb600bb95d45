"""A small network that tells glyphs apart, and its inner steps on the examples of many tasks at once."""

from collections.abc import Iterator
from functools import cache
from math import sqrt

import torch
from torch import Tensor

from engine.device import DEVICE
from engine.maml_adaptation.alphabets import PIXELS
from engine.maml_adaptation.learner import Layers, Learner, descended, outer, spread

HIDDEN, HEAD = (64, 64, 64), 0.02  # units; weights of the last layer at the start, against 2 / fan-in
FAST_LR, STEPS = 0.1, 10  # inner step size; inner steps shown


@cache
def learner(ways: int) -> Learner:
    """The network that tells so many classes apart."""
    return Learner((PIXELS, *HIDDEN, ways))


def fresh(net: Learner, rng: torch.Generator, head: float = HEAD) -> Tensor:
    """Random weights (1, size) on DEVICE: variance 2 / fan-in, biases 0; the last layer `head` times that."""
    parts = []
    for (rows, columns), fan_in, out in zip(net.shapes, net.sizes, net.sizes[1:], strict=False):
        part = torch.zeros(1, rows, columns)
        part[:, :fan_in, :out] = torch.randn(1, fan_in, out, generator=rng) * sqrt(2 / fan_in)
        parts.append(part)
    parts[-1] *= head
    return torch.cat([part.flatten(1) for part in parts], 1).to(DEVICE)


def adapt(
    net: Learner,
    weights: Tensor,
    x: Tensor,
    y: Tensor,
    *,
    fast_lr: float = FAST_LR,
    steps: int = STEPS,
    layers: int = 9,
) -> Iterator[Layers]:
    """The weights before and after each step of gradient descent on t tasks' support sets, all tasks at once.

    weights: (1, size), x: (t, n, pixels + 1), y: (t, n, N). The loss is the squared error summed over the N outputs.
    layers: how many of the last layers adapt; 1 is ANIL (Raghu et al., 2020). Raises ValueError for other shapes.
    """
    if x.ndim != 3 or x.shape[2] != net.sizes[0] + 1 or y.shape != (*x.shape[:2], net.sizes[-1]):
        expected = f"(t, n, {net.sizes[0] + 1}) and (t, n, {net.sizes[-1]})"
        raise ValueError(f"saw examples of shapes {tuple(x.shape)} and {tuple(y.shape)}; expected {expected}")
    at = net.layers(weights)
    still = max(0, len(at) - layers)
    yield at
    for _ in range(steps):
        seen = net.passed(at, x, y)
        if still == 0:
            at = descended(at, seen, fast_lr)
        else:
            moving = zip(spread(at[still:], len(x)), seen.inputs[still:], seen.slopes[still:], strict=True)
            at = (*at[:still], *(outer(h, d, len(x), w, -fast_lr) for w, h, d in moving))
        yield at
