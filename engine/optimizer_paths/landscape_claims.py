"""The statements of the sheet on flat and sharp minima, SAM and saddles, put to the test on small networks."""

import numpy as np
import torch
from torch import Tensor

from engine.claim import Evidence, claim
from engine.device import generator
from engine.optimizer_paths import batches, edge
from engine.optimizer_paths.critical import critical_points, teacher_task
from engine.optimizer_paths.lanczos import sharpness
from engine.optimizer_paths.rescale import rescaled
from engine.optimizer_paths.rules import RULES, Hyper
from engine.optimizer_paths.spectrum import stability_limit
from engine.optimizer_paths.task import Network, Task, digit_tasks
from engine.optimizer_paths.training import Recipe, final, train


@claim("FL-1")
def sharpness_and_noise() -> Evidence:
    """The sharpness of minima falls as step size / batch size grows, and depends on little else, where all networks
    train for the same step size times steps. At equal epochs the ratio is the training time itself.
    """
    cfg = batches.Config(flow=40.0, seeds=24)
    grid = batches.rows(cfg)[: len(batches.BATCHES)]
    for row in grid:
        row.advance(1.0)
    largest = np.array([row.sharpness().mean(1) for row in grid])
    ratio = np.array(batches.STEP_SIZES) / np.array(batches.BATCHES)[:, None]
    rank, within = batches.spearman(ratio, largest), spread(ratio, np.log(largest))
    power = float(np.polyfit(np.log(ratio).ravel(), -np.log(largest).ravel(), 1)[0])
    numbers = {
        "Spearman of λ_max and lr/B over 20 cells, at equal lr · steps": rank,
        "spread of log λ_max within equal lr/B, over that between": within,
        "power of lr/B that the width 1/λ_max grows with; 1 as printed": power,
        "sharpest cell": float(largest.max()),
        "flattest cell": float(largest.min()),
    }
    return Evidence(rank <= -0.9 and within <= 0.25 and 0 < power < 0.5, numbers)


def spread(groups: np.ndarray, values: np.ndarray) -> float:
    """Root mean variance of the values in each group (two or more of them), over the deviation of the groups' means."""
    names = groups.ravel().round(9)
    parts = [values.ravel()[names == name] for name in np.unique(names)]
    within = np.sqrt(np.mean([part.var() for part in parts if len(part) > 1]))
    return float(within / np.std([part.mean() for part in parts]))


@claim("FL-2")
def edge_of_stability() -> Evidence:
    """Full-batch gradient descent sharpens the loss until λ_max hovers at 2/ε, on a polynomial and a tanh network.

    With momentum the limit is (2 + 2β)/ε, with Nesterov's (2 + 2β)/((1 + 2β) ε); on digits with relu no edge is met.
    """
    medians = hovering(edge.Config(step_size=0.2, steps=8000), (0.2, 0.25, 0.3, 0.4))
    limits = {rule: threshold(rule, 0.9) for rule in ("gd", "momentum", "nesterov")}
    gap = max(abs(limits[rule] - stability_limit(rule, 1.0, 0.9)) for rule in limits)
    *_, control = edge.run(edge.Config(task="digits", step_size=0.1, steps=1000))
    numbers = {f"λ_max ε / 2, median of the last 30 %, ε = {size}": share for size, share in medians.items()}
    numbers |= {f"largest stable ε λ, {rule}, β = 0.9": limit for rule, limit in limits.items()}
    numbers["digits, relu: λ_max ε / 2 at the end"] = float(control.share.max())
    holds = all(0.95 <= share <= 1.05 for share in medians.values()) and gap < 2e-3 and control.share.max() < 0.5
    return Evidence(holds, numbers)


