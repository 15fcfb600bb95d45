"""The statements of the sheet on the meta-gradient and on Reptile, put to the test."""

from functools import reduce

import numpy as np
import torch
from torch import Tensor

from engine.claim import Evidence, claim
from engine.device import generator
from engine.maml_adaptation import jacobians, surface, taylor
from engine.maml_adaptation.learner import Learner
from engine.maml_adaptation.meta import Inner, reptile
from engine.maml_adaptation.sinusoids import Tasks, sinusoid_tasks
from engine.maml_adaptation.surface import A, B

NET = Learner((1, 8, 8, 1))
STEP, CLOSE = 0.05, 1e-10  # inner step size of the network; relative error of sums in another order


def episodes(count: int) -> tuple[Tensor, Tasks]:
    """Weights of a small network and sinusoids to adapt it to, float64: (size,)"""
    tasks = sinusoid_tasks(count, 10, generator(7))
    return NET.init(1, generator(6))[0].double(), Tasks(*(part.double() for part in tasks))


def loss(weights: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Mean squared error of one task: (size,), (n, 2), (n, 1) -> ()"""
    return (NET(NET.layers(weights[None]), x[None]) - y[None]).square().mean()


def step(weights: Tensor, x: Tensor, y: Tensor, keep: bool = False) -> Tensor:
    """An inner step, by automatic gradients; `keep` lets one go back through it: (size,) -> (size,)"""
    at = weights if keep else weights.detach().requires_grad_()
    return at - STEP * torch.autograd.grad(loss(at, x, y), at, create_graph=keep)[0]


def through(weights: Tensor, inner: tuple[Tensor, Tensor], outer: tuple[Tensor, Tensor], k: int) -> Tensor:
    """The gradient of the outer loss after k steps on the inner, by automatic differentiation through them."""
    start = weights.clone().requires_grad_()
    at = start
    for _ in range(k):
        at = step(at, *inner, keep=True)
    return torch.autograd.grad(loss(at, *outer), start)[0]


def factor(weights: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """I - eps H, with the Hessian by automatic differentiation twice: (size,) -> (size, size)"""
    hessian = torch.autograd.functional.hessian(lambda w: loss(w, x, y), weights)
    assert isinstance(hessian, Tensor)
    return torch.eye(len(weights)).to(weights) - STEP * hessian


def chain(weights: Tensor, inner: tuple[Tensor, Tensor], k: int) -> list[Tensor]:
    """The weights before and after each of k steps."""
    places = [weights]
    for _ in range(k):
        places.append(step(places[-1], *inner).detach())
    return places


def apart(a: Tensor, b: Tensor) -> float:
    """Length of the difference, over that of b."""
    return float((a - b).norm() / b.norm())


@claim("ML-3")
def jacobian_order() -> Evidence:
    """With A inside and B outside, the meta-gradient is the transposed Jacobian of the inner steps times the gradient
    of B at the adapted weights: the product of the I - εH_A of all steps with the first step's factor on the left. It
    is what automatic differentiation through 1 to 5 steps gives, for a network with its whole Hessians and for two
    weights. The factors are symmetric but do not commute: from two steps on, the untransposed product is another.
    """
    weights, tasks = episodes(1)
    inner, outer = (tasks.x[0], tasks.y[0]), (tasks.query_x[0], tasks.query_y[0])
    places, worst, other = chain(weights, inner, 5), 0.0, {}
    factors = [factor(place, *inner) for place in places[:-1]]
    for k in range(1, 6):
        exact, end = through(weights, inner, outer, k), places[k].clone().requires_grad_()
        (v,) = torch.autograd.grad(loss(end, *outer), end)
        worst = max(worst, apart(reduce(torch.matmul, factors[:k]) @ v, exact))
        other[f"untransposed, k = {k}: off by"] = apart(reduce(torch.matmul, factors[:k]).T @ v, exact)
    small = max(f.error for task in range(1, 6) for f in jacobians.run(jacobians.Config(task=task)) if 1 <= f.step <= 5)
    numbers = {"network: product against autograd, worst of k = 1 to 5": worst, "two weights, worst": small} | other
    once, *more = other.values()
    return Evidence(max(worst, small) < CLOSE and once < CLOSE and min(more) > 1e-3, numbers)


@claim("ML-4")
def inner_on_support() -> Evidence:
    """The inner step uses the gradient on A: the meta-gradient of one step is (I - εH_A) ∇L_B at the weights that the
    step on A leads to, as automatic differentiation gives it. With B inside, as the sheet prints, it is another
    gradient: off by more than a tenth of its length, for a network and for two weights, averaged over tasks.
    """
    weights, tasks = episodes(8)
    right, exact, printed = [], [], []
    for x, y, *outer in zip(tasks.x, tasks.y, tasks.query_x, tasks.query_y, strict=True):
        judge = (outer[0], outer[1])
        end = step(weights, x, y).detach().requires_grad_()
        right.append(factor(weights, x, y) @ torch.autograd.grad(loss(end, *judge), end)[0])
        exact.append(through(weights, (x, y), judge, 1))
        printed.append(through(weights, judge, judge, 1))
    ground = surface.Config()
    small = [jacobians.through(ground.tasks, ground.phi, ground.fast_lr, 1, inner) for inner in (A, B)]
    formula = surface.maml(ground.tasks, ground.phi, ground.fast_lr, 1)
    numbers = {
        "network: (I - εH_A) ∇L_B against autograd": apart(mean(right), mean(exact)),
        "two weights": apart(formula, small[0].mean(0)),
        "as printed, B inside: network, off by": apart(mean(printed), mean(exact)),
        "as printed, B inside: two weights, off by": apart(small[1].mean(0), small[0].mean(0)),
    }
    first, second, *wrong = numbers.values()
    return Evidence(max(first, second) < CLOSE and min(wrong) > 0.1, numbers)


def mean(vectors: list[Tensor]) -> Tensor:
    """Of vectors: (size,) each -> (size,)"""
    return torch.stack(vectors).mean(0)


@claim("ML-6")
def reptile_terms() -> Evidence:
    """One step of Reptile is SGD on the average loss of the tasks, to rounding. After k minibatches in a row, the mean
    gradient of each method is c₁ times the mean gradient and c₂ α times the term that makes minibatches agree: MAML
    (1, -2α), FOMAML (1, -α) and Reptile (2, -α) for k = 2, by least squares on a smooth network's gradients, averaged
    over every order of the minibatches, the worst of three seeds; for k = 3 and 4 as theory has it. What is left falls
    with the square of α.
    """
    weights, tasks = episodes(20)
    way = torch.cat([one.flatten() for one in reptile(NET, NET.layers(weights[None]), tasks, Inner(STEP, 1))])
    at = weights.clone().requires_grad_()
    every = torch.stack([loss(at, x, y) for x, y in zip(tasks.x, tasks.y, strict=True)])
    once = apart(way, torch.autograd.grad(every.mean(), at)[0])
    found = {(k, seed): amounts(k, seed) for k in (2, 3, 4) for seed in range(3)}
    off = {one: float(abs(table / taylor.theory(one[0]) - 1).max()) for one, table in found.items()}
    seed = max(range(3), key=lambda one: off[2, one])
    names = (f"k = 2: {name}, {term}" for name in ("MAML", "FOMAML", "Reptile") for term in ("c₁", "c₂"))
    order = [f.order[:3] for f in taylor.run(taylor.Config(longest=1e-3))][-1]
    numbers = {
        "k = 1: Reptile's way against SGD's": once,
        **dict(zip(names, found[2, seed].ravel().tolist(), strict=True)),
        "k = 2 to 4: share off theory, worst": max(off.values()),
        "slope of what is left in α, least": float(order.min()),
    }
    return Evidence(once < CLOSE and max(off.values()) < 0.02 and abs(order - 2).max() < 0.05, numbers)


def amounts(k: int, seed: int, alpha: float = 2e-5) -> np.ndarray:
    """What least squares finds of both terms in the methods' gradients: (3, 2)"""
    found, columns = taylor.expansion(taylor.Config(adaptation_steps=k, seed=seed)).at(alpha)
    return taylor.fitted(columns, found)
