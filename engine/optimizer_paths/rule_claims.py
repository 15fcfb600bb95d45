"""The statements of the sheet on momentum, Nesterov, RMSProp and Adam, put to the test against torch.optim."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from engine.claim import Evidence, claim
from engine.optimizer_paths.gradient_claims import drawn
from engine.optimizer_paths.rules import RULES, Hyper, Slope

RATE, TOLD = 0.01, Hyper()


def replay(name: str, gradients: Tensor, hyper: Hyper = TOLD, lr: float = RATE) -> Tensor:
    """Where a rule goes when it is told these gradients: (n, d) -> (n + 1, d), from 0."""
    rule, w = RULES[name], torch.zeros_like(gradients[0])
    state, places = rule.init(w), [w]
    for k, g in enumerate(gradients):
        w, state = rule.step(lambda _, g=g: g, w, state, hyper, k, lr)
        places.append(w)
    return torch.stack(places)


def by_torch(optimizer: Callable[..., torch.optim.Optimizer], gradients: Tensor, **told: Any) -> Tensor:
    """Where torch's own optimizer goes with the same gradients: (n, d) -> (n + 1, d)."""
    w = torch.nn.Parameter(torch.zeros_like(gradients[0]))
    walker, places = optimizer([w], lr=RATE, **told), [w.detach().clone()]
    for g in gradients:
        w.grad = g.clone()
        walker.step()
        places.append(w.detach().clone())
    return torch.stack(places)


def gap(ours: Tensor, theirs: Tensor) -> float:
    """The largest distance of two paths, entry by entry."""
    return float((ours - theirs).abs().max())


def ravine(condition: float) -> Tensor:
    """Curvatures (10,) from 1 / condition to 1."""
    return torch.logspace(-float(torch.tensor(condition).log10()), 0, 10, dtype=torch.float64)


def walk(name: str, curvatures: Tensor, hyper: Hyper, lr: float, steps: int) -> Iterator[float]:
    """The loss after each step of a rule on a quadratic, from the point of ones."""
    rule, w = RULES[name], torch.ones_like(curvatures)
    state = rule.init(w)
    for k in range(steps):
        w, state = rule.step(lambda w: curvatures * w, w, state, hyper, k, lr)
        yield float((curvatures * w * w).sum() / 2)


@claim("OPT-1")
def momentum_is_a_sum() -> Evidence:
    """With the same gradient again and again the step grows to ηg/(1 − β): a sum of the past, not its mean."""
    g = torch.ones(400, 1, dtype=torch.float64)
    places = replay("momentum", g, Hyper(mu=0.9))
    last = float(places[-2] - places[-1]) / RATE
    return Evidence(abs(last - 10) < 1e-6, {"last step / (ηg), β = 0.9": last, "a running mean would give": 1.0})


@claim("OPT-2")
def the_sign_of_momentum() -> Evidence:
    """Our rule against torch's SGD with momentum over 300 random gradients; and the printed step, which climbs."""
    g = drawn(300, 6)
    miss = gap(replay("momentum", g), by_torch(torch.optim.SGD, g, momentum=0.9))
    printed = *_, last = list(walk("momentum", ravine(100), Hyper(), -0.1, 50))
    numbers = {"largest gap to torch": miss, "loss after 50 steps with the sign as printed": last}
    return Evidence(miss < 1e-12 and last > 10 * printed[0], numbers)


@claim("OPT-3")
def nesterov_is_fast_and_touchy() -> Evidence:
    """Against torch's Nesterov; steps to a millionth of the loss at condition 1000; and its largest stable step."""
    g = drawn(300, 6)
    miss = gap(replay("nesterov", g), by_torch(torch.optim.SGD, g, momentum=0.9, nesterov=True))
    along, root = ravine(1000), 1000**0.5
    first = float(along.sum() / 2)
    needed = {}
    for name, hyper in (("gd", Hyper()), ("nesterov", Hyper(mu=(root - 1) / (root + 1)))):
        losses = walk(name, along, hyper, 1.0, 100_000)
        needed[name] = next(k for k, loss in enumerate(losses, 1) if loss < 1e-6 * first)
    limits = {name: _limit(name) for name in ("nesterov", "momentum")}
    numbers = {
        "largest gap to torch": miss,
        "steps of gradient descent / Nesterov's": needed["gd"] / needed["nesterov"],
        "largest stable ελ, Nesterov, μ = 0.9": limits["nesterov"],
        "(2 + 2μ)/(1 + 2μ)": 3.8 / 2.8,
        "largest stable ελ, momentum, μ = 0.9": limits["momentum"],
    }
    ok = abs(limits["nesterov"] - 3.8 / 2.8) < 2e-3 and abs(limits["momentum"] - 3.8) < 2e-3
    return Evidence(miss < 1e-12 and needed["gd"] >= 5 * needed["nesterov"] and ok, numbers)


def _limit(name: str) -> float:
    """The step size at which a rule begins to run away on x²/2, found by halving."""
    low, high, one = 0.5, 5.0, torch.ones(1, dtype=torch.float64)
    for _ in range(14):
        middle = (low + high) / 2
        *_, last = walk(name, one, Hyper(mu=0.9), middle, 2000)
        low, high = (low, middle) if not last < 0.5 else (middle, high)
    return (low + high) / 2


