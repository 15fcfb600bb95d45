"""The statements of the sheet on why networks forget, put to the test on points, real digits and small networks."""

from functools import cache

import numpy as np
import torch
from torch import Tensor

from engine.claim import Evidence, claim
from engine.device import generator
from engine.forgetting_curves import fisher, importance, interference
from engine.forgetting_curves.pair import descend, gradient, numerals, pair
from engine.nets import Networks

SMALL = Networks((64, 8, 10))  # small enough for its Hessian by automatic differentiation


@claim("CL-1")
def transfer_and_interference() -> Evidence:
    """A small step on the new task changes the old loss by minus eta times the product of the two gradients: its side
    is foretold by the sign of their cosine, and its size has slope 1, on points and on digits, at every angle.
    """
    cosines, forecast, change = [], [], []
    for data, angles in (("points", (0, 40, 80, 120, 160, 180)), ("rotated", (20, 90, 180))):
        for angle in angles:
            cfg = interference.Config(data=data, angle=float(angle), step_size=1e-4)
            tasks = pair(data, float(angle), 0, interference.MOST)
            now = interference.take(interference.NETS[data], interference.begun(cfg, tasks), tasks, cfg.step_size)
            cosines.append(now.cosine)
            forecast.append(now.predicted / now.unit)
            change.append(now.actual / now.unit)
    cosine, x, y = torch.cat(cosines), torch.cat(forecast), torch.cat(change)
    signs = float((y.sign() == -cosine.sign()).double().mean())
    line = float((x * y).sum() / x.square().sum())
    numbers = {
        "steps": len(x),
        "change on the side that the cosine foretells": signs,
        "slope of change over forecast": line,
        "largest miss, in units of η‖g_A‖‖g_B‖": float((y - x).abs().max()),
        "cosine, identical tasks": float(cosines[0].mean()),
        "cosine, contradictory tasks": float(cosines[5].mean()),
    }
    same, opposed = numbers["cosine, identical tasks"], numbers["cosine, contradictory tasks"]
    return Evidence(signs >= 0.99 and abs(line - 1) <= 0.02 and same > 1 - 1e-9 and opposed < -0.8, numbers)


@claim("CL-3")
def functional_regulariser() -> Evidence:
    """The divergence of a network’s outputs from what they were is, for a small change of the weights, half its
    quadratic form in the Fisher matrix; what is left over shrinks with the third power of the change.
    """
    x = numerals().x[None, : importance.KEPT].double()
    slopes, close, bare = [], [], []
    for seed in range(3):
        cfg = importance.Config(seed=seed)
        weights = learnt(seed)
        apart, form = importance.walk(cfg, weights, x, 16)
        slopes.append(importance.order_of((apart - form).square().mean(0).sqrt()))
        close.append(float((apart[:, 0] / form[:, 0]).mean()))
        along = importance.ways(cfg, weights, x, 16)
        diagonal = (fisher.exact(importance.NET, weights, x) * along.square()).sum(1) * importance.LENGTHS[0] ** 2 / 2
        bare += (diagonal / apart[:, 0]).tolist()
    numbers = {
        "slope of the remainder, mean of 3": float(np.mean(slopes)),
        "least": min(slopes),
        "most": max(slopes),
        "KL over its form at length 0.01, mean": float(np.mean(close)),
        "with the diagonal only: form over KL, least": min(bare),
        "most ": max(bare),
    }
    return Evidence(bool(abs(np.mean(slopes) - 3) <= 0.2 and abs(np.mean(close) - 1) <= 0.01), numbers)


@cache
def learnt(seed: int) -> Tensor:
    """A network that has learned the digits for 400 steps: (1, size) float64"""
    rng, weights, task = generator(seed), importance.NET.init(1, generator(seed)), numerals()
    return descend(importance.NET, weights, task, 400, rng).double()


@cache
def small() -> tuple[Tensor, Tensor]:
    """Weights (1, size) of the smallest network after a little training, and twenty digits (1, 20, 64); float64."""
    task = numerals()
    weights = SMALL.init(1, generator(1))
    for _ in range(60):
        weights = weights - 0.3 * gradient(SMALL, weights, task.x[None, :200], task.y[None, :200])
    return weights.double(), task.x[None, :20].double()


