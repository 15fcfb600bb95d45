"""The statements of the sheet on episodes, the aim of meta-learning and first-order MAML, put to the test."""

import torch
from torch import Tensor

from engine.claim import Evidence, claim
from engine.device import generator
from engine.maml_adaptation.adapt import adapt, losses
from engine.maml_adaptation.learner import Layers, Learner
from engine.maml_adaptation.learning import FAST_LR, meta_train
from engine.maml_adaptation.meta import Inner, fomaml, inner_loop, maml
from engine.maml_adaptation.sinusoids import Tasks, best_single, sinusoid_tasks

NET = Learner()


def fitted(x: Tensor, y: Tensor) -> Tensor:
    """Amounts of sine and cosine that fit examples best, least squares: (t, n, 2), (t, n, 1) -> (t, 2, 1)"""
    return torch.linalg.lstsq(waves(x), y.double()).solution


def waves(x: Tensor) -> Tensor:
    """Sine and cosine of the inputs: (t, n, 2) -> (t, n, 2)"""
    at = x[..., 0].double()
    return torch.stack([at.sin(), at.cos()], -1)


@claim("ML-1")
def episode() -> Evidence:
    """An episode is one task: what its support set says of the function holds on its query set to rounding, and on no
    other task's. Adapted on one task's examples the weights learn that task; with the examples of all tasks put
    together, “iterating across all sets”, the same steps teach nothing, since the tasks contradict each other.
    """
    tasks = sinusoid_tasks(200, 10, generator(3), query=20)
    found = fitted(tasks.x, tasks.y)
    miss = [
        (waves(tasks.query_x) @ rows - tasks.query_y.double()).square().mean((1, 2))
        for rows in (found, found.roll(1, 0))
    ]
    weights = meta_train("maml", meta_iterations=300)
    before, *_, own = adapt(NET, weights, tasks.x, tasks.y, adaptation_steps=5)
    *_, pooled = adapt(NET, weights, tasks.x.reshape(1, -1, 2), tasks.y.reshape(1, -1, 1), adaptation_steps=5)
    judge = tasks.query_x, tasks.query_y
    first, alone, together = (float(losses(NET, at, *judge).mean()) for at in (before, own, pooled))
    numbers = {
        "query set missed by what fits its own support, worst task": float(miss[0].max()),
        "by what fits another task's support, mean": float(miss[1].mean()),
        "loss on B before any step": first,
        "after five steps on the task's own examples": alone,
        "as printed: after five steps on all tasks' examples": together,
    }
    good = miss[0].max() < 1e-6 and miss[1].mean() > 1 and alone < 0.3 * first and together > 0.9 * first
    return Evidence(bool(good), numbers)


@claim("ML-2")
def objective() -> Evidence:
    """What meta-training lowers is the expected loss after k steps on a new task: on 500 tasks never seen, with one
    step as with three, it falls below a third, the worst of three seeds; before any step the same weights are no
    better than the best single function for all tasks, the mean of the family.
    """
    tasks, numbers, good = sinusoid_tasks(500, 10, generator(4), query=20), {}, True
    seeds = Tasks(*(part.repeat(3, *[1] * (part.ndim - 1)) for part in tasks))
    for k in (1, 3):
        for name, iterations in (("first", 0), ("last", 240)):
            weights = meta_train("maml", meta_iterations=iterations, adaptation_steps=k, meta_batch_size=10, seeds=3)
            start, *_, end = adapt(NET, weights, seeds.x, seeds.y, adaptation_steps=k)
            loss = losses(NET, end, seeds.query_x, seeds.query_y).view(3, -1).mean(1)
            numbers[f"k = {k}: {name}, worst of 3"] = float(loss.max())
        unadapted = losses(NET, start, seeds.query_x, seeds.query_y).view(3, -1).mean(1)
        numbers[f"k = {k}: last, before any step, least of 3"] = float(unadapted.min())
        good &= numbers[f"k = {k}: last, worst of 3"] < numbers[f"k = {k}: first, worst of 3"] / 3
    mean = best_single()
    numbers["one function for all tasks, best"] = mean
    good &= all(value > 0.95 * mean for name, value in numbers.items() if "before any step" in name)
    return Evidence(bool(good), numbers)


def flat(layers: Layers) -> Tensor:
    """(1, i, o) each -> (size,)"""
    return torch.cat([one.flatten() for one in layers])


@claim("ML-5")
def first_order() -> Evidence:
    """First-order MAML is the average of the gradients of L_B at the adapted weights, as automatic differentiation
    gives it there. Its distance from the MAML gradient shrinks with the inner step size to the first power. It is not
    the average gradient at the weights themselves, that of joint training.
    """
    weights = meta_train("maml", meta_iterations=100).double()
    tasks = Tasks(*(part.double() for part in sinusoid_tasks(50, 10, generator(5))))
    start, sizes = NET.layers(weights), [10 ** (-3 - i / 2) for i in range(5)]
    exact = [flat(maml(NET, start, tasks, Inner(e, 1))) for e in sizes]
    first = [flat(fomaml(NET, start, tasks, Inner(e, 1))) for e in sizes]
    joint = averaged(start, tasks, Inner(0.0, 0))
    gap = torch.stack([(a - b).norm() for a, b in zip(first, exact, strict=True)])
    usual = flat(fomaml(NET, start, tasks, Inner(FAST_LR, 1)))
    at = averaged(start, tasks, Inner(FAST_LR, 1))
    error, order = float((usual - at).norm() / at.norm()), slope(sizes, gap)
    numbers = {
        "FOMAML against automatic gradients at the adapted weights": error,
        "slope of |FOMAML - MAML| in ε": order,
        "at ε = 0.01: cosine with the joint gradient": float(torch.cosine_similarity(usual, joint, 0)),
        "difference from it, of its length": float((usual - joint).norm() / joint.norm()),
    }
    other = numbers["difference from it, of its length"]
    return Evidence(error < 1e-6 and abs(order - 1) < 0.05 and other > 0.1, numbers)


def averaged(start: Layers, tasks: Tasks, how: Inner) -> Tensor:
    """The average over tasks of the automatic gradient of L_B at the weights that the inner loop ends with: (size,)"""
    _, at = inner_loop(NET, start, tasks, how)
    at = tuple(one.expand(len(tasks.x), -1, -1).clone().requires_grad_() for one in at)
    loss = (NET(at, tasks.query_x) - tasks.query_y).square().mean((1, 2)).mean()
    return torch.cat([one.sum(0).flatten() for one in torch.autograd.grad(loss, at)])


def slope(sizes: list[float], values: Tensor) -> float:
    """Of log values over log sizes, least squares."""
    x = torch.tensor(sizes).to(values).log()
    x = x - x.mean()
    return float((x * values.log()).sum() / x.square().sum())
