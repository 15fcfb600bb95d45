"""The statements of the sheet on attacks within a budget, put to the test on handwritten digits."""

from collections.abc import Callable
from itertools import product

import torch
from torch import Tensor
from torch.nn.functional import softplus

from engine.adversarial_examples import ball, population
from engine.adversarial_examples.attacks import ATTACKS, fgsm, least_likely, noise, pgd, square, transfer
from engine.adversarial_examples.classifiers import Learning, Model, examples, trained
from engine.adversarial_examples.goal import Goal
from engine.adversarial_examples.threat import length, project
from engine.claim import Evidence, claim
from engine.device import generator

EPS, MANY = 0.12, 200  # budget, in shades; held-out digits


def subject(model: str = "mlp", training: str = "standard", seed: int = 0) -> Model:
    """A classifier of the digits."""
    return trained(Learning("digits", model, training, seed))


def right(model: Callable, n: int = MANY) -> tuple[Tensor, Tensor]:
    """The first n held-out digits, without those that the classifier gets wrong as they stand."""
    seen = examples("digits")
    x, y = seen.test[:n], seen.test_labels[:n]
    kept = ~Goal(model, y).reached(x)
    return x[kept], y[kept]


def success(model: Callable, y: Tensor, found: Tensor) -> float:
    """Share of pictures that lost their label."""
    return float(Goal(model, y).reached(found).double().mean())


def loss(model: Callable, y: Tensor, found: Tensor) -> Tensor:
    """Cross-entropy of each picture, in nats."""
    with torch.no_grad():
        return Goal(model, y).height(model(found))


@claim("ADV-1")
def boxes() -> Evidence:
    """White, grey or black box: changes made on a twin, or on a network of another kind, fool the target at least three
    times as often as noise of the same length, and so does asking it for its outputs.
    """
    model = subject()
    x, y = right(model)
    own = {"eps": EPS, "generator": generator(0)}
    tell = {"steps": 10, "early_stop": False}
    shares = {
        "white box: on its own gradients": success(model, y, pgd(model, x, y, **own)),
        "grey box: made on its twin": success(
            model, y, transfer(model, x, y, surrogate=subject(seed=1), **tell, **own)
        ),
        "black box: made on a convolutional net": success(
            model, y, transfer(model, x, y, surrogate=subject("cnn", seed=1), **tell, **own)
        ),
        "black box: by asking, Square": success(model, y, square(model, x, y, **own)),
        "noise of the same length": success(model, y, noise(model, x, y, **own)),
    }
    *found, chance = shares.values()
    return Evidence(min(found) >= 3 * chance and found[0] == max(found), shares)


@claim("ADV-2")
def feasible() -> Evidence:
    """Whatever an attack of this engine returns is within ε of the picture in its norm, within the box, and left alone
    where it does not fool.
    """
    model = subject()
    x, y = right(model, 60)
    excess, low, high, vain = -torch.inf, torch.inf, -torch.inf, 0
    for name, attack in ATTACKS.items():
        for norm in ("linf", "l2") if name in ("fgsm", "bim", "pgd", "apgd", "noise", "universal") else ("",):
            eps = {"linf": EPS, "l2": 0.6}.get(norm, 0.6 if name in ("ddn", "cw", "fmn", "deepfool") else EPS)
            extra = {"norm": norm} if norm else {"surrogate": subject(seed=1)} if name == "transfer" else {}
            eps = {"rotate": 20.0, "one_pixel": 1.0}.get(name, eps)
            found = attack(model, x, y, eps=eps, **extra)
            measured = norm or {"ddn": "l2", "cw": "l2", "fmn": "l2", "deepfool": "l2"}.get(name, "linf")
            if name not in ("rotate", "one_pixel"):
                excess = max(excess, float((length(found - x, measured) - eps).max()))
            low, high = min(low, float(found.min())), max(high, float(found.max()))
            missed = ~Goal(model, y).reached(found)
            vain += int((length(found - x, "linf")[missed] > 0).sum())
    numbers = {
        "attacks": len(ATTACKS),
        "largest length less its ε": excess,
        "least pixel": low,
        "largest pixel": high,
        "pictures changed in vain": vain,
    }
    return Evidence(excess <= 1e-6 and low >= 0 and high <= 1 and not vain, numbers)


@claim("ADV-3")
def one_step() -> Evidence:
    """For a linear model of two classes the one-step attack is the best of all 1 024 corners of the ball and the box in
    ten dimensions. On a network, several steps find a loss at least as high for 99 % of pictures.
    """
    draw = generator(3)
    w, x = torch.randn(10, generator=draw), torch.rand(1, 10, generator=draw)
    linear = lambda x: torch.stack([-(x @ w) / 2, (x @ w) / 2], 1)  # noqa: E731
    low, high = (x - 0.3).clamp(0, 1), (x + 0.3).clamp(0, 1)
    corners = torch.where(torch.tensor(list(product([False, True], repeat=10))), high, low)
    best = float(softplus(corners @ w).max())
    one = fgsm(linear, x, torch.zeros(1, dtype=torch.long), eps=0.3, keep_failed=True)
    model = subject()
    seen, y = right(model)
    first = loss(model, y, fgsm(model, seen, y, eps=EPS, keep_failed=True))
    more = loss(model, y, pgd(model, seen, y, eps=EPS, keep_failed=True, early_stop=False, restarts=2))
    numbers = {
        "linear: loss short of the best corner": best - float(softplus(one @ w)),
        "network: share where steps find no less": float((more >= first - 1e-6).double().mean()),
        "network: mean loss of one step, nats": float(first.mean()),
        "network: mean loss of 40 steps, twice": float(more.mean()),
    }
    short, share, *_ = numbers.values()
    return Evidence(abs(short) < 1e-6 and share >= 0.99, numbers)