@claim("OPT-4")
def first_order_after_all() -> Evidence:
    """The axes turned by 30°: Newton's step turns with them; those of RMSProp and Adam, which know no H, do not."""
    turn = torch.tensor([[3**0.5 / 2, -0.5], [0.5, 3**0.5 / 2]], dtype=torch.float64)
    h, w = torch.diag(torch.tensor([1.0, 30.0], dtype=torch.float64)), drawn(2, seed=5)

    def step(name: str, matrix: Tensor, at: Tensor) -> Tensor:
        told = Slope(lambda x: x @ matrix, lambda x, g: torch.linalg.solve(matrix, g))
        rule = RULES[name]
        return rule.step(told, at, rule.init(at), Hyper(), 0, RATE)[0] - at

    miss = {}
    for name in ("newton", "rmsprop", "adam"):
        plain, turned = step(name, h, w), step(name, turn @ h @ turn.T, turn @ w)
        miss[name] = float((turned - turn @ plain).norm() / plain.norm())
    numbers = {
        "turned step − step of the turned, Newton": miss["newton"],
        "RMSProp, second order as printed": miss["rmsprop"],
        "Adam, second order as printed": miss["adam"],
    }
    return Evidence(miss["newton"] < 1e-12 and min(miss["rmsprop"], miss["adam"]) > 0.1, numbers)


@claim("RMS-1")
def rmsprop_divides_the_gradient() -> Evidence:
    """Our rule against torch's RMSprop over 300 random gradients; then the printed step, whose sign never changes."""
    g = drawn(300, 6)
    miss = gap(replay("rmsprop", g), by_torch(torch.optim.RMSprop, g, alpha=0.99))
    w, mean, ups = torch.zeros(6, dtype=torch.float64), torch.zeros(6, dtype=torch.float64), 0
    for one in g:
        mean = 0.99 * mean + 0.01 * one**2
        step = -(one**2) / (mean + 1e-8).sqrt()
        w, ups = w + step, ups + int((step > 0).sum())
    numbers = {
        "largest gap to torch": miss,
        "steps of 1800 that raise a weight, as printed": ups,
        "mean weight after 300 of them": float(w.mean()),
    }
    return Evidence(miss < 1e-12 and ups == 0, numbers)


@claim("RMS-2")
def where_epsilon_stands() -> Evidence:
    """g/√(E + ε) against g/(√E + ε) with E = (1 − γ)g² for gradients from 1e-12 to 1: how far the two are apart."""
    g, eps = torch.logspace(-12, 0, 400, dtype=torch.float64), 1e-8
    mean = 0.01 * g**2
    inside, outside = g / (mean + eps).sqrt(), g / (mean.sqrt() + eps)
    root = ((mean + eps).sqrt() - (mean.sqrt() + eps)).abs().max()
    numbers = {
        "largest gap of the two roots": float(root),
        "√ε": eps**0.5,
        "largest step without η, ε inside": float(inside.max()),
        "largest step without η, ε outside": float(outside.max()),
        "largest ratio of the two steps": float((outside / inside).max()),
    }
    return Evidence(float(root) <= eps**0.5, numbers)


@claim("ADAM-1")
def memory_of_the_square() -> Evidence:
    """Our rule against torch's Adam over 300 random gradients; the printed memory of the square on a constant one."""
    g = drawn(300, 6)
    miss = gap(replay("adam", g), by_torch(torch.optim.Adam, g))
    gamma, delta, v = 0.999, 0.9, 0.0
    for _ in range(2000):
        v = delta * v + (1 - gamma) * 1.0
    numbers = {"largest gap to torch": miss, "step / right step, as printed, γ = 0.999, δ = 0.9": 1 / v**0.5}
    return Evidence(miss < 1e-12 and abs(1 / v**0.5 - 10) < 1e-3, numbers)


@claim("ADAM-2")
def the_first_step_of_adam() -> Evidence:
    """The first step for gradients from 1e-4 to 1e4 of both signs against η, and without the correction."""
    size = torch.logspace(-4, 4, 50, dtype=torch.float64)
    g = torch.cat([size, -size])[None]
    first = replay("adam", g)[1]
    miss = float((first / (-RATE * g[0].sign()) - 1).abs().max())
    plain = float(0.1 / 0.001**0.5)
    numbers = {"largest |Δw / (−η sign g) − 1|": miss, "first step / η without the correction": plain}
    return Evidence(miss < 1e-3, numbers)


@claim("ADAM-3")
def epsilon_outside() -> Evidence:
    """Steps with ε = 0.01 outside the root, as in torch, and inside, as printed, over 300 gradients of size 0.05."""
    g, eps = 0.05 * drawn(300, 6), 1e-2
    ours = replay("adam", g, Hyper(eps=eps))
    miss = gap(ours, by_torch(torch.optim.Adam, g, eps=eps))
    m = v = torch.zeros(6, dtype=torch.float64)
    w = torch.zeros(6, dtype=torch.float64)
    for k, one in enumerate(g, 1):
        m, v = 0.9 * m + 0.1 * one, 0.999 * v + 0.001 * one**2
        w = w - RATE * m / (1 - 0.9**k) / (v / (1 - 0.999**k) + eps).sqrt()
    length = lambda x: float(x.norm())  # noqa: E731
    numbers = {
        "largest gap to torch, ε outside": miss,
        "way gone, ε inside as printed / outside": length(w) / length(ours[-1]),
    }
    return Evidence(miss < 1e-12 and length(w) < 0.8 * length(ours[-1]), numbers)