@claim("CL-4")
def quadratic_form() -> Evidence:
    """The penalty’s matrix is the Hessian of the KL divergence, which automatic differentiation and the Fisher matrix
    agree on; it stands between the change of the weights and its transpose, with a factor of a half.
    """
    weights, x = small()
    hessian = torch.as_tensor(
        torch.autograd.functional.hessian(lambda one: fisher.divergence(SMALL, weights, one[None], x)[0], weights[0])
    )
    form = fisher.full(SMALL, weights, x)
    draws = torch.randn(8, SMALL.size, generator=generator(2), dtype=torch.float64).to(x.device)
    steps = 1e-3 * draws / draws.norm(dim=1, keepdim=True)
    apart = fisher.divergence(SMALL, weights, weights + steps, x)
    quadratic = ((steps @ form) * steps).sum(1)
    numbers = {
        "largest |Hessian − Fisher|": float((hessian - form).abs().max()),
        "KL over Δθᵀ F Δθ, mean of 8": float((apart / quadratic).mean()),
        "as printed: factor 1, the penalty over KL": float((quadratic / apart).mean()),
        "as printed: H Δθ has this many numbers": float((form @ steps[0]).numel()),
        "as printed: sign of Σ H Δθ turns with Δθ, ratio": float((form @ -steps[0]).sum() / (form @ steps[0]).sum()),
    }
    good = numbers["largest |Hessian − Fisher|"] <= 1e-5 and abs(float((apart / quadratic).mean()) - 0.5) <= 0.005
    return Evidence(good and numbers["as printed: factor 1, the penalty over KL"] > 1.9, numbers)


@claim("CL-5")
def nothing_below_second_order() -> Evidence:
    """At the old task’s weights the divergence of the outputs from themselves is 0 and so is its gradient, for the KL
    divergence and for the squared distance; nowhere nearby is it below.
    """
    weights, x = small()
    at = weights.clone().requires_grad_()
    own = SMALL(weights, x).detach()
    apart = fisher.divergence(SMALL, weights, at, x)
    square = (SMALL(at, x) - own).square().sum(-1).mean()
    draws = 0.01 * torch.randn(50, SMALL.size, generator=generator(3), dtype=torch.float64).to(x.device)
    numbers = {
        "KL": abs(float(apart.detach())),
        "its gradient, largest entry": float(torch.autograd.grad(apart.sum(), at)[0].abs().max()),
        "squared distance": float(square.detach()),
        "gradient of that": float(torch.autograd.grad(square, at)[0].abs().max()),
        "least KL of 50 places nearby": float(fisher.divergence(SMALL, weights, weights + draws, x).min()),
    }
    *four, near = numbers.values()
    return Evidence(max(four) <= 1e-10 and near > 0, numbers)


@claim("CL-6")
def computed_on_old_data() -> Evidence:
    """The penalty’s weights are taken on the old task’s data: taken on other data they are others. With the labels of
    the data in place of the model’s one gets the empirical Fisher, which is another matrix too.
    """
    weights, task = learnt(0), numerals()
    x, y = task.x[None, : importance.KEPT].double(), task.y[None, : importance.KEPT]
    true = fisher.exact(importance.NET, weights, x)[0]
    moved = pair("permuted", 90.0, 0).new.x[None, : importance.KEPT].double()
    wrong = torch.where(torch.arange(importance.KEPT, device=y.device) % 5 == 0, (y + 1) % 10, y)
    others = {
        "empirical": fisher.empirical(importance.NET, weights, x, y)[0],
        "empirical, a fifth mislabelled": fisher.empirical(importance.NET, weights, x, wrong)[0],
        "sampled once": fisher.sampled(importance.NET, weights, x, generator(0))[0],
        "mini-batches of 32": fisher.minibatch(importance.NET, weights, x, y, 32)[0],
        "exact, on other data": fisher.exact(importance.NET, weights, moved)[0],
    }
    numbers = {f"{name}: sum over that of F": float(one.sum() / true.sum()) for name, one in others.items()}
    alike = {name: float(torch.corrcoef(torch.stack([true, one]))[0, 1]) for name, one in others.items()}
    numbers |= {f"{name}: correlation": alike[name] for name in ("empirical", "sampled once", "exact, on other data")}
    differs = abs(numbers["empirical: sum over that of F"] - 1) > 0.1 and alike["empirical"] < 0.999
    return Evidence(differs and alike["exact, on other data"] < 0.9, numbers)
