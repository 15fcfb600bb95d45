"""Attacks against those of torchattacks, adv-lib (AutoAttack's APGD) and ART, on held-out pictures, one thread."""

import time
from collections.abc import Callable, Iterator
from functools import partial
from importlib import import_module
from typing import Any

import torch
from torch import Tensor, nn

from engine.adversarial_examples.attacks import apgd, ddn, fmn, one_pixel, pgd
from engine.adversarial_examples.classifiers import SPREAD, Learning, Model, examples, trained
from engine.adversarial_examples.goal import Goal
from engine.adversarial_examples.universal import ascend, fooling
from engine.data import glyphs
from engine.device import generator
from tests.bench.attacks import EPS, ROUNDS, SUBJECTS, Layers, kept, lengths, timed
from tests.bench.row import Row, row, said

Acts = dict[str, Callable[[], Tensor]]  # who, and what they do
MANY, FEW, SOME = 1000, 100, 300  # glyphs; digits for the slow peers; digits for the others
BUDGETS = (EPS, 0.15, 0.2)  # of the crowd; 0.15 is what the robust ones are trained for
POPULATION, GENERATIONS = 400, 10  # of the peer's differential evolution; Su et al. (2019) let it run up to 100


def installed(name: str) -> Any:
    """A peer, or None where it cannot be imported."""
    try:
        return import_module(name)
    except ImportError:
        return None


class Counted(nn.Module):
    """A classifier that counts the pictures it is asked about."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner, self.asked = inner, 0

    def forward(self, x: Tensor) -> Tensor:
        """Logits."""
        self.asked += len(x)
        return self.inner(x)


def crowd() -> Iterator[Row]:
    """PGD-40 on a thousand fresh glyphs, others in every round: a batch that shrinks pays."""
    foolbox, torchattacks = installed("foolbox"), installed("torchattacks")
    drawn = [glyphs.sample(MANY, generator(999_983 + i), spread=SPREAD) for i in range(ROUNDS)]
    for (kind, training), eps in ((subject, eps) for subject in SUBJECTS for eps in BUDGETS):
        model, rng = trained(Learning("glyphs", kind, training)), generator(0)
        module, name = Layers(model.net, model.weights).eval(), f"{kind}, {training}, ε {eps}: PGD-40"
        act: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
            "this engine": partial(pgd, model, eps=eps, generator=rng)
        }
        if foolbox:
            attack, theirs = foolbox.attacks.LinfPGD(rel_stepsize=2.5 / 40), foolbox.PyTorchModel(module, bounds=(0, 1))
            act["Foolbox"] = lambda x, y, a=attack, m=theirs, eps=eps: a(m, x[:, None], y, epsilons=eps)[1][:, 0]
        if torchattacks:
            other = torchattacks.PGD(module, eps=eps, alpha=2.5 * eps / 40, steps=40)
            act["torchattacks"] = lambda x, y, other=other: other(x[:, None], y)[:, 0]
        found: dict[str, tuple[list[float], list[Tensor]]] = {who: ([], []) for who in act}
        for one in (drawn[0], *drawn):  # the first to warm up
            for who, run in act.items():
                start = time.perf_counter()
                moved = run(one.images, one.labels)
                found[who][0].append(time.perf_counter() - start)
                found[who][1].append(moved)
        y = torch.cat([one.labels for one in drawn])
        yield from ranked("crowd", name, {
            who: (seconds[1:], kept(model, [torch.cat(moved[1:])], y)) for who, (seconds, moved) in found.items()
        })  # fmt: skip


def raced(bench: str, name: str, model: Model, act: Acts, y: Tensor) -> Iterator[Row]:
    """Seconds of each on the same pictures, how many are still right, and how much slower the fastest peer is."""
    found = {who: timed(run) for who, run in act.items()}
    yield from ranked(bench, name, {who: (seconds, kept(model, moved, y)) for who, (seconds, moved) in found.items()})


def ranked(bench: str, name: str, found: dict[str, tuple[list[float], str]]) -> Iterator[Row]:
    """Seconds and a note of each, and how much slower the fastest peer is, round by round."""
    for who, (seconds, note) in found.items():
        yield row(bench, f"{name}, {who}", "s", seconds, note)
    if len(found) > 1:
        own, *others = (seconds for seconds, _ in found.values())
        ratios = [min(peers) / mine for mine, *peers in zip(own, *others, strict=True)]
        yield row(bench, f"{name}: times faster than the fastest peer", "x", ratios)


def automatic() -> Iterator[Row]:
    """APGD-40 against adv-lib's and torchattacks', which are AutoAttack's, on the cross-entropy."""
    adv_lib, torchattacks = installed("adv_lib.attacks"), installed("torchattacks")
    seen = examples("digits")
    x, y = seen.test[:SOME], seen.test_labels[:SOME]
    for kind, training in SUBJECTS:
        model = trained(Learning("digits", kind, training))
        module, name = Layers(model.net, model.weights).eval(), f"{kind}, {training}: APGD-40"
        act: Acts = {"this engine": lambda model=model: apgd(model, x, y, eps=EPS)}
        if adv_lib:
            how = dict(eps=EPS, norm=float("inf"), n_iter=40, loss_function="ce")
            act["adv-lib"] = lambda module=module, how=how: adv_lib.apgd(module, x[:, None], y, **how)[:, 0]
        if torchattacks:
            other = torchattacks.APGD(module, eps=EPS, steps=40)
            act["torchattacks"] = lambda other=other: other(x[:, None], y)[:, 0]
        yield from raced("automatic", name, model, act, y)


