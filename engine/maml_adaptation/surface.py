"""Two weights, five tasks: the loss after a few inner steps as a surface, and the way that each method goes on it."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import nan, pi
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from engine.device import generator
from engine.knob import knob

TASKS, STEPS, EDGE = 5, 10, 72  # tasks; inner steps; places along an edge of the surface
HALF, BOUND = 3.0, 30.0  # half the edge of what is shown; where inner steps are stopped
WAYS = ("maml", "fomaml", "reptile", "joint")
A, B = 0, 1  # the support set, the query set


@dataclass(frozen=True)
class Ground:
    """Settings of five small tasks and of the place where a visitor stands among them."""

    fast_lr: float = knob(0.4, "inner step size", 0.01, 3.0, symbol=r"\varepsilon", log=True)
    condition: float = knob(
        8.0, "steep over flat", 1.0, 30.0, log=True, help="largest curvature of a task over its smallest; 1 is round"
    )
    bend: float = knob(
        0.1, "quartic term", 0.0, 0.3, step=0.01, symbol="q", help="0: curvatures are the same everywhere"
    )
    apart: float = knob(
        0.4, "A and B apart", 0.0, 1.5, step=0.05, help="distance between the minima of a task's two sets"
    )
    seed: int = knob(1, "which tasks", 0, 999)
    phi_x: float = knob(-2.0, "first weight", -HALF, HALF, step=0.01, symbol=r"\varphi_1", folded=True)
    phi_y: float = knob(1.0, "second weight", -HALF, HALF, step=0.01, symbol=r"\varphi_2", folded=True)

    @property
    def tasks(self) -> "Valleys":
        """The tasks."""
        return valleys(generator(self.seed), self.condition, self.bend, self.apart)

    @property
    def phi(self) -> Tensor:
        """The initial weights: (2,)"""
        return torch.tensor([self.phi_x, self.phi_y], dtype=torch.float64)


@dataclass(frozen=True)
class Config(Ground):
    """The settings of the surface."""


class Frame(NamedTuple):
    """The loss on B after some inner steps on A, over all initial weights, and what is known at those chosen."""

    step: int
    height: np.ndarray  # (72, 72) log10 of the mean loss on B after the steps, rows from low to high second weight
    phi: np.ndarray  # (1, 2) the initial weights chosen
    best: np.ndarray  # (1, 2) those of the lowest loss among the places of the surface
    walks: np.ndarray  # (5, 11, 2) the inner steps of each task; the future is drawn as the present
    lost: np.ndarray  # (5, 2) where a task that has diverged by now first left the plot, NaN for the others
    maml: np.ndarray  # (1, 2) unit vector downhill by each method, NaN where there is none
    fomaml: np.ndarray
    reptile: np.ndarray
    joint: np.ndarray
    turned: np.ndarray  # (4,) angle of each method to MAML in degrees, NaN where there is none
    loss: float  # on B after the steps, mean over tasks, from the weights chosen
    least: float  # the same from the best ones
    middle: float  # the same from where the joint loss of all tasks is lowest
    factor: np.ndarray  # (2,) least and largest eigenvalue of I - eps H_A at the weights chosen, over all tasks
    limit: float  # 2 / largest curvature of A there
    diverged: int  # tasks whose steps have left for good


class Valleys(NamedTuple):
    """A loss of two weights for each set of t tasks: a valley with a quartic term. First index: A, B."""

    centre: Tensor  # (2, t, 2) where it is lowest
    matrix: Tensor  # (2, t, 2, 2) its curvature there
    along: Tensor  # (2, t, 2, 2) two unit vectors, in rows, along which the quartic term grows
    bend: float  # its factor q

    def loss(self, which: int, w: Tensor) -> Tensor:
        """d'Qd/2 + q/4 sum (u'd)^4 with d = w - centre: (..., t, 2) -> (..., t)"""
        d = w - self.centre[which]
        quartic = torch.einsum("tij,...tj->...ti", self.along[which], d).pow(4).sum(-1)
        return torch.einsum("...ti,tij,...tj->...t", d, self.matrix[which], d) / 2 + self.bend / 4 * quartic

    def gradient(self, which: int, w: Tensor) -> Tensor:
        """(..., t, 2) -> (..., t, 2)"""
        d, u = w - self.centre[which], self.along[which]
        cubes = torch.einsum("tij,...tj->...ti", u, d).pow(3)
        return torch.einsum("tij,...tj->...ti", self.matrix[which], d) + self.bend * torch.einsum(
            "...ti,tij->...tj", cubes, u
        )

    def hessian(self, which: int, w: Tensor) -> Tensor:
        """(..., t, 2) -> (..., t, 2, 2)"""
        u = self.along[which]
        squares = torch.einsum("tij,...tj->...ti", u, w - self.centre[which]).square()
        return self.matrix[which] + 3 * self.bend * torch.einsum("...ti,tij,tik->...tjk", squares, u, u)


def valleys(
    rng: torch.Generator, condition: float = 8.0, bend: float = 0.1, apart: float = 0.4, count: int = TASKS
) -> Valleys:
    """Tasks whose valleys lie about the middle, each at its own angle, A and B a little apart. float64, on the CPU."""
    turn, angle, toward = (2 * pi * torch.rand(count, generator=rng, dtype=torch.float64) for _ in range(3))
    reach = 0.8 + 0.9 * torch.rand(count, generator=rng, dtype=torch.float64)
    spin = 0.4 * torch.randn(2, count, generator=rng, dtype=torch.float64)
    around = turn[0] + 2 * pi * torch.arange(count) / count + 0.25 * (angle - pi) / pi
    middle = reach[:, None] * rays(around)
    centre = torch.stack([middle - apart / 2 * rays(toward), middle + apart / 2 * rays(toward)])
    axes = turned(angle + spin)
    curvature = torch.diag(torch.tensor([1.0, 1 / condition], dtype=torch.float64))
    return Valleys(centre, axes.mT @ curvature @ axes, turned(angle + spin + pi / 4), bend)


def rays(angle: Tensor) -> Tensor:
    """Unit vectors: (...) -> (..., 2)"""
    return torch.stack([angle.cos(), angle.sin()], -1)


def turned(angle: Tensor) -> Tensor:
    """Two unit vectors at right angles, in rows: (...) -> (..., 2, 2)"""
    return torch.stack([rays(angle), rays(angle + pi / 2)], -2)


def adapted(tasks: Valleys, w: Tensor, fast_lr: float, which: int = A) -> Tensor:
    """One inner step, stopped at a finite bound: (..., t, 2) -> (..., t, 2)"""
    return (w - fast_lr * tasks.gradient(which, w)).clamp(-BOUND, BOUND)


def walk(tasks: Valleys, phi: Tensor, fast_lr: float, steps: int, sets: tuple[int, ...] = (A,)) -> Tensor:
    """The weights before and after each inner step, on the sets named in turn: (2,) -> (steps + 1, t, 2)"""
    path = [phi.expand(tasks.centre.shape[1], 2)]
    for j in range(steps):
        path.append(adapted(tasks, path[-1], fast_lr, sets[j % len(sets)]))
    return torch.stack(path)


def maml(tasks: Valleys, phi: Tensor, fast_lr: float, steps: int) -> Tensor:
    """The gradient of the mean loss on B after the steps on A (Finn et al., 2017): (2,) -> (2,)

    Backwards through the steps: v becomes (I - eps H_A) v, the last step first.
    """
    path = walk(tasks, phi, fast_lr, steps)
    v = tasks.gradient(B, path[-1])
    for w in path[:-1].flip(0):
        v = v - fast_lr * torch.einsum("tij,tj->ti", tasks.hessian(A, w), v)
    return v.mean(0)


def fomaml(tasks: Valleys, phi: Tensor, fast_lr: float, steps: int) -> Tensor:
    """The mean gradient of the loss on B at the adapted weights: (2,) -> (2,)"""
    return tasks.gradient(B, walk(tasks, phi, fast_lr, steps)[-1]).mean(0)


def reptile(tasks: Valleys, phi: Tensor, fast_lr: float, steps: int) -> Tensor:
    """The mean way back from the weights that steps on A and B in turn lead to, over eps k (Nichol et al., 2018).

    NaN without a step.
    """
    return (phi - walk(tasks, phi, fast_lr, steps, (A, B))[-1]).mean(0) / (fast_lr * steps if steps else nan)


def joint(tasks: Valleys, phi: Tensor, fast_lr: float, steps: int) -> Tensor:
    """The gradient of the mean loss on A and B without any step: (2,) -> (2,)"""
    at = phi.expand(tasks.centre.shape[1], 2)
    return (tasks.gradient(A, at) + tasks.gradient(B, at)).mean(0) / 2


METHODS = {"maml": maml, "fomaml": fomaml, "reptile": reptile, "joint": joint}


def gone(path: Tensor) -> Tensor:
    """The step at which each task's weights have left for good, -1 where they have not: (k, t, 2) -> (t,)"""
    out = (path.abs() >= BOUND).any(-1)
    return torch.where(out.any(0), out.int().argmax(0), -1)


