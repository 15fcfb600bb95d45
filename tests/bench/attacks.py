"""Attacks on digits against Foolbox's, each on one thread: equal results, robust accuracy at equal steps, and time."""

import importlib
import time
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from engine.adversarial_examples.attacks import apgd, bim, cw, ddn, fgsm, fmn, pgd, robust_accuracy, sweep
from engine.adversarial_examples.classifiers import Learning, Net, examples, trained
from engine.adversarial_examples.goal import Goal
from engine.adversarial_examples.threat import length
from engine.device import generator
from tests.bench.row import Row, row, said

EPS, ROUNDS, CURVE = 0.12, 5, [0.025 * k for k in range(11)]
SUBJECTS = (("mlp", "standard"), ("cnn", "standard"), ("mlp", "robust"))


class Layers(nn.Module):
    """Our classifier as a module, since Foolbox wants one: (n, 1, 8, 8) -> (n, 10)."""

    def __init__(self, net: Net, weights: Tensor) -> None:
        super().__init__()
        self.net, self.weights = net, weights

    def forward(self, x: Tensor) -> Tensor:
        """Logits."""
        return self.net(self.weights, x[:, 0])


def timed(act: Callable[[], Tensor]) -> tuple[list[float], list[Tensor]]:
    """Seconds of some rounds after one to warm up, and what each of them found."""
    found, seconds = [act()], []
    for _ in range(ROUNDS):
        start = time.perf_counter()
        found.append(act())
        seconds.append(time.perf_counter() - start)
    return seconds, found[1:]


def measure(n: int = 300) -> Iterator[Row]:
    """Every comparison, on held-out digits."""
    try:
        foolbox = importlib.import_module("foolbox")
    except ImportError as missing:
        yield said("attacks", f"no peer: {missing}")
        return
    seen = examples("digits")
    for kind, training in SUBJECTS:
        model = trained(Learning("digits", kind, training))
        theirs = foolbox.PyTorchModel(Layers(model.net, model.weights).eval(), bounds=(0, 1))
        yield from compare(foolbox, theirs, model, f"{kind}, {training}", seen.test[:n], seen.test_labels[:n])


def compare(peer, theirs, model: Callable, name: str, x: Tensor, y: Tensor) -> Iterator[Row]:  # type: ignore[no-untyped-def]
    """One classifier: FGSM, BIM, PGD-40, the curve of 11 budgets, and the shortest changes."""
    wide, rng = x[:, None], generator(0)
    pairs = {
        "FGSM": (peer.attacks.LinfFastGradientAttack(), lambda: fgsm(model, x, y, eps=EPS, keep_failed=True)),
        "BIM-10": (peer.attacks.LinfBasicIterativeAttack(), lambda: bim(model, x, y, eps=EPS, keep_failed=True)),
        "PGD-40": (peer.attacks.LinfPGD(rel_stepsize=2.5 / 40), lambda: pgd(model, x, y, eps=EPS, generator=rng)),
    }
    for attack, (other, ours) in pairs.items():
        seconds, found = timed(ours)
        taken, rival = timed(lambda other=other: other(theirs, wide, y, epsilons=EPS)[1][:, 0])
        yield row("attacks", f"{name}: {attack}, this engine", "ms", [1e3 * s for s in seconds], kept(model, found, y))
        yield row("attacks", f"{name}: {attack}, Foolbox", "ms", [1e3 * s for s in taken], kept(model, rival, y))
        if attack != "PGD-40":
            yield row(
                "attacks", f"{name}: {attack}, largest difference", "", [float((found[-1] - rival[-1]).abs().max())]
            )
    seconds, found = timed(lambda: apgd(model, x, y, eps=EPS))
    yield row("attacks", f"{name}: APGD-40, this engine", "ms", [1e3 * s for s in seconds], kept(model, found, y))
    yield from curves(peer, theirs, model, name, x, y)
    yield from shortest(peer, theirs, model, name, x[:100], y[:100])


def kept(model: Callable, found: list[Tensor], y: Tensor) -> str:
    """The robust accuracy that an attack leaves, the mean of its rounds, in words."""
    fooled = torch.stack([Goal(model, y).reached(one) for one in found])
    return f"right {1 - float(fooled.double().mean()):.4f}"


def curves(peer, theirs, model: Callable, name: str, x: Tensor, y: Tensor) -> Iterator[Row]:  # type: ignore[no-untyped-def]
    """The curve of 11 budgets by PGD-40: mean robust accuracy and time."""
    rng = generator(0)
    seconds, shares = timed(lambda: torch.tensor(robust_accuracy(pgd, model, x, y, CURVE, generator=rng)))
    fast, swept = timed(lambda: torch.tensor(sweep(model, x, y, CURVE, generator=rng)))
    other = peer.attacks.LinfPGD(rel_stepsize=2.5 / 40)
    taken, hits = timed(lambda: other(theirs, x[:, None], y, epsilons=CURVE)[2])
    yield row(
        "attacks",
        f"{name}: 11 budgets, this engine",
        "s",
        seconds,
        f"mean right {float(torch.stack(shares).mean()):.4f}",
    )
    yield row(
        "attacks", f"{name}: 11 budgets, one sweep", "s", fast, f"mean right {float(torch.stack(swept).mean()):.4f}"
    )
    left = 1 - float(torch.stack(hits).double().mean())
    yield row("attacks", f"{name}: 11 budgets, Foolbox", "s", taken, f"mean right {left:.4f}")


def shortest(peer, theirs, model: Callable, name: str, x: Tensor, y: Tensor) -> Iterator[Row]:  # type: ignore[no-untyped-def]
    """Median ℓ2 length of the shortest change, 100 gradients each; Carlini and Wagner's with 9 × 1000."""
    ours = {
        "DDN-100, this engine": lambda: ddn(model, x, y, steps=100),
        "FMN-100, this engine": lambda: fmn(model, x, y, steps=100),
        "C&W 9 × 100, this engine": lambda: cw(model, x, y),
    }
    rivals = {
        "DDN-100, Foolbox": peer.attacks.DDNAttack(steps=100),
        "FMN-100, Foolbox": peer.attacks.L2FMNAttack(steps=100),
        "C&W 9 × 1000, Foolbox": peer.attacks.L2CarliniWagnerAttack(steps=1000),
    }
    wide = x[:, None]
    act = ours | {k: (lambda a=a: a(theirs, wide, y, epsilons=None)[1][:, 0]) for k, a in rivals.items()}
    yield from lengths("attacks", name, model, act, x, y)


def lengths(bench: str, name: str, model: Callable, act: dict[str, Callable], x: Tensor, y: Tensor) -> Iterator[Row]:
    """The median ℓ2 length of what each finds, its seconds, how often it finds anything, and the mean length."""
    for who, run in act.items():
        start = time.perf_counter()
        found = run()
        spent = time.perf_counter() - start
        hit = Goal(model, y).reached(found)
        size = torch.where(hit, length(found - x, "l2"), torch.inf)
        note = f"{spent:.2f} s, found {float(hit.double().mean()):.3f}, mean {float(size[hit].mean()):.4f}"
        yield row(bench, f"{name}: {who}, median", "", [float(size.median())], note)


BENCHES = {"attacks": measure}
