"""Six rules and 64 starts in Rosenbrock's valley, against torch.optim with all starts in one tensor, on one thread."""

import time
from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor

from engine.optimizer_paths.descent import descend
from engine.optimizer_paths.rules import Hyper
from engine.optimizer_paths.surfaces import surface
from tests.bench.row import Row, row

STARTS, STEPS, SEEDS, ROUNDS = 64, 500, 5, 5
GROUND, HYPER = surface("rosenbrock"), Hyper()
# Step sizes, not tuned: a tenth of one over the curvature at the minimum, and the page's default for the others.
SIZES = {"gd": 1e-4, "momentum": 1e-4, "nesterov": 1e-4, "adagrad": 0.05, "rmsprop": 0.05, "adam": 0.05}
PEERS: dict[str, Callable[[list[Tensor], float], torch.optim.Optimizer]] = {
    "gd": lambda w, lr: torch.optim.SGD(w, lr),
    "momentum": lambda w, lr: torch.optim.SGD(w, lr, momentum=HYPER.mu),
    "nesterov": lambda w, lr: torch.optim.SGD(w, lr, momentum=HYPER.mu, nesterov=True),
    "adagrad": lambda w, lr: torch.optim.Adagrad(w, lr, eps=HYPER.eps),
    "rmsprop": lambda w, lr: torch.optim.RMSprop(w, lr, alpha=HYPER.alpha, eps=HYPER.eps),
    "adam": lambda w, lr: torch.optim.Adam(w, lr, betas=(HYPER.beta1, HYPER.beta2), eps=HYPER.eps),
}
CALM = ("gd", "momentum", "nesterov", "adam")  # free runs of the other two are chaotic: a rounding grows to a detour


def starts(seed: int) -> np.ndarray:
    """Places anywhere in the picture: (64, 2)"""
    return np.random.default_rng(seed).uniform(GROUND.low, GROUND.high, (STARTS, 2))


def ours(begin: np.ndarray) -> np.ndarray:
    """Where every rule is after every step, by the engine: (6, 501, 64, 2). Raises RuntimeError if a run diverges."""
    sizes = np.tile([*SIZES.values()], (STEPS, 1))
    found = descend(GROUND, [*SIZES], begin, HYPER, sizes, np.zeros((0, *begin.shape)))
    if (found.lost >= 0).any():
        raise RuntimeError(f"{(found.lost >= 0).sum()} runs diverged; expected none, since a lost run costs less")
    return found.places.swapaxes(0, 1)


def by_autograd(w: Tensor) -> Callable[[int], None]:
    """What fills w.grad, with the slopes found by autograd, as most would write it. w: (64, 2)"""

    def fill(k: int) -> None:
        w.grad = None
        x, y = w[:, 0], w[:, 1]
        ((1 - x) ** 2 + 100 * (y - x**2) ** 2).sum().backward()

    return fill


def by_hand(w: Tensor) -> Callable[[int], None]:
    """The same with the slopes written out and everything made once: the careful loop. w: (64, 2)"""
    w.grad = torch.zeros_like(w)
    (x, y), (down_x, down_y) = w.detach().unbind(1), w.grad.unbind(1)

    def fill(k: int) -> None:
        rise = 200 * (y - x * x)
        torch.sub(2 * (x - 1), 2 * x * rise, out=down_x)
        down_y.copy_(rise)

    return fill


def replayed(slopes: Tensor) -> Callable[[Tensor], Callable[[int], None]]:
    """What fills w.grad with given slopes: (500, 64, 2)"""

    def of(w: Tensor) -> Callable[[int], None]:
        return lambda k: setattr(w, "grad", slopes[k])

    return of


def theirs(begin: np.ndarray, name: str, slope: Callable[[Tensor], Callable[[int], None]]) -> Tensor:
    """Where one rule of torch.optim is after every step: (501, 64, 2)"""
    w = torch.tensor(begin, requires_grad=True)
    fill, optimizer, way = slope(w), PEERS[name]([w], SIZES[name]), torch.empty(STEPS + 1, *w.shape, dtype=w.dtype)
    way[0] = here = w.detach()
    for k in range(STEPS):
        fill(k)
        optimizer.step()
        way[k + 1] = here
    return way


WAYS: dict[str, Callable[[np.ndarray], object]] = {
    "ours": ours,
    "torch.optim, autograd": lambda begin: [theirs(begin, name, by_autograd) for name in PEERS],
    "torch.optim, slopes by hand": lambda begin: [theirs(begin, name, by_hand) for name in PEERS],
}


def races() -> Iterator[Row]:
    """Milliseconds for all runs, from nothing to every place they visit; a ratio is that of a seed's two medians."""
    taken = {way: np.empty((SEEDS, ROUNDS)) for way in WAYS}
    for way in WAYS.values():
        way(starts(0))  # the first steps of a process load code
    for seed in range(SEEDS):
        begin = starts(seed)
        for turn in range(ROUNDS):
            for name, way in WAYS.items():
                taken[name][seed, turn] = 1000 * _seconds(way, begin)
    for name, spent in taken.items():
        yield row("race", f"{len(SIZES)} rules × {STARTS} × {STEPS} steps, {name}", "ms", [*spent.flat])
    middle = {name: np.median(spent, 1) for name, spent in taken.items()}
    for name in [*WAYS][1:]:
        yield row("race", f"times faster than {name}", "x", [*middle[name] / middle["ours"]], f"{SEEDS} sets of starts")


def replays() -> Iterator[Row]:
    """How far torch.optim ends from us, with our slopes and with its own, as a share of the largest |w|."""
    told, free = [], []
    for seed in range(SEEDS):
        begin = starts(seed)
        for name, way in zip(SIZES, ours(begin), strict=True):
            slopes = torch.tensor(GROUND.gradient(way[:-1]))
            told.append(_apart(way, theirs(begin, name, replayed(slopes))))
            if name in CALM:
                free += [_apart(way, theirs(begin, name, slope)) for slope in (by_autograd, by_hand)]
    yield row(
        "replay", "torch.optim fed our slopes, largest difference", "", told, f"a rule and seed each, {STEPS} steps"
    )
    yield row("replay", f"free runs of {', '.join(CALM)}", "", free, "both ways of finding the slope")


def _apart(way: np.ndarray, other: Tensor) -> float:
    return float(abs(way - other.numpy()).max() / abs(way).max())


def _seconds(act: Callable[[np.ndarray], object], begin: np.ndarray) -> float:
    start = time.perf_counter()
    act(begin)
    return time.perf_counter() - start


BENCHES = {"race": races, "replay": replays}