def diverges(cfg: Ground) -> bool:
    """Whether the steps of any task leave for good."""
    return bool((gone(walk(cfg.tasks, cfg.phi, cfg.fast_lr, STEPS)) >= 0).any())


def places() -> Tensor:
    """The places of the surface: (72, 72, 2), the first row at the bottom."""
    along = HALF * ((2 * torch.arange(EDGE, dtype=torch.float64) + 1) / EDGE - 1)
    y, x = torch.meshgrid(along, along, indexing="ij")
    return torch.stack([x, y], -1)


def run(cfg: Config) -> Iterator[Frame]:
    """One inner step a frame: the surface after it, and the methods at the weights chosen."""
    tasks, phi, everywhere = cfg.tasks, cfg.phi, places()
    flat = everywhere.view(-1, 1, 2)
    path = walk(tasks, phi, cfg.fast_lr, STEPS)
    left, facts = gone(path), about(cfg, tasks, phi)
    shown, exits = cut(path, left)
    at, middle = flat.expand(-1, TASKS, 2), None
    for k in range(STEPS + 1):
        loss = tasks.loss(B, at).mean(-1)
        middle = int(joint_loss(tasks, flat).argmin()) if middle is None else middle
        lowest = int(loss.argmin())
        fine = (left < 0) | (left > k)
        yield Frame(
            step=k,
            height=loss.log10().view(EDGE, EDGE).float().numpy(),
            best=everywhere.view(-1, 2)[lowest : lowest + 1].numpy().copy(),
            walks=shown[:, np.minimum(np.arange(STEPS + 1), k)],
            lost=np.where(fine.numpy()[:, None], nan, exits),
            **ways(tasks, phi, cfg.fast_lr, k, bool(fine.all())),
            loss=float(tasks.loss(B, path[k]).mean()),
            least=float(loss[lowest]),
            middle=float(loss[middle]),
            diverged=int((~fine).sum()),
            **facts,
        )
        at = adapted(tasks, at, cfg.fast_lr)


