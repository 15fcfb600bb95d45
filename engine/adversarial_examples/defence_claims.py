"""The statements of the sheet on poisoning and adversarial training, put to the test on points and real digits."""

from functools import cache

import numpy as np
import torch
from torch import Tensor

from engine.adversarial_examples import backdoor, danskin, defend, frontier, poison
from engine.adversarial_examples.training import Adversary, Problem, accuracy, attacked, cross_entropy, robust
from engine.claim import Evidence, claim
from engine.device import DEVICE, generator

EPS = 0.15  # radius on digits, of the training and of the attack


@claim("POI-1")
def two_kinds_of_poison() -> Evidence:
    """A backdoor in 5 % of the training digits leaves the accuracy on clean ones and is obeyed by at least 90 % of the
    others; random label flips make the accuracy on clean points fall, the more the lower (mean of twelve draws).
    """
    *_, last = backdoor.run(backdoor.Config(steps=200))
    curves = {
        learner: [f.mean for f in poison.run(poison.Config(learner=learner, share=0.5))][::4]
        for learner in ("logistic", "kernel")
    }
    rise = max(float(np.diff(curve).max()) for curve in curves.values())
    numbers = {
        "backdoor, 5 %: clean accuracy lost": last.drop,
        "backdoor, 5 %: sign obeyed, least of three": last.success_low,
        "without poison: sign read as the target": float(last.curve_success[0, 1]) / 100,
        "flips, kernel ridge: accuracy at 0": curves["kernel"][0],
        "flips, kernel ridge: at 25 %": curves["kernel"][5],
        "flips, kernel ridge: at 50 %": curves["kernel"][10],
        "largest rise for 5 % more flips, both learners": rise,
    }
    return Evidence(last.drop <= 0.01 and last.success_low >= 0.9 and rise <= 0.005, numbers)


@cache
def fought(steps: int = 200) -> Tensor:
    """Three plain and three adversarially trained networks for digits: (6, size)"""
    *_, (_, weights) = defend.training(defend.Config(data="digits", eps_train=EPS, steps=steps))
    return weights


@claim("AT-1")
def saddle_point() -> Evidence:
    """Networks trained at the worst perturbation of each digit keep at least 30 points more accuracy under an attack
    of the same radius, PGD-40 on the margin, and lose little on clean digits.
    """
    seen, weights = defend.load("digits", 0), fought()
    attack = Adversary(torch.full((6, 1, 1), EPS, device=DEVICE), 40, 0.1)
    clean = accuracy(seen.net, weights, seen.test, seen.labels).view(2, -1).mean(1).tolist()
    held = robust(seen.net, weights, seen.test, seen.labels, attack, generator(0)).view(2, -1)
    gain = float((held[1].min() - held[0].max()).cpu())
    numbers = {
        "under attack: plain": float(held[0].mean()),
        "under attack: trained against it": float(held[1].mean()),
        "gain, worst pair of seeds": gain,
        "clean: plain": clean[0],
        "clean: trained against it": clean[1],
    }
    return Evidence(gain >= 0.3 and clean[0] - clean[1] < 0.05, numbers)


@claim("AT-2")
def danskin_theorem() -> Evidence:
    """At the exact maximiser the gradient of the loss is that of the maximum, measured by finite differences, on a
    linear model and on a network. Fewer inner steps make the error larger, and at a tie there are two slopes.
    """
    exact, printed, errors = [], [], []
    for seed in range(3):
        for kind in ("linear", "network"):
            frames = list(danskin.run(danskin.Config(problem=kind, seed=seed)))
            exact.append(frames[-1].exact_error)
            printed.append(frames[-1].printed_error)
            errors.append([frames[step].error for step in (0, 3, 10, 30)])
    tie = next(danskin.run(danskin.Config(problem="tie", norm="linf")))
    cut = np.median(errors, 0)
    numbers = {
        "error at the exact maximiser, largest of 6": max(exact),
        "after 30 inner steps, median": float(cut[3]),
        "after 10": float(cut[2]),
        "after 3": float(cut[1]),
        "after none": float(cut[0]),
        "as printed, at δ* alone: least error": min(printed),
        "at a tie: right slope less left": tie.right - tie.left,
    }
    ordered = bool((np.diff(cut) < 0).all())
    return Evidence(max(exact) <= 1e-6 and min(printed) > 0.1 and ordered and tie.right - tie.left > 0.1, numbers)


@claim("AT-3")
def mean_gradient() -> Evidence:
    """The sum of the examples' gradients, each taken alone, divided by the batch size is the gradient of the mean loss;
    so a batch laid twice gives the same step, where the sum without the division is twice as long.
    """
    seen, weights = defend.load("digits", 0), fought()[-1:].double()
    x, y = seen.x[None, :32].double(), seen.y[None, :32]
    on = Problem(seen.net, x, y, Adversary(torch.full((1, 1, 1), EPS, device=DEVICE).double()), 0.0, generator(0))
    worst = attacked(on, weights)
    mean = slope(on, weights, worst, y) / 32
    alone = sum((slope(on, weights, worst[:, i : i + 1], y[:, i : i + 1]) for i in range(32)), torch.zeros_like(mean))
    twice = slope(on, weights, worst.repeat(1, 2, 1), y.repeat(1, 2))
    size = float(mean.norm())
    numbers = {
        "sum / B against the gradient of the mean": float((alone / 32 - mean).norm()) / size,
        "the same with the batch laid twice": float((twice / 64 - mean).norm()) / size,
        "length of the undivided sum, batch laid twice over once": float(twice.norm()) / (32 * size),
    }
    good = numbers["sum / B against the gradient of the mean"] < 1e-10
    return Evidence(good and numbers["the same with the batch laid twice"] < 1e-10, numbers)


def slope(on: Problem, weights: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """The gradient in the weights of the loss summed over examples: (1, size)"""
    at = weights.clone().requires_grad_()
    return torch.autograd.grad(cross_entropy(on.net(at, x), y).sum(), at)[0]


@claim("AT-4")
def mixture() -> Evidence:
    """As the share a of clean examples goes from 0 to 1, accuracy under attack falls and clean accuracy rises, up to a
    point of noise for each eighth; nearly all of the robustness is gone only without any attacked examples.
    """
    cfg = frontier.Config(sweep="a", most=EPS, eps=EPS)
    *_, (step, weights) = frontier.training(cfg)
    last = frontier.look(cfg, weights, step, 1000)
    clean, held = last.clean[:, 1] / 100, last.robust[:, 1] / 100
    numbers = {
        "under attack, a = 0": float(held[0]),
        "under attack, a = 3/7": float(held[3]),
        "under attack, a = 6/7": float(held[6]),
        "under attack, a = 1": float(held[7]),
        "clean, a = 0": float(clean[0]),
        "clean, a = 1": float(clean[7]),
        "largest rise under attack for one step of a": float(np.diff(held).max()),
        "largest fall on clean digits for one step of a": float(-np.diff(clean).min()),
    }
    steady = np.diff(held).max() <= 0.01 and np.diff(clean).min() >= -0.01
    return Evidence(bool(steady) and clean[7] > clean[0] and held[0] - held[7] >= 0.3, numbers)