def hovering(cfg: edge.Config, step_sizes: tuple[float, ...]) -> dict[float, float]:
    """For each step size the median of lambda_max eps / 2 over the last 30 % of a full-batch run."""
    task = edge.chebyshev(cfg.degree, cfg.width)
    start = task.net.init(1, generator(cfg.seed)).to(task.x).expand(len(step_sizes), -1).contiguous()
    recipe, seen = Recipe("gd", torch.tensor(step_sizes).to(start)[:, None], 0), []
    for now in train(task, start, recipe, cfg.steps, generator(cfg.seed)):
        if now.step >= 0.7 * cfg.steps and now.step % 40 == 0:
            seen.append([sharpness(task, one[None], generator(0)) for one in now.weights])
    shares = np.median(seen, 0) * np.array(step_sizes) / 2
    return dict(zip(step_sizes, shares.tolist(), strict=True))


def threshold(rule: str, mu: float, steps: int = 4000) -> float:
    """The least step size at which the rule runs away from w = 1 on w^2 / 2, on a scale with 1 000 marks a unit."""
    sizes = torch.arange(0.5, 4.5, 1e-3, dtype=torch.float64)[:, None]
    w = torch.ones_like(sizes)
    state = RULES[rule].init(w)
    for k in range(steps):
        w, state = RULES[rule].step(lambda at: at, w, state, Hyper(mu=mu), k, sizes)
        w = w.clamp(-1e6, 1e6)
    return float(sizes[w.abs() > 10].min())


@claim("FL-3")
def sharper_same_function() -> Evidence:
    """Scaling the first layer of a relu network by 10 and the second by 1/10 leaves every output and multiplies
    λ_max by more than 10: the width of a basin alone cannot decide how well a network generalises.
    """
    (task, test), rng = digit_tasks(32, 1), generator(0)
    w = final(train(task, task.net.init(1, rng), Recipe(), 400, rng)).weights
    scaled = rescaled(task.net, w, 10.0)
    before, after = task.net(w, test.x), task.net(scaled, test.x)
    change = float((after - before).abs().max() / before.abs().max())
    sharp = [sharpness(task, at, generator(1)) for at in (w, scaled)]
    numbers = {
        "largest relative change of an output": change,
        "λ_max as trained": sharp[0],
        "λ_max rescaled": sharp[1],
        "ratio": sharp[1] / sharp[0],
    }
    return Evidence(change < 1e-5 and sharp[1] > 10 * sharp[0], numbers)


@claim("FL-4")
def hessian_is_the_curvature() -> Evidence:
    """A larger Hessian is more curvature: along no direction does the loss bend more than λ_max(H), and the rescaled
    copy of a network with the larger H is the one whose loss bends more. A flat minimum has a small λ_max.
    """
    task, rng = digit_tasks(16, 1)[0], generator(0)
    w = final(train(task, task.net.init(1, rng), Recipe(), 400, rng)).weights.double()
    task = task.to(torch.float64)
    places, directions = (w, rescaled(task.net, w, 3.0)), torch.randn(400, task.net.size, generator=rng).to(w)
    sharp, bends, norms = [], [], []
    for at in places:
        product, top = task.curvature(at), sharpness(task, at, generator(1), 1e-9)
        bend = (directions * product(directions)).sum(1) / (directions**2).sum(1)
        sharp.append(top)
        bends.append(float(bend.mean()))
        norms.append(float(product(directions).norm(dim=1).mean()))
        if not bend.max() <= top:
            return Evidence(False, {"largest bend found": float(bend.max()), "λ_max": top})
    numbers = {
        "λ_max, flat copy": sharp[0],
        "λ_max, sharp copy": sharp[1],
        "as printed, larger Hessian: its size (mean ‖Hv‖), times": norms[1] / norms[0],
        "and its curvature (mean vᵀHv / vᵀv), times": bends[1] / bends[0],
    }
    return Evidence(sharp[1] > sharp[0] and norms[1] > norms[0] and bends[1] > bends[0], numbers)