def joint_loss(tasks: Valleys, w: Tensor) -> Tensor:
    """The mean loss on A and B without any step: (..., t or 1, 2) -> (...)"""
    return (tasks.loss(A, w) + tasks.loss(B, w)).mean(-1) / 2


def about(cfg: Ground, tasks: Valleys, phi: Tensor) -> dict:
    """What stays the same over the steps, by its name in Frame."""
    curvatures = torch.linalg.eigvalsh(tasks.hessian(A, phi.expand(TASKS, 2)))
    factors = 1 - cfg.fast_lr * curvatures
    return {
        "phi": phi[None].numpy().copy(),
        "factor": np.array([float(factors.min()), float(factors.max())]),
        "limit": float(2 / curvatures.max()),
    }


def ways(tasks: Valleys, phi: Tensor, fast_lr: float, k: int, fine: bool) -> dict[str, np.ndarray]:
    """The unit vector downhill of each method and its angle to MAML, by their names in Frame.

    Where a task has diverged, only joint training, which takes no step, has one.
    """
    found = {name: unit(method(tasks, phi, fast_lr, k)) for name, method in METHODS.items()}
    down = {name: one if fine or name == "joint" else torch.full_like(one, nan) for name, one in found.items()}
    angles = [degrees(one, down["maml"]) for one in down.values()]
    return {name: -one[None].numpy() for name, one in down.items()} | {"turned": np.array(angles)}


def unit(g: Tensor) -> Tensor:
    """g over its length, NaN where it has none: (2,) -> (2,)"""
    return g / g.norm() if g.norm() > 1e-12 else torch.full_like(g, nan)


def degrees(a: Tensor, b: Tensor) -> float:
    """The angle between two vectors: (2,), (2,)"""
    cross = a[0] * b[1] - a[1] * b[0]
    return float(torch.atan2(cross.abs(), a @ b).rad2deg())


def cut(path: Tensor, left: Tensor) -> tuple[np.ndarray, np.ndarray]:
    """The ways as they are drawn, those that leave for good only as far as the edge of the plot; and where that is.

    (k, t, 2), (t,) -> (t, k, 2), (t, 2), NaN for those that do not leave.
    """
    ways, exits = path.transpose(0, 1).numpy().copy(), np.full((len(left), 2), nan)
    for t in np.flatnonzero(left.numpy() >= 0):
        step = int((abs(ways[t]) > HALF).any(-1).argmax())
        here, there = ways[t, step - 1], ways[t, step]
        share = (HALF - np.sign(there - here) * here) / np.maximum(abs(there - here), 1e-12)
        exits[t] = here + min(share.min(), 1.0) * (there - here)
        ways[t, step:] = exits[t]
    return ways, exits
