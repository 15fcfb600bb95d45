"""A plane through the weights of a network, the loss on it, and how much of a path it can hold."""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from engine.optimizer_paths.lanczos import top
from engine.optimizer_paths.task import BENDS, LOSSES, Network, Task

CACHED = 1 << 18  # numbers that one layer of a chunk of grid points may hold: they stay in the processor's cache


class Plane(NamedTuple):
    """centre + a along[0] + b along[1]; the directions need not be orthogonal."""

    centre: Tensor  # (size,)
    along: Tensor  # (2, size)

    def at(self, spots: Tensor) -> Tensor:
        """Weights at (a, b): (m, 2) -> (m, size)"""
        return self.centre + spots.to(self.centre) @ self.along


class Shadow(NamedTuple):
    """A path as the plane sees it."""

    spots: Tensor  # (m, 2) where each point falls, the nearest place of the plane
    residual: Tensor  # (m,) how far off the plane it is
    distance: Tensor  # (m,) how far from the centre
    explained: float  # share of the sum of squared distances from the centre that lies in the plane


def shadow(plane: Plane, path: Tensor) -> Shadow:
    """The orthogonal projection of a path (m, size) on the plane."""
    away = (path - plane.centre).double().cpu()
    along = plane.along.double().cpu()
    spots = torch.linalg.lstsq(along.T, away.T).solution.T
    residual, distance = (away - spots @ along).norm(dim=1), away.norm(dim=1)
    total = float(distance.square().sum())
    explained = 1 - float(residual.square().sum()) / total if total else 1.0
    return Shadow(spots, residual, distance, explained)


def random_directions(net: Network, centre: Tensor, rng: torch.Generator) -> Tensor:
    """Two random directions (2, size), each unit's incoming weights as long as the network's own (Li et al. 2018).

    Biases stay where they are.
    """
    drawn = torch.randn(2, net.size, generator=rng).to(centre)
    flat = []
    for mine, own in zip(net.parts(drawn), net.parts(centre[None]), strict=True):
        length = own.norm(dim=2, keepdim=True) / mine.norm(dim=2, keepdim=True).clamp_min(1e-12)
        flat.append((mine * length if mine.shape[2] > 1 else torch.zeros_like(mine)).flatten(1))
    return torch.cat(flat, 1)


def path_directions(path: Tensor) -> Tensor:
    """The two main directions (2, size) of a path (m, size) as seen from its end, each as long as start to end.

    A path that does not move has none; then the first two axes serve.
    """
    away = (path - path[-1]).double()
    _, _, main = torch.linalg.svd(away, full_matrices=False)
    reach = away[0].norm().clamp_min(1e-6)
    sign = torch.sign(main[:2] @ away[0]) + (main[:2] @ away[0] == 0)  # the start lies up and to the right
    if len(main) < 2 or not bool(away.any()):
        return torch.eye(2, path.shape[1], device=path.device, dtype=path.dtype)
    return (main[:2] * sign[:, None] * reach).to(path)


def sharp_directions(task: Task, centre: Tensor, rng: torch.Generator) -> Tensor:
    """The two sharpest directions (2, size), eigenvectors of the Hessian, each as long as the weights."""
    _, vectors = top(task.curvature(centre[None]), task.net.size, 2, rng, like=centre)
    return (vectors * centre.norm()).to(centre)


def losses(task: Task, plane: Plane, xs: Tensor, ys: Tensor) -> Iterator[Tensor]:
    """The loss on a lattice, row by row: for every b of ys (m,) in turn, (len(xs),) losses at all a of xs.

    The first layer is linear in (a, b), so three products serve the whole lattice; the layers above are computed for
    as many points at once as stay in the cache.
    """
    parts = [task.net.parts(v[None].to(plane.centre)) for v in (plane.centre, *plane.along)]
    first = [torch.addmm(bias[0], matrix[0], task.x) for matrix, bias, *_ in parts]  # (width, n) each
    chunk = max(1, CACHED // first[0].numel())
    for b in ys.tolist():
        start = first[0] + b * first[2]
        yield torch.cat([_chunk(task, parts, start, first[1], a, b) for a in xs.to(plane.centre).split(chunk)])


def _chunk(task: Task, parts: list[list[Tensor]], start: Tensor, slope: Tensor, a: Tensor, b: float) -> Tensor:
    """Losses at (a, b) for a few a. Activations are kept as (points, width, n)."""
    a, act = a[:, None, None], BENDS[task.net.activation].of
    z = torch.addcmul(start, a, slope)
    for layer in range(2, len(parts[0]), 2):
        h = z.clamp_(min=0) if task.net.activation == "relu" else act(z)
        matrix, bias = (parts[0][i] + a * parts[1][i] + b * parts[2][i] for i in (layer, layer + 1))
        z = torch.baddbmm(bias, matrix, h)
    return _mean_loss(task, z)


def _mean_loss(task: Task, z: Tensor) -> Tensor:
    """Outputs (points, c, n) -> losses (points,). Cross-entropy, shifted where it could overflow."""
    if task.kind != "cross_entropy":
        return LOSSES[task.kind].of(z, task.y)
    right = (z * task.y).sum(1)
    low, high = z.aminmax()
    if low > -80 and high < 80:
        logs = z.exp_().sum(1).log_()
    else:
        largest = z.amax(1, keepdim=True)
        logs = (z - largest).clamp_(min=-80).exp_().sum(1).log_() + largest[:, 0]
    return (logs - right).mean(1)  # the difference first: both sums are large where the loss is small