@claim("SAM-1")
def sam_looks_ahead() -> Evidence:
    """SAM steps along the gradient at w + ρ g/‖g‖ and computes no eigenvalue; its loss there is
    L + ρ‖g‖ + ρ² gᵀHg / 2gᵀg up to order ρ³, and it ends at a smaller λ_max than plain descent.
    """
    task = digit_tasks(16, 1)[0]
    smooth = digit_tasks(16, 1, "tanh")[0].to(torch.float64)
    w = smooth.net.init(1, generator(0)).double()
    moved, _ = RULES["sam"].step(smooth.gradient, w, RULES["sam"].init(w), Hyper(mu=0.0, rho=0.05), 0, 0.1)
    gap = float((moved - by_autograd(smooth, w, 0.05, 0.1)).abs().max())
    orders = np.log2([remainder(smooth, w, rho) / remainder(smooth, w, rho / 2) for rho in (0.04, 0.02)])
    g = smooth.gradient(w)
    added = float((smooth.loss(w + 0.05 * g / g.norm()) - smooth.loss(w)).sum())
    ends = {rule: six_ends(task, rule) for rule in ("gd", "sam")}
    won = int((ends["sam"] < ends["gd"]).sum())
    numbers = {
        "largest gap of one step to Foret's Algorithm 1 by autograd": gap,
        "order in ρ of what the expansion leaves out": float(orders.mean()),
        "added to the loss, ρ = 0.05": added,
        "added as printed: λ_max": sharpness(smooth, w, generator(0)),
        "seeds of 6 where SAM ends flatter": float(won),
        "λ_max of SAM over that of plain descent, mean": float((ends["sam"] / ends["gd"]).mean()),
    }
    return Evidence(gap < 1e-7 and bool((abs(orders - 3) < 0.2).all()) and won >= 5, numbers)


def by_autograd(task: Task, w: Tensor, rho: float, step_size: float) -> Tensor:
    """One step of SAM (Foret et al. 2021, Algorithm 1), its gradients taken by automatic differentiation."""

    def slope(at: Tensor) -> Tensor:
        at = at.detach().requires_grad_()
        return torch.autograd.grad(task.loss(at).sum(), at)[0]

    g = slope(w)
    return w - step_size * slope(w + rho * g / g.norm())


def remainder(task: Task, w: Tensor, rho: float) -> float:
    """|L(w + rho g/|g|) - (L + rho |g| + rho^2/2 g'Hg / g'g)|"""
    g = task.gradient(w)
    ahead = g / g.norm()
    guess = task.loss(w) + rho * g.norm() + rho**2 / 2 * task.bend(w, ahead)
    return float((task.loss(w + rho * ahead) - guess).abs())


def six_ends(task: Task, rule: str) -> np.ndarray:
    """lambda_max after 600 steps from six starts, trained side by side on batches of 32: (6,)"""
    rng = generator(0)
    recipe = Recipe(rule, 0.1, 32, Hyper(mu=0.0, rho=0.1))
    last = final(train(task, task.net.init(6, rng), recipe, 600, rng)).weights
    return np.array([sharpness(task, one[None], generator(1)) for one in last])


@claim("NC-1")
def saddles() -> Evidence:
    """Of the critical points of a small tanh network with weight decay most are saddles, and the higher the loss
    there the larger the share of negative curvatures.
    """
    ranks, shares, count, minima = [], [], 0, []
    for seed in (0, 1):
        rng = generator(seed)
        task = teacher_task(Network((3, 6, 2), "tanh"), 60, rng)
        found = critical_points(task, task.net.init(160, rng).double().to(task.x.device))
        loss, index = found.loss.cpu().numpy(), found.index.cpu().numpy()
        ranks.append(batches.spearman(loss, index))
        shares.append(float((index > 0).mean()))
        minima.append(float((loss[index == 0] <= np.median(loss)).mean()) if (index == 0).any() else 1.0)
        count += len(loss)
    numbers = {
        "distinct critical points": count,
        "share that are saddles": float(np.mean(shares)),
        "Spearman of loss and share of negative curvatures, least of two tasks": min(ranks),
        "share of the minima below the median loss": float(np.mean(minima)),
    }
    return Evidence(min(ranks) > 0.7 and min(shares) > 0.8 and min(minima) == 1.0, numbers)
