"""The statements of the sheet on projected gradients and on few active units, put to the test on real digits."""

from functools import cache

import torch

from engine.claim import Evidence, claim
from engine.device import DEVICE, generator
from engine.forgetting_curves import room, winners
from engine.forgetting_curves.pair import accuracy, batch, gradient, numerals, pair
from engine.forgetting_curves.subspace import kept, project, rank, spans
from engine.nets import Networks


@claim("CL-7")
def null_space() -> Evidence:
    """With gradients projected off the span of the inputs that each layer saw, the old outputs stay, and so does the
    old accuracy, while the new task is learned in the room left; where the span is full, no update is left.
    """
    tasks, rng = pair("permuted", 90.0, 0), generator(0)
    on = room.start("permuted", 20, 100, 0)
    bases = [kept(span, rank(span.energy, 1.0)) for span in on.spans]
    old, new, weights = room.cast(tasks.old), room.cast(tasks.new), on.weights
    stored = old._replace(test_x=old.x[:20], test_y=old.y[:20])
    before = accuracy(on.net, weights, stored)
    for _ in range(200):
        weights = weights - 0.1 * project(on.net, gradient(on.net, weights, *batch(new, 32, rng)), bases)
    change = (on.net(weights, on.stored[None]) - on.outputs).abs().max()
    numbers = {
        "largest change of an old output, 200 steps": float(change),
        "accuracy on the old examples, change": float((accuracy(on.net, weights, stored) - before).abs().max()),
        "new task read right, before": float(accuracy(on.net, on.weights, new).mean()),
        "after": float(accuracy(on.net, weights, new).mean()),
        "update at full rank over the plain one": at_full_rank(),
    }
    still = change <= 1e-5 and numbers["accuracy on the old examples, change"] <= 1e-3
    learns = numbers["after"] > 0.9 > 0.3 > numbers["new task read right, before"]
    return Evidence(bool(still and learns and numbers["update at full rank over the plain one"] < 1e-9), numbers)


def at_full_rank() -> float:
    """How long the projected update is when every layer's inputs span all there is, over the plain one."""
    rng, net = generator(4), Networks((12, 10, 5))
    weights = net.init(1, rng).double()
    for bias in net.parts(weights)[1::2]:
        bias += 0.5  # so that every unit is active on some example
    x = torch.randn(1, 200, 12, generator=rng, dtype=torch.float64).to(DEVICE)
    found = spans(net, weights, x)
    g = gradient(net, weights, x, torch.randint(5, (1, 200), generator=rng).to(DEVICE))
    left = project(net, g, [kept(span, rank(span.energy, 1.0)) for span in found])
    return float(left.norm() / g.norm())


@claim("CL-8")
def winners_take_all() -> Evidence:
    """Exactly k activations are left, the largest ones. The activations of a task then need fewer directions about
    their mean, less than half as many for 5 winners of 300 as with ReLU; counted about 0 it takes 99 % to see it.
    """
    h = torch.randn(2, 50, winners.UNITS, generator=generator(0))
    exact = all(bool(((winners.winners(h, k) != 0).sum(-1) == k).all()) for k in (1, 5, 20, winners.UNITS))
    largest = float(winners.winners(h, 5).sum() - h.topk(5).values.sum())
    found = {k: learnt(k) for k in (5, winners.UNITS)}
    relu, few = (found[k] for k in (winners.UNITS, 5))
    numbers = {
        "share of examples with exactly k": float(exact),
        "directions for 95 % about the mean: ReLU": relu[0],
        "5 winners": few[0],
        "for 95 % about 0: ReLU": relu[1],
        "5 winners ": few[1],
        "for 99 % about 0: ReLU": relu[2],
        " 5 winners": few[2],
    }
    return Evidence(exact and abs(largest) < 1e-3 and relu[0] >= 2 * few[0] and relu[2] >= 2 * few[2], numbers)


@cache
def learnt(k: int) -> tuple[float, float, float]:
    """Directions for 95 % about the mean, 95 % and 99 % about 0: means of two trained networks, on test digits."""
    net, rng, task = winners.Winners((k,)), generator(0), numerals()
    weights = winners.NET.init(winners.SEEDS, rng)
    for _ in range(400):
        weights = net.step(weights, *batch(task, 32, rng), None)
    h = net.look(weights, task.test_x, task.test_y)[2]
    about_mean = float(winners.components(h).float().mean())
    energy = torch.linalg.svdvals(h).square()
    energy = energy / energy.sum(1, keepdim=True)
    about_zero = [float(rank(energy, share).float().mean()) for share in (0.95, 0.99)]
    return about_mean, about_zero[0], about_zero[1]


@cache
def swept(sweep: str, alpha: float, data: str) -> winners.Frame:
    """The last frame of a sweep."""
    *_, last = winners.run(winners.Config(data, sweep, alpha=alpha), looks=False)
    return last


@claim("CL-9")
def heterogeneous_dropout() -> Evidence:
    """Keeping unit j with probability exp(-alpha a_j / max a) makes the new task train units that the old one used
    little: the overlap falls to less than a half, and less is forgotten.
    """
    last = swept("alpha", 4.0, "rotated")
    shared, lost = last.overlap[:, 1] / 100, last.forgotten[:, 1] / 100
    frequency = torch.tensor([[0.0, 0.2, 0.8]])
    chance = winners.keep(frequency, torch.tensor([2.0]))[0]
    numbers = {
        "overlap, no dropout": float(shared[0]),
        "overlap, α = 1": float(shared[2]),
        "overlap, α = 4": float(shared[4]),
        "forgotten, no dropout": float(lost[0]),
        "forgotten, α = 1": float(lost[2]),
        "forgotten, α = 4": float(lost[4]),
        "chance of an unused unit, α = 2": float(chance[0]),
        "of the most used one": float(chance[2]),
    }
    return Evidence(bool(shared[0] >= 2 * shared[2] and shared[2] > shared[4] and lost[0] > lost[2] > lost[4]), numbers)


@claim("CL-10")
def overlap_is_not_all() -> Evidence:
    """Where dropout moves the new task to other units, less overlap goes with less forgetting, and the strongest
    dropout costs accuracy on the new task. Where only the number of winners falls, less overlap goes with more.
    """
    dropout, fewer = swept("alpha", 4.0, "rotated"), swept("k", 0.0, "permuted")
    numbers = {
        "Spearman, dropout swept": dropout.together,
        "Spearman, winners swept": fewer.together,
        "dropout: forgotten at 0": float(dropout.forgotten[0, 1]) / 100,
        "forgotten at the strongest": float(dropout.forgotten[-1, 1]) / 100,
        "new task, no dropout": float(dropout.new[0, 1]) / 100,
        "new task, strongest": float(dropout.new[-1, 1]) / 100,
        "winners: overlap, 5": float(fewer.overlap[0, 1]) / 100,
        "overlap, all 300": float(fewer.overlap[-1, 1]) / 100,
        "forgotten, 5": float(fewer.forgotten[0, 1]) / 100,
        "forgotten, all 300": float(fewer.forgotten[-1, 1]) / 100,
    }
    price = numbers["new task, no dropout"] - numbers["new task, strongest"]
    return Evidence(dropout.together >= 0.7 and fewer.together < 0 and price > 0.02, numbers)