@claim("ADV-5")
def clipped() -> Evidence:
    """Ten steps of ε without a way back go ten times as far as ε. With a small step and the clip after each, no step
    ends beyond it.
    """
    printed, correct = (list(ball.run(ball.Config(rule=rule))) for rule in ("unclipped", "pgd"))
    eps = ball.Config().eps
    numbers = {
        "as printed: length after ten steps, over ε": printed[-1].used / eps,
        "corrected: largest length after a way back, over ε": max(f.used for f in correct if f.back) / eps,
        "corrected: loss over the worst in the ball": correct[-1].loss / correct[-1].worst,
    }
    ratio, kept, _ = numbers.values()
    return Evidence(abs(ratio - 10) < 1e-3 and kept <= 1 + 1e-5, numbers)


@claim("ADV-6")
def two_questions() -> Evidence:
    """Sweep ε, and the share that PGD leaves right is nearly the share whose shortest change found is longer than ε:
    the two kinds of attack answer one question. One signed step alone does not get there.
    """
    numbers = {}
    for norm in ("linf", "l2"):
        *_, last = population.run(population.Config(norm=norm, n=100, steps=40))
        share = last.lines[:, :, 1]
        numbers[f"largest gap, PGD and shortest, {norm}"] = float(abs(share[2] - share[3]).max())
        numbers[f"largest gap, one step and shortest, {norm}"] = float(abs(share[1] - share[3]).max())
    gaps = list(numbers.values())
    return Evidence(max(gaps[0], gaps[2]) <= 0.05 and gaps[1] > gaps[0] and gaps[3] > gaps[2], numbers)


@claim("ADV-7")
def least() -> Evidence:
    """Steps down the loss of the least likely class raise its probability for at least 95 % of pictures. It is harder
    than leaving the label: fewer pictures are fooled.
    """
    model = subject()
    x, y = right(model)
    with torch.no_grad():
        before = model(x).softmax(1)
        rare = before.argmin(1, keepdim=True)
        after = model(least_likely(model, x, y, eps=EPS, keep_failed=True)).softmax(1)
    rose = (after.gather(1, rare) > before.gather(1, rare)).double().mean()
    numbers = {
        "share where its probability rises": float(rose),
        "fooled by it": success(model, y, least_likely(model, x, y, eps=EPS)),
        "fooled by leaving the label, as many steps": success(model, y, ATTACKS["bim"](model, x, y, eps=EPS)),
    }
    rises, aimed, free = numbers.values()
    return Evidence(rises >= 0.95 and aimed <= free, numbers)


@claim("ADV-8")
def projected() -> Evidence:
    """The projection changes nothing that is in the ball, and needs no data to be computed. With a step and the sign,
    PGD with restarts reaches at least the loss of one step for 99 % of pictures; the bare gradient as printed does not.
    """
    model = subject()
    x, y = right(model)
    far = torch.randn(x.shape, generator=generator(0)).to(x)
    once = {norm: project(far, EPS, norm) for norm in ("linf", "l2", "l1")}
    again = max(float((project(d, EPS, norm) - d).abs().max()) for norm, d in once.items())
    longest = max(float((length(d, norm) - EPS).max()) for norm, d in once.items())
    printed, goal = x, Goal(model, y)
    for _ in range(40):
        printed = (x + project(printed - x + goal.climb(printed)[2], EPS, "linf")).clamp(0, 1)
    one = loss(model, y, fgsm(model, x, y, eps=EPS, keep_failed=True))
    steps = loss(model, y, pgd(model, x, y, eps=EPS, restarts=3, early_stop=False, keep_failed=True))
    bare = loss(model, y, printed)
    numbers = {
        "change by a second projection": again,
        "largest length less ε": longest,
        "share where PGD has at least the loss of one step": float((steps >= one - 1e-6).double().mean()),
        "as printed: share where 40 steps have it": float((bare >= one - 1e-6).double().mean()),
        "as printed: fooled": success(model, y, printed),
        "corrected: fooled": success(model, y, pgd(model, x, y, eps=EPS, restarts=3)),
    }
    good = again <= 1e-6 and longest <= 1e-6 and numbers["share where PGD has at least the loss of one step"] >= 0.99
    return Evidence(good and numbers["as printed: fooled"] < numbers["corrected: fooled"], numbers)


@claim("ADV-9")
def slower() -> Evidence:
    """At every budget fewer pictures survive 40 steps than one, or as few; and 40 steps take about 40 times as many
    gradients. With rows that rest as soon as they are fooled, it is far less.
    """
    model = subject()
    x, y = right(model)
    numbers, holds = {}, True
    for eps in (0.06, 0.09, 0.12):
        one, many = (1 - success(model, y, attack(model, x, y, eps=eps)) for attack in (fgsm, pgd))
        numbers |= {f"right after one step, ε = {eps}": one, f"right after 40, ε = {eps}": many}
        holds &= many <= one
    asked = {name: queries(model, x, y, attack, **how) for name, attack, how in
             (("one", fgsm, {}), ("all", pgd, {"early_stop": False}), ("resting", pgd, {}))}  # fmt: skip
    numbers["pictures seen, over one step"] = asked["all"] / asked["one"]
    numbers["the same where fooled rows rest"] = asked["resting"] / asked["one"]
    return Evidence(holds and 35 <= numbers["pictures seen, over one step"] <= 45, numbers)


def queries(model: Callable, x: Tensor, y: Tensor, attack: Callable, **how: bool) -> int:
    """How many pictures an attack shows to the model, but for the last look that checks its success."""
    seen = 0

    def counted(x: Tensor) -> Tensor:
        nonlocal seen
        seen += len(x)
        return model(x)

    attack(counted, x, y, eps=EPS, **how)
    return seen - len(x)
