"""Freeze the network layer by layer: what adapts in a few inner steps, and which features are only used again."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import nan
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from engine.device import DEVICE, generator
from engine.knob import knob
from engine.maml_adaptation.alphabets import Episodes, interval
from engine.maml_adaptation.classifier import HIDDEN, STEPS, adapt
from engine.maml_adaptation.fewshot import Learning, learned
from engine.maml_adaptation.learner import Layers, Learner, product

DEPTH = len(HIDDEN) + 1
TASKS, PICTURES = 60, 12  # unseen tasks; query pictures of a class
LAYERS = (*(f"layer {i}" for i in range(1, DEPTH)), "outputs")
CHOICES = {"1": "the head alone", **{str(i): f"the last {i} layers" for i in range(2, DEPTH)}, str(DEPTH): "all layers"}


@dataclass(frozen=True)
class Config(Learning):
    """The settings of the meta-training, and how many layers adapt."""

    adapts: str = knob(str(DEPTH), "adapting", choices=CHOICES, help="the layers below stay as meta-training left them")
    example: int = knob(0, "which alphabets", 0, 999, folded=True)


class Frame(NamedTuple):
    """After some inner steps on 60 unseen alphabets; every number is a mean with its 95 % interval."""

    step: int
    right: np.ndarray  # (4, 3) share of query pictures read right when the last 1, 2, 3 and all 4 layers adapt
    cka: np.ndarray  # (4, 3) likeness of what each layer says of the query pictures to what it said before the steps
    moved: np.ndarray  # (4,) change of each layer's weights over their length, mean over tasks; NaN of none


def said(net: Learner, at: Layers, x: Tensor) -> list[Tensor]:
    """What each hidden layer and the last one say of pictures: x (t, n, i) -> (t, n, o) each"""
    inputs, _ = net.forward(at, x)
    return [*(one[..., :-1] for one in inputs[1:]), product(inputs[-1], at[-1])]


def hsic(k: Tensor, m: Tensor) -> Tensor:
    """Unbiased Hilbert-Schmidt independence of two kernels (Song et al., 2012): (t, n, n) twice -> (t,)"""
    n = k.shape[1]
    away = 1 - torch.eye(n, dtype=k.dtype, device=k.device)
    k, m = k * away, m * away
    both, rows = (k * m).sum((1, 2)), (k.sum(1) * m.sum(1)).sum(1)
    return (both + k.sum((1, 2)) * m.sum((1, 2)) / ((n - 1) * (n - 2)) - 2 * rows / (n - 2)) / (n * (n - 3))


def cka(x: Tensor, y: Tensor) -> Tensor:
    """Linear centred kernel alignment, debiased (Kornblith et al., 2019): (t, n, p), (t, n, q) -> (t,)

    1 for the same features up to a turn, a shift and a scale, about 0 for unrelated ones. Raises ValueError for
    fewer than four examples, or numbers of examples that differ.
    """
    if x.shape[:2] != y.shape[:2] or x.shape[1] < 4:
        raise ValueError(f"saw features of shapes {tuple(x.shape)} and {tuple(y.shape)}; expected one n, 4 or more")
    k, m = (one.double() @ one.double().mT for one in (x, y))
    return hsic(k, m) / (hsic(k, k) * hsic(m, m)).sqrt().clamp_min(1e-300)


def unseen(cfg: Config) -> Episodes:
    """The tasks of the view."""
    return cfg.episodes(TASKS, generator(80_000 + cfg.example), PICTURES)


def frozen(cfg: Learning, weights: Tensor, tasks: Episodes, layers: int, steps: int = STEPS) -> Iterator[Layers]:
    """The inner steps of the last `layers` layers."""
    return adapt(cfg.net, weights, tasks.x, tasks.y, fast_lr=cfg.fast_lr, steps=steps, layers=layers)


def run(cfg: Config) -> Iterator[Frame]:
    """One inner step a frame, for every number of adapting layers side by side."""
    weights = torch.tensor(learned(cfg.learning).weights[:1], device=DEVICE)
    tasks, chosen = unseen(cfg), int(cfg.adapts) - 1
    start = cfg.net.layers(weights)
    before = said(cfg.net, start, tasks.query_x)
    walks = [frozen(cfg, weights, tasks, layers) for layers in range(1, DEPTH + 1)]
    for step, every in enumerate(zip(*walks, strict=True)):
        after = said(cfg.net, every[chosen], tasks.query_x)
        yield Frame(
            step,
            right=np.array([interval(cfg.right(at, tasks)) for at in every]),
            cka=np.array([interval(cka(a, b)) for a, b in zip(before, after, strict=True)]),
            moved=np.array([moved(a, b) for a, b in zip(start, every[chosen], strict=True)]),
        )


def moved(before: Tensor, after: Tensor) -> float:
    """Length of the change over the length before, mean over tasks, NaN of none: (1, i, o), (t or 1, i, o)"""
    return float((after - before).flatten(1).norm(dim=1).mean() / before.norm()) or nan