def minimal() -> Iterator[Row]:
    """Median shortest ℓ2 change at 100 gradients each: DDN and FMN here, ALMA, DDN and PDGD of adv-lib."""
    adv_lib, seen = installed("adv_lib.attacks"), examples("digits")
    x, y = seen.test[:SOME], seen.test_labels[:SOME]
    for kind, training in SUBJECTS:
        model = trained(Learning("digits", kind, training))
        module = Layers(model.net, model.weights).eval()
        act: Acts = {
            "DDN, this engine": lambda model=model: ddn(model, x, y, steps=100),
            "FMN, this engine": lambda model=model: fmn(model, x, y, steps=100),
        }
        if adv_lib:
            act["ALMA, adv-lib"] = lambda m=module: adv_lib.alma(m, x[:, None], y, num_steps=100)[:, 0]
            act["DDN, adv-lib"] = lambda m=module: adv_lib.ddn(m, x[:, None], y, steps=100, levels=None)[:, 0]
            act["DDN from half the length, adv-lib"] = lambda m=module: adv_lib.ddn(
                m, x[:, None], y, steps=100, levels=None, init_norm=0.5
            )[:, 0]
            act["PDGD, adv-lib"] = lambda m=module: adv_lib.pdgd(m, x[:, None], y, num_steps=100)[:, 0]
        yield from lengths("minimal", f"{kind}, {training}", model, act, x, y)


def single() -> Iterator[Row]:
    """One pixel: every change until one fools here, differential evolution there; pictures fooled and asked about."""
    torchattacks, seen = installed("torchattacks"), examples("digits")
    x, y = seen.test[:FEW], seen.test_labels[:FEW]
    for kind, training in SUBJECTS:
        model = trained(Learning("digits", kind, training))
        counted, name = Counted(Layers(model.net, model.weights).eval()), f"{kind}, {training}: one pixel"
        act: Acts = {
            f"{levels} levels, this engine": lambda levels=levels, counted=counted: one_pixel(
                lambda x: counted(x[:, None]), x, y, eps=1, levels=levels
            )
            for levels in (17, 2)
        }
        if torchattacks:
            other = torchattacks.OnePixel(counted, steps=GENERATIONS, popsize=POPULATION, inf_batch=4096)
            act[f"population {POPULATION}, torchattacks"] = lambda other=other: other(x[:, None], y)[:, 0]
        for who, run in act.items():
            counted.asked, start = 0, time.perf_counter()
            found = run()
            note = f"{time.perf_counter() - start:.2f} s, {counted.asked / FEW:.0f} pictures asked about for each"
            fooled = 100 * float(Goal(model, y).reached(found).double().mean())
            yield row("single", f"{name}, {who}: fooled", "%", [fooled], note)


def everywhere() -> Iterator[Row]:
    """One change for all, learned on the same training digits: share of held-out digits whose class it alters."""
    art, seen = installed("art.attacks.evasion"), examples("digits")
    x = seen.train[:SOME]
    for kind, training in SUBJECTS:
        model = trained(Learning("digits", kind, training))
        name = f"{kind}, {training}: one change for all, ε {EPS}"
        act: Acts = {"this engine": lambda model=model: [
            *ascend(model, x, model(x).argmax(1), EPS, generator(0))][-1]}  # fmt: skip
        if art:
            estimators = import_module("art.estimators.classification")
            module = Layers(model.net, model.weights).eval()
            box: dict[str, Any] = dict(clip_values=(0.0, 1.0), device_type="cpu")
            theirs = estimators.PyTorchClassifier(module, nn.CrossEntropyLoss(), (1, *x.shape[1:]), 10, **box)
            for attacker in ("deepfool", "pgd"):
                act[f"ART with {attacker}"] = lambda attacker=attacker, theirs=theirs: learned(art, theirs, attacker, x)
        for who, run in act.items():
            start = time.perf_counter()
            found = run()
            spent = time.perf_counter() - start
            share = 100 * fooling(model, seen.test, found)
            yield row("everywhere", f"{name}, {who}: fooled", "%", [share], f"{spent:.2f} s")


def learned(art: Any, theirs: Any, attacker: str, x: Tensor) -> Tensor:
    """ART's universal change (h, w) within the ℓ∞ ball."""
    norm: Any = dict(norm=float("inf"), eps=EPS, delta=0.0, max_iter=3, verbose=False)
    inner = {"max_iter": 20} if attacker == "deepfool" else {"eps": EPS, "eps_step": EPS / 4, "max_iter": 10}
    attack = art.UniversalPerturbation(theirs, attacker, inner | {"verbose": False}, **norm)
    attack.generate(x[:, None].cpu().numpy())
    return torch.as_tensor(attack.noise).reshape(x.shape[1:]).to(x)


def told() -> Iterator[Row]:
    """Which peers are missing."""
    for name in ("foolbox", "torchattacks", "adv_lib.attacks", "art.attacks.evasion"):
        if installed(name) is None:
            yield said("rivals", f"{name} is not installed: nothing to compare with")


BENCHES = {"rivals": told, "crowd": crowd, "automatic": automatic, "minimal": minimal, "single": single,
           "everywhere": everywhere}  # fmt: skip
