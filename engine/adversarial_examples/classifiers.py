"""The classifiers that are attacked: a linear one, a perceptron and a convolutional network, on numerals."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from math import prod, sqrt
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import conv2d, cross_entropy, pad

from engine.adversarial_examples.threat import inside, project
from engine.data import digits, glyphs
from engine.device import DEVICE, generator
from engine.knob import knob, part
from engine.nets import Descent
from engine.tape import record

CLASSES = 10
DATA = {"digits": "real handwriting, 8×8", "glyphs": "drawn numerals, 28×28"}
KINDS = {"linear": "linear", "mlp": "perceptron", "cnn": "convolutional"}
TRAININGS = {"standard": "standard", "robust": "adversarial"}
BUDGETS = {"digits": 0.15, "glyphs": 0.15}  # ℓ∞ budget of the adversarial training, in shades
POOL, TEST, SPREAD = 3000, 300, 0.7  # glyphs to train on and held out; share of their factors' ranges
WIDTH, STEP_SIZE = 96, 4e-3
BATCH, DEAR = 64, 24  # examples of a step; the same where each goes through a convolution of a large picture
STEPS = {"linear": 300, "mlp": 400, "cnn": 250}  # of the training
INNER = {"linear": 1, "mlp": 4, "cnn": 2}  # steps of the adversary in each


class Examples(NamedTuple):
    """What is learned from and what is held out, on DEVICE: never write into it."""

    train: Tensor  # (n, h, w) float32 in 0..1
    labels: Tensor  # (n,) int64 in 0..9
    test: Tensor  # (m, h, w)
    test_labels: Tensor  # (m,)


@lru_cache(maxsize=2)
def examples(name: str) -> Examples:
    """The pictures of that name, the same for every seed. Raises ValueError for a name not in DATA."""
    if name not in DATA:
        raise ValueError(f"saw data called {name!r}; expected one of {', '.join(DATA)}")
    if name == "digits":
        train, test = digits.split()
        return Examples(*train, *test)
    drawn = glyphs.sample(POOL + TEST, generator(0), spread=SPREAD)
    return Examples(drawn.images[:POOL], drawn.labels[:POOL], drawn.images[POOL:], drawn.labels[POOL:])


def halving(x: Tensor, kernel: Tensor, bias: Tensor) -> Tensor:
    """A convolution with stride 2: pictures (n, h, w), kernel (c, 1, 5, 5) -> (n, c, ⌈h / 2⌉, ⌈w / 2⌉).

    The same sums as a 3 × 3 convolution with stride 1 whose channels are the four pixels of each 2 × 2 block: forward
    and back it takes half the time.
    """
    (n, height, width), c = x.shape, len(kernel)
    x = pad(x, (2, 2 + width % 2, 2, 2 + height % 2))
    blocks = x.view(n, x.shape[1] // 2, 2, x.shape[2] // 2, 2).permute(0, 2, 4, 1, 3).flatten(1, 2)
    kernels = pad(kernel, (0, 1, 0, 1)).view(c, 3, 2, 3, 2).permute(0, 2, 4, 1, 3).flatten(1, 2)
    return conv2d(blocks, kernels, bias)


@dataclass(frozen=True)
class Net:
    """A classifier of square pictures as a pure function of one flat weight vector; ReLU units."""

    kind: str = "mlp"  # one of KINDS
    side: int = 8  # pixels
    width: int = WIDTH  # units of a hidden layer

    @cached_property
    def shapes(self) -> list[tuple[int, ...]]:
        """Shape of each weight, in the order of the flat vector."""
        d, w = self.side**2, self.width
        if self.kind == "linear":
            return [(d, CLASSES), (CLASSES,)]
        if self.kind == "mlp":
            return [(d, w), (w,), (w, w), (w,), (w, CLASSES), (CLASSES,)]
        small = self.side <= 8
        first, seen = (3, (self.side + 1) // 2) if small else (5, -(-self.side // 4))
        return [(16, 1, first, first), (16,), (24, 16, 3, 3), (24,), (24 * seen**2, CLASSES), (CLASSES,)]

    @property
    def size(self) -> int:
        """Length of the flat weight vector."""
        return sum(map(prod, self.shapes))

    def init(self, generator: torch.Generator) -> Tensor:
        """Fresh weights (size,) on the CPU: variance 2/fan-in, biases zero, the last layer small."""
        parts = [self._draw(shape, generator) for shape in self.shapes]
        parts[-2] *= 0.1
        return torch.cat([part.flatten() for part in parts])

    def _draw(self, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
        if len(shape) == 1:
            return torch.zeros(shape)
        fan_in = shape[0] if len(shape) == 2 else prod(shape[1:])
        return torch.randn(shape, generator=generator) * sqrt(2 / fan_in)

    def parts(self, weights: Tensor) -> list[Tensor]:
        """The flat vector cut into the weights of the layers."""
        cut = weights.split([prod(shape) for shape in self.shapes])
        return [part.view(shape) for part, shape in zip(cut, self.shapes, strict=True)]

    def embed(self, weights: Tensor, x: Tensor) -> Tensor:
        """What the last layer sees: pictures (n, h, w) -> (n, features)."""
        parts = self.parts(weights)
        if self.kind != "cnn":
            h = x.flatten(1)
            for i in range(0, len(parts) - 2, 2):
                h = torch.addmm(parts[i + 1], h, parts[i]).relu()
            return h
        if parts[0].shape[-1] == 3:
            h = conv2d(x[:, None], parts[0], parts[1], padding=1).relu()
        else:
            h = halving(x, parts[0], parts[1]).relu()
        return conv2d(h, parts[2], parts[3], stride=2, padding=1).relu().flatten(1)

    def __call__(self, weights: Tensor, x: Tensor) -> Tensor:
        """Logits of pictures: weights (size,), x (n, h, w) -> (n, 10)."""
        *_, last, offset = self.parts(weights)
        return torch.addmm(offset, self.embed(weights, x), last)


@dataclass(frozen=True, eq=False)
class Model:
    """A network with its weights: pictures (n, h, w) -> logits (n, 10)."""

    net: Net
    weights: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        return self.net(self.weights, x)


@torch.no_grad()
def accuracy(model: Model, x: Tensor, y: Tensor) -> float:
    """Share of pictures (n, h, w) that get their label (n,)."""
    return float((model(x).argmax(1) == y).double().mean())


def worst(net: Net, weights: Tensor, x: Tensor, y: Tensor, eps: float, rng: torch.Generator) -> Tensor:
    """Pictures within eps (ℓ∞) that a few sign steps from a random start made harder: (n, h, w) -> (n, h, w)."""
    seen = (x + inside(x, eps, "linf", rng)).clamp(0, 1)
    steps = INNER[net.kind]
    for _ in range(steps):
        seen.requires_grad_()
        loss = cross_entropy(net(weights.detach(), seen), y, reduction="sum")
        (slope,) = torch.autograd.grad(loss, seen)
        seen = (x + project(seen.detach() + 2 * eps / steps * slope.sign() - x, eps, "linf")).clamp(0, 1)
    return seen


@dataclass(frozen=True)
class Learning:
    """The settings that a classifier depends on."""

    data: str = knob("glyphs", "pictures", choices=DATA)
    model: str = knob("mlp", "classifier", choices=KINDS)
    training: str = knob("standard", "training", choices=TRAININGS, help="adversarial: on attacked pictures (Madry)")
    seed: int = knob(0, "seed of the training", 0, 99, folded=True)

    @property
    def learning(self) -> "Learning":
        """The part of the settings that the training depends on."""
        return part(Learning, self)

    @property
    def net(self) -> Net:
        """The network that is trained."""
        return Net(self.model, examples(self.data).test.shape[-1])


class Moment(NamedTuple):
    """A classifier after some training steps."""

    progress: float  # 0 to 1
    loss: float
    weights: np.ndarray  # (size,)


def learn(cfg: Learning) -> Iterator[Moment]:
    """The training by Adam; robust: on the worst pictures within the budget, which grows over the first half."""
    seen, net, rng = examples(cfg.data), cfg.net, generator(cfg.seed)
    descent = Descent(net.init(rng), STEPS[cfg.model], STEP_SIZE)
    batch = DEAR if net.kind == "cnn" and net.side > 8 else BATCH
    chunk = 2 if cfg.training == "robust" and cfg.data == "glyphs" else 8
    for step in range(descent.steps):
        rows = torch.randint(0, len(seen.train), (batch,), generator=rng).to(DEVICE)
        x, y = seen.train[rows], seen.labels[rows]
        if cfg.training == "robust":
            eps = BUDGETS[cfg.data] * min(1.0, 2 * step / descent.steps)
            x = worst(net, descent.weights, x, y, eps, rng)
        descent(lambda weights, x=x, y=y: cross_entropy(net(weights, x), y))
        if (step + 1) % chunk == 0 or step + 1 == descent.steps:
            weights = descent.weights.detach().to("cpu", copy=True).numpy()
            yield Moment((step + 1) / descent.steps, descent.loss, weights)


def trained(cfg: Learning) -> Model:
    """The classifier with these settings; trains to the end if nobody has yet."""
    last = record(learn, cfg.learning).wind().frames[-1]
    return Model(cfg.net, torch.tensor(last.weights, device=DEVICE))


class Progress(NamedTuple):
    """How far several trainings are."""

    progress: float  # 0 to 1, of all of them


def learn_all(several: tuple[Learning, ...]) -> Iterator[Progress]:
    """Some trainings one after the other, each on its tape that all views share."""
    for i, one in enumerate(several):
        tape = record(learn, one)
        while not tape.done:
            tape.wind(0)
            yield Progress((i + tape.frames[-1].progress) / len(several))
    yield Progress(1.0)


def array(x: Tensor) -> np.ndarray:
    """A copy for a frame: float32 on the CPU."""
    return x.detach().to("cpu", torch.float32, copy=True).numpy()
