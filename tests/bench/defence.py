"""Adversarial training on digits, against the Madry trainer of the Adversarial Robustness Toolbox, at equal epochs."""

import time
from collections.abc import Callable, Sequence
from importlib import import_module

import torch
from torch import Tensor, nn

from engine.adversarial_examples import defend
from engine.adversarial_examples.training import Adversary, Problem, accuracy, madry, robust
from engine.device import DEVICE, generator
from engine.nets import Descent, Networks
from tests.bench.row import Row, row, said

EPS, BATCH, EPOCHS, SEEDS = 0.15, 64, 14, 3
STEP_SIZES = (0.01, 0.003)  # of the peer's Adam; the better one counts


def ours(seeds: int) -> tuple[Tensor, float]:
    """Networks (seeds, size) trained together by PGD-7, the radius growing over the first half; and the seconds."""
    seen, rng, start = defend.load("digits", 0), generator(0), time.perf_counter()
    steps = EPOCHS * len(seen.x) // BATCH
    descent = Descent(seen.net.init(seeds, rng), steps, 0.01)
    eps = torch.full((seeds, 1, 1), EPS, device=DEVICE)
    for step in range(steps):
        rows = torch.randint(len(seen.x), (BATCH,), generator=rng).to(DEVICE)
        ramp = Adversary(eps * min(1.0, 2 * (step + 1) / steps))
        on = Problem(seen.net, seen.x[None, rows], seen.y[None, rows], ramp, 0.0, rng)
        descent(lambda w, on=on: madry(on, w).mean(1).sum())
    return descent.weights.detach(), time.perf_counter() - start


def peer(net: Networks, seed: int, step_size: float) -> tuple[Tensor, float]:
    """One network (1, size) by the toolbox's trainer with PGD-7, and the seconds of its fit."""
    trainers, estimators = import_module("art.defences.trainer"), import_module("art.estimators.classification")
    seen = defend.load("digits", 0)
    weights = net.init(1, generator(seed))[0]
    model = layers(net, weights)
    rule = torch.optim.Adam(model.parameters(), step_size)
    box = dict(clip_values=(0.0, 1.0), device_type="cpu")
    classifier = estimators.PyTorchClassifier(model, nn.CrossEntropyLoss(), (64,), 10, rule, **box)
    trainer = trainers.AdversarialTrainerMadryPGD(classifier, EPOCHS, BATCH, EPS, 2.5 * EPS / 7, 7, 1)
    labels, start = nn.functional.one_hot(seen.y, 10).float(), time.perf_counter()
    trainer.fit(seen.x.cpu().numpy(), labels.cpu().numpy())
    seconds = time.perf_counter() - start
    parts = [p.T if p.ndim == 2 else p for p in model.parameters()]
    return torch.cat([part.detach().flatten() for part in parts])[None].to(DEVICE), seconds


def layers(net: Networks, weights: Tensor) -> nn.Sequential:
    """The same network as torch's own layers. weights: (size,)"""
    made: list[nn.Module] = []
    parts = weights.cpu().split([a * b for a, b in net.shapes])
    for i in range(0, len(parts), 2):
        inputs, outputs = net.shapes[i]
        layer = nn.Linear(inputs, outputs)
        with torch.no_grad():
            layer.weight.copy_(parts[i].view(inputs, outputs).T)
            layer.bias.copy_(parts[i + 1])
        made += [layer, nn.ReLU()]
    return nn.Sequential(*made[:-1])


def held(weights: Tensor) -> tuple[list[float], list[float]]:
    """Accuracy of networks (k, size) on held-out digits, and under PGD-40 on the margin from two starts; percent."""
    seen = defend.load("digits", 0)
    attack = Adversary(torch.full((len(weights), 1, 1), EPS, device=DEVICE), 40, 0.1)
    clean = accuracy(seen.net, weights, seen.test, seen.labels)
    kept = robust(seen.net, weights, seen.test, seen.labels, attack, generator(1))
    return (100 * clean).tolist(), (100 * kept).tolist()


def training() -> Sequence[Row]:
    """Seconds a network, clean and robust accuracy of three seeds each."""
    seen, name = defend.load("digits", 0), "training"
    ours(1)  # warm
    weights, seconds = ours(SEEDS)
    rows = scored(name, "here, three at once", weights, [seconds / SEEDS])
    rows.append(row(name, "here, one alone: time", "s", [ours(1)[1]]))
    try:
        peer(seen.net, 0, STEP_SIZES[0])
    except ImportError:
        return [*rows, said(name, "the Adversarial Robustness Toolbox is not installed")]
    for step_size in STEP_SIZES:
        found = [peer(seen.net, seed, step_size) for seed in range(SEEDS)]
        weights = torch.cat([one for one, _ in found])
        rows += scored(name, f"ART, Adam {step_size:g}", weights, [seconds for _, seconds in found])
    return rows


def scored(name: str, who: str, weights: Tensor, seconds: Sequence[float]) -> list[Row]:
    """The lines of one trainer."""
    clean, kept = held(weights)
    return [
        row(name, f"{who}: time a network", "s", seconds),
        row(name, f"{who}: clean", "%", clean),
        row(name, f"{who}: under PGD-40", "%", kept),
    ]


BENCHES: dict[str, Callable[[], Sequence[Row]]] = {"training": training}
