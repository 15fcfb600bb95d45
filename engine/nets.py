"""The small networks, as pure functions of flat weight vectors."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, cached_property
from math import cos, log, nan, pi, prod, sqrt

import torch
from torch import Tensor
from torch.nn.functional import silu
from torch.optim.adam import adam

from engine.device import DEVICE

MEMORY = 100  # steps that a moving average looks back in the end


@dataclass(frozen=True)
class ResidualMLP:
    """A residual perceptron with SiLU units, conditioned by adding a linear map of `condition` in every layer.

    h = W x + w;  h += silu(W_i h + V_i c + b_i) for each of `depth` layers;  y = U h + u.
    All weights are one vector, so an optimiser, a moving average or a copy is one operation on one tensor.
    """

    inputs: int
    outputs: int
    width: int = 128
    depth: int = 3
    condition: int = 0  # features of the condition c; 0 for none

    @cached_property
    def shapes(self) -> list[tuple[int, ...]]:
        """Shape of each weight, in the order of the flat vector."""
        w, layers = self.width, self.depth
        shapes: list[tuple[int, ...]] = [(self.inputs, w), (w,), (w, self.outputs), (self.outputs,)]
        shapes += [(self.condition, layers * w)] if self.condition else []
        return [*shapes, (layers * w,), *[(w, w)] * layers]

    @cached_property
    def lengths(self) -> list[int]:
        """How many numbers each of them has."""
        return [prod(shape) for shape in self.shapes]

    @property
    def size(self) -> int:
        """Length of the flat weight vector."""
        return sum(self.lengths)

    def init(self, generator: torch.Generator) -> Tensor:
        """Fresh weights (size,) on the CPU: variance 1/fan-in, biases and the last layer zero."""
        parts = [self._draw(shape, generator) for shape in self.shapes]
        parts[2].zero_()
        return torch.cat([part.flatten() for part in parts])

    def _draw(self, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
        if len(shape) == 1:
            return torch.zeros(shape)
        return torch.randn(shape, generator=generator) / sqrt(shape[0])

    def __call__(self, weights: Tensor, x: Tensor, c: Tensor | None = None) -> Tensor:
        """weights: (size,), x: (n, inputs), c: (n, condition) or (1, condition) -> (n, outputs)."""
        pieces = weights.split_with_sizes(self.lengths)
        first, bias, last, offset, *rest = (p.view(s) for p, s in zip(pieces, self.shapes, strict=True))
        push, shifts, *layers = rest if self.condition else (None, *rest)
        shifts = shifts if push is None or c is None else torch.addmm(shifts, c, push)
        h = torch.addmm(bias, x, first)
        for layer, shift in zip(layers, shifts.split(self.width, -1), strict=True):
            h = h + silu(torch.addmm(shift, h, layer))
        return torch.addmm(offset, h, last)


@dataclass(frozen=True)
class Networks:
    """Perceptrons with ReLU units, each with its weights in one row, so that k of them cost little more than one."""

    sizes: tuple[int, ...]  # inputs, hidden widths, classes

    @cached_property
    def shapes(self) -> list[tuple[int, int]]:
        """Shape of every matrix and its bias, in the order of the flat vector."""
        return [shape for i, o in zip(self.sizes, self.sizes[1:], strict=False) for shape in ((i, o), (1, o))]

    @cached_property
    def lengths(self) -> list[int]:
        """How many weights each of them has."""
        return [prod(shape) for shape in self.shapes]

    @cached_property
    def size(self) -> int:
        """Length of the flat weight vector."""
        return sum(self.lengths)

    def init(self, k: int, rng: torch.Generator) -> Tensor:
        """k fresh weight vectors (k, size) on DEVICE: variance 2 / fan-in, biases 0."""
        parts = []
        for fan_in, out in self.shapes[::2]:
            parts += [torch.randn(k, fan_in * out, generator=rng) * sqrt(2 / fan_in), torch.zeros(k, out)]
        return torch.cat(parts, 1).to(DEVICE)

    def __call__(self, weights: Tensor, x: Tensor) -> Tensor:
        """Logits: weights (k, size), x (k or 1, n, inputs) -> (k, n, classes)"""
        return self.activations(weights, x)[-1]

    def parts(self, weights: Tensor) -> list[Tensor]:
        """Matrices (k, i, o) and biases (k, 1, o) in turn, as views of weights (k, size)."""
        k, pieces = weights.shape[0], torch.split_with_sizes(weights, self.lengths, 1)
        return [piece.view(k, *shape) for piece, shape in zip(pieces, self.shapes, strict=True)]

    def activations(self, weights: Tensor, x: Tensor) -> list[Tensor]:
        """What each layer gives, the logits last: weights (k, size), x (k or 1, n, inputs) -> (k, n, width) each."""
        h, parts, seen = x.expand(len(weights), -1, -1), self.parts(weights), []
        for i in range(0, len(parts), 2):
            h = torch.baddbmm(parts[i + 1], h, parts[i])
            h = h.relu() if i + 2 < len(parts) else h
            seen.append(h)
        return seen


def cross_entropy(logits: Tensor, y: Tensor) -> Tensor:
    """Of each example: logits (k, n, c), labels (k or 1, n) -> (k, n)"""
    return logits.logsumexp(-1) - picked(logits, y)


def picked(logits: Tensor, y: Tensor) -> Tensor:
    """The logit of the label: (k, n, c), (k or 1, n) -> (k, n)"""
    return logits.gather(-1, y.expand(logits.shape[:2])[..., None])[..., 0]


def fourier(x: Tensor, frequencies: Tensor) -> Tensor:
    """x: (n, d), frequencies: (d, f) in radians per unit -> (n, d + 2f): x, sines, cosines (Tancik et al. 2020)."""
    angles = x @ frequencies
    return torch.cat([x, angles.sin(), angles.cos()], 1)


@cache
def octaves(count: int, longest: float, shortest: float) -> Tensor:
    """Frequencies (1, count) for `fourier` on one number: wavelengths evenly spaced in the logarithm."""
    waves = torch.linspace(log(longest), log(shortest), count).exp()
    return (2 * pi / waves)[None]


class Adam:
    """torch.optim.Adam on one flat vector, without the book-keeping that costs as much as a small network."""

    def __init__(self, weights: Tensor, betas: tuple[float, float] = (0.9, 0.999)) -> None:
        self.weights, self.betas = weights, betas
        self._moments = torch.zeros_like(weights.detach()), torch.zeros_like(weights.detach())
        self._count = torch.zeros((), device=weights.device)  # steps, where the fused kernel looks for them

    @torch.no_grad()
    def __call__(self, slope: Tensor, step_size: float) -> None:
        """One step of the weights, in place, against the gradient of their shape."""
        (first, second), (beta1, beta2) = self._moments, self.betas
        adam([self.weights], [slope], [first], [second], [], [self._count], fused=True, amsgrad=False,
             beta1=beta1, beta2=beta2, lr=step_size, weight_decay=0.0, eps=1e-8, maximize=False)  # fmt: skip


class Descent:
    """Adam on one flat vector with a warm-up and a cosine decay, and moving averages of weights and loss."""

    warm_up = 10  # steps until the step size is at its top
    start = 20  # of a run so far, the averages look back one part in so many, until that is more than MEMORY

    def __init__(self, weights: Tensor, steps: int, step_size: float) -> None:
        self.weights = weights.to(DEVICE).requires_grad_()
        self.average = self.weights.detach().clone()
        self.steps, self.step_size, self.step = steps, step_size, 0
        self.loss = self.loss_ema = nan
        self._adam = Adam(self.weights)

    def __call__(self, loss: Callable[[Tensor], Tensor]) -> None:
        """One step down the loss, a function of the weights."""
        value = loss(self.weights)
        (slope,) = torch.autograd.grad(value, self.weights)
        self._adam(slope, self.step_size * self._share())
        fresh = self.fresh
        self.average.lerp_(self.weights.detach(), fresh)
        self.loss = value.item()
        self.loss_ema = self.loss if self.step == 0 else self.loss_ema + fresh * (self.loss - self.loss_ema)
        self.step += 1

    @property
    def fresh(self) -> float:
        """What the next step weighs in the moving averages."""
        return max(1 / MEMORY, self.start / (self.step + self.start))

    def _share(self) -> float:
        decay = 0.5 + 0.5 * cos(pi * self.step / self.steps)
        return min(1.0, (self.step + 1) / self.warm_up) * decay
