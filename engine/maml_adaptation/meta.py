"""Ways to learn initial weights: MAML, first-order MAML, Reptile, ANIL, and joint training of all tasks as one."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from engine.maml_adaptation.learner import (
    Layers,
    Learner,
    Pass,
    back,
    descended,
    gradient,
    kink,
    outer,
    product,
    pulled,
    spread,
    together,
)
from engine.maml_adaptation.sinusoids import Tasks

LONGEST, BETAS = 10.0, (0.9, 0.98)  # of a meta-gradient; memories of the outer rule


class Inner(NamedTuple):
    """The inner loop: `adaptation_steps` steps of gradient descent of size `fast_lr` on one task's support set."""

    fast_lr: float = 0.01
    adaptation_steps: int = 1


def inner_loop(net: Learner, start: Layers, tasks: Tasks, how: Inner) -> tuple[list[tuple[Layers, Pass]], Layers]:
    """Adapt all weights: those before each step with their pass, and those after the last one, (t, i, o) each."""
    trace, at = [], start
    for _ in range(how.adaptation_steps):
        trace.append((at, net.passed(at, tasks.x, tasks.y)))
        at = descended(at, trace[-1][1], how.fast_lr)
    return trace, at


def maml(net: Learner, start: Layers, tasks: Tasks, how: Inner) -> Layers:
    """The gradient of the query loss after adaptation in the first weights (Finn et al., 2017).

    Backwards through every inner step: v ← (I - ε H_A) v, beginning with v = ∇L_B at the adapted weights.
    """
    trace, at = inner_loop(net, start, tasks, how)
    v = gradient(judged(net, start, at, tasks), len(at[0]))
    for layers, seen in reversed(trace):
        v = pulled(layers, seen, v, how.fast_lr)
    return v


def fomaml(net: Learner, start: Layers, tasks: Tasks, how: Inner) -> Layers:
    """The gradient of the query loss at the adapted weights, taken as the gradient in the first ones."""
    _, at = inner_loop(net, start, tasks, how)
    return together(gradient(judged(net, start, at, tasks), len(at[0])), len(start[0]))


def reptile(net: Learner, start: Layers, tasks: Tasks, how: Inner) -> Layers:
    """The mean way back from the adapted weights to the first ones, over ε k (Nichol et al., 2018).

    It judges nothing: its inner steps take A and B in turn, two batches of the same task.
    """
    at, s, t = start, len(start[0]), len(tasks.x)
    for k in range(how.adaptation_steps):
        batch = tasks.mixed_up() if k % 2 else tasks
        at = descended(at, net.passed(at, batch.x, batch.y), how.fast_lr)
    scale = 1 / (how.fast_lr * how.adaptation_steps)
    return tuple((w - together((one,), s)[0] * (s / t)) * scale for w, one in zip(start, at, strict=True))


def anil(net: Learner, start: Layers, tasks: Tasks, how: Inner) -> Layers:
    """MAML whose inner steps change only the last layer (Raghu et al., 2020). The outer gradient is in all weights."""
    s, t = len(start[0]), len(tasks.x)
    seen, heads, errors = head_loop(net, start, tasks, how)
    outcome = judged(net, start, (*start[:-1], heads[-1]), tasks)
    *body, _ = gradient(outcome, s)
    v, features = outer(outcome.inputs[-1], outcome.slopes[-1], t), seen.inputs[-1]
    turn = torch.zeros_like(features)
    for head, error in zip(heads[-2::-1], reversed(errors), strict=True):
        nudge = seen.twice * product(features, v)
        turn = product(nudge, head.transpose(1, 2), product(error, v.transpose(1, 2), turn))
        v = outer(features, nudge, t, v, -how.fast_lr)
    turns = back(start[:-1], kink(turn, seen.sums[-1], 0), seen.sums[:-1])
    bent = [outer(h, d, s, one, -how.fast_lr) for h, d, one in zip(seen.inputs, turns, body, strict=False)]
    return *bent, *together((v,), s)


