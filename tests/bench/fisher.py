"""The exact Fisher in closed form against a loop of automatic differentiation; projection, winners and the cosine."""

import time
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from engine.device import DEVICE, generator
from engine.forgetting_curves import fisher, interference, room, winners
from engine.forgetting_curves.pair import batch, descend, numerals, pair, slope
from engine.forgetting_curves.room_claims import at_full_rank, learnt
from engine.forgetting_curves.subspace import kept, project, rank
from engine.nets import Networks
from tests.bench.row import Row, row

SEEDS, EXAMPLES = 4, 200
DIAGONAL, FULL, SMALL = Networks((64, 100, 100, 10)), Networks((64, 16, 10)), Networks((64, 8, 10))


def looped(net: Networks, weights: Tensor, x: Tensor, whole: bool) -> Tensor:
    """The same matrix, or its diagonal, by one backward pass for every example and class. weights: (1, size)"""
    size = (net.size, net.size) if whole else (net.size,)
    found = torch.zeros(size, dtype=weights.dtype, device=weights.device)
    for i in range(x.shape[1]):
        at = weights[0].clone().requires_grad_()
        log_p = net(at[None], x[:, i : i + 1])[0, 0].log_softmax(0)
        for one in log_p:
            g = torch.autograd.grad(one, at, retain_graph=True)[0]
            found += one.exp().detach() * (torch.outer(g, g) if whole else g.square())
    return found / x.shape[1]


def timed(work: Callable[[], Tensor], times: int = 1) -> tuple[float, Tensor]:
    """Seconds of a call, and what it gave; the fastest of some."""
    best, found = float("inf"), torch.empty(0)
    for _ in range(times):
        start = time.perf_counter()
        found = work()
        best = min(best, time.perf_counter() - start)
    return best, found


def trained(net: Networks, seed: int) -> Tensor:
    """A network after 100 steps on digits: (1, size) float64"""
    rng = generator(seed)
    return descend(net, net.init(1, rng), numerals(), 100, rng, step_size=0.1).double()


def matrices() -> Sequence[Row]:
    """Speed of the diagonal and of the whole matrix, and how far they are from the loop and from the Hessian."""
    x, rows = numerals().x[None, :EXAMPLES].double(), []
    for name, net, whole in (("diagonal, 64-100-100-10", DIAGONAL, False), ("whole, 64-16-10", FULL, True)):
        faster, apart = [], []
        for seed in range(SEEDS):
            weights = trained(net, seed)
            call = fisher.full if whole else fisher.exact
            call(net, weights, x)  # warm
            seconds, found = timed(lambda weights=weights, net=net, call=call: call(net, weights, x), 5)
            loop, true = timed(lambda weights=weights, net=net, whole=whole: looped(net, weights, x, whole))
            faster.append(loop / seconds)
            apart.append(float((found.squeeze() - true).abs().max()))
        rows += [row("fisher", f"{name}: times faster than a loop", "x", faster)]
        rows += [row("fisher", f"{name}: largest difference to it", "", apart)]
    return [*rows, row("fisher", "whole, 64-8-10: largest |F - Hessian of the KL|", "", [hessian(s) for s in range(2)])]


def hessian(seed: int) -> float:
    """The largest difference between F and the Hessian by automatic differentiation."""
    weights, x = trained(SMALL, seed), numerals().x[None, :40].double()
    found = torch.autograd.functional.hessian(lambda v: fisher.divergence(SMALL, weights, v[None], x)[0], weights[0])
    true = torch.as_tensor(found)
    return float((fisher.full(SMALL, weights, x) - true).abs().max())


def projection() -> Sequence[Row]:
    """Old outputs under exact projection in double and in single precision, and the new task's accuracy."""
    changes: dict[str, list[float]] = {"float64": [], "float32": []}
    right = []
    for seed in range(SEEDS):
        tasks, on = pair("permuted", 90.0, seed), room.start("permuted", 20, 100, seed)
        for name, dtype in (("float64", torch.float64), ("float32", torch.float32)):
            bases = [kept(span, rank(span.energy, 1.0)).to(dtype) for span in on.spans]
            start, rng = on.weights.to(dtype), generator(seed)
            weights, stored = start, on.stored[None].to(dtype)
            for _ in range(300):
                x, y = batch(tasks.new, 32, rng)
                weights = weights - 0.1 * project(on.net, slope(on.net, weights, x.to(dtype), y)[1], bases)
            changes[name].append(float((on.net(weights, stored) - on.net(start, stored)).abs().max()))
            if name == "float64":
                read = on.net(weights, tasks.new.test_x[None].double()).argmax(-1) == tasks.new.test_y
                right += (100 * read.float().mean(1)).tolist()
    rows = [row("projection", f"largest change of an old output, {name}", "logit", v) for name, v in changes.items()]
    rows.append(row("projection", "new task read right", "%", right))
    return [*rows, row("projection", "update at full rank over the plain one", "", [at_full_rank()])]


def few() -> Sequence[Row]:
    """Winners counted, directions in use, and overlap with and without dropout."""
    h = torch.randn(200, winners.UNITS, generator=generator(0)).to(DEVICE)
    counts = [float((winners.winners(h, k) != 0).sum(-1).ne(k).sum()) for k in (1, 5, 20, 100, winners.UNITS)]
    relu, five = learnt(winners.UNITS), learnt(5)
    falls, lost = [], []
    for seed in range(SEEDS):
        *_, last = winners.run(winners.Config(seed=seed), looks=False)
        falls.append(float(last.overlap[0, 1] / last.overlap[3, 1]))
        lost.append(float(last.forgotten[0, 1] - last.forgotten[3, 1]))
    return [
        row("winners", "examples with another number than k", "", counts),
        row("winners", "directions for 95 % about the mean, ReLU over 5 winners", "x", [relu[0] / five[0]]),
        row("winners", "about 0", "x", [relu[1] / five[1]]),
        row("winners", "for 99 % about 0", "x", [relu[2] / five[2]]),
        row("winners", "overlap without dropout over that with alpha = 2", "x", falls),
        row("winners", "forgotten less with it", "points", lost),
    ]


def forecasts() -> Sequence[Row]:
    """Share of small steps that change the old loss to the foretold side, and the slope of effect over forecast."""
    signs, lines = [], []
    for seed in range(SEEDS):
        x, y = [], []
        for data, angle in ((d, a) for d in interference.KINDS for a in (20.0, 70.0, 120.0, 180.0)):
            cfg, tasks = interference.Config(data=data, seed=seed), pair(data, angle, seed, interference.MOST)
            weights = interference.begun(cfg, tasks)
            for _ in range(20):
                now = interference.take(interference.NETS[data], weights, tasks, 1e-4)
                x.append(now.predicted / now.unit)
                y.append(now.actual / now.unit)
                weights = interference.take(interference.NETS[data], weights, tasks, 0.05).weights
        forecast, actual = torch.cat(x), torch.cat(y)
        signs.append(float(100 * (forecast * actual > 0).double().mean()))
        lines.append(float((forecast * actual).sum() / forecast.square().sum()))
    return [row("cosine", "side foretold", "%", signs), row("cosine", "slope of effect over forecast", "", lines)]


BENCHES: dict[str, Callable[[], Sequence[Row]]] = {
    "fisher": matrices, "projection": projection, "winners": few, "cosine": forecasts,
}  # fmt: skip