def head_loop(net: Learner, start: Layers, tasks: Tasks, how: Inner) -> tuple[Pass, list[Tensor], list[Tensor]]:
    """Adapt the last layer alone: the first pass, the matrices (t, i, o) before and after each step, the errors."""
    seen, t = net.passed(start, tasks.x, tasks.y), len(tasks.x)
    heads, errors = list(spread(start[-1:], t)), []
    for _ in range(how.adaptation_steps):
        errors.append(seen.twice * (product(seen.inputs[-1], heads[-1]) - tasks.y))
        heads.append(outer(seen.inputs[-1], errors[-1], t, heads[-1], -how.fast_lr))
    return seen, heads, errors


def joint(net: Learner, start: Layers, tasks: Tasks, how: Inner) -> Layers:
    """The gradient at the first weights of the loss on A and B: training on all tasks as if they were one."""
    x, y = torch.cat([tasks.x, tasks.query_x], 1), torch.cat([tasks.y, tasks.query_y], 1)
    return gradient(net.passed(start, x, y, len(start[0]) / len(x)), len(start[0]))


def nothing(net: Learner, start: Layers, tasks: Tasks, how: Inner) -> Layers:
    """No gradient: random weights stay random."""
    return tuple(torch.zeros_like(one) for one in start)


def judged(net: Learner, start: Layers, at: Layers, tasks: Tasks) -> Pass:
    """The pass of adapted weights through the query set, for the mean of the tasks' losses."""
    return net.passed(at, tasks.query_x, tasks.query_y, len(start[0]) / len(tasks.x))


class Method(NamedTuple):
    """A way to learn initial weights."""

    label: str
    gradient: Callable[[Learner, Layers, Tasks, Inner], Layers]
    passes: Callable[[int], float]  # forward and backward passes through K examples, for k inner steps
    head_only: bool = False  # whether it adapts only the last layer


METHODS = {
    "maml": Method("MAML", maml, lambda k: 3 * k + 1),  # a Hessian-vector product costs two passes
    "fomaml": Method("FOMAML", fomaml, lambda k: k + 1),
    "reptile": Method("Reptile", reptile, lambda k: k),
    "anil": Method("ANIL", anil, lambda k: 2, True),  # the features are computed once
    "joint": Method("joint", joint, lambda k: 2),
    "random": Method("random", nothing, lambda k: 0),
}


class Adam:
    """The outer step on weight vectors (s, size), each on its own, slopes cut to length 10 (Kingma and Ba, 2015)."""

    def __init__(self, weights: Tensor, meta_lr: float) -> None:
        self.weights, self.meta_lr, self.step = weights, meta_lr, 0
        self.mean, self.square = torch.zeros_like(weights), torch.zeros_like(weights)

    def __call__(self, slope: Tensor, share: float = 1.0) -> None:
        """Along a meta-gradient (s, size), by `share` of the outer step size."""
        self.step += 1
        slope = slope * (LONGEST / slope.norm(dim=1, keepdim=True).clamp_min(1e-12)).clamp_max(1)
        first, second = BETAS
        self.mean.lerp_(slope, 1 - first)
        self.square.mul_(second).addcmul_(slope, slope, value=1 - second)
        scale = (1 - second**self.step) ** 0.5
        rate = share * self.meta_lr * scale / (1 - first**self.step)
        self.weights = self.weights.addcdiv(self.mean, self.square.sqrt().add_(1e-8 * scale), value=-rate)


def meta_step(net: Learner, method: str, rule: Adam, tasks: Tasks, how: Inner, share: float = 1.0) -> None:
    """One meta-iteration of a method."""
    slopes = METHODS[method].gradient(net, net.layers(rule.weights), tasks, how)
    rule(torch.cat([one.flatten(1) for one in slopes], 1), share)
