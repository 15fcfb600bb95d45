"""What a visitor may choose from: each attack with its norm, how it is run, and from whose weights it may learn."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch import Tensor

from engine.adversarial_examples.attacks import ATTACKS
from engine.adversarial_examples.classifiers import Learning, Model, trained
from engine.adversarial_examples.goal import unwarned
from engine.adversarial_examples.threat import by_row, length
from engine.device import generator

REACH = {  # the largest budget shown, by norm and pictures
    ("linf", "glyphs"): 0.4, ("linf", "digits"): 0.4, ("l2", "glyphs"): 6.0, ("l2", "digits"): 2.4,
    ("", "glyphs"): 60.0, ("", "digits"): 60.0,
}  # fmt: skip
UNITS = {"linf": "ℓ∞, shades", "l2": "ℓ2", "": "degrees"}
SIGNS = {"linf": "ℓ∞", "l2": "ℓ2", "l1": "ℓ1"}
BOXES = {"white": "weights (white box)", "grey": "a twin’s weights (grey)", "black": "another net’s (black)"}


class Method(NamedTuple):
    """An attack as it is offered."""

    label: str
    attack: str  # of ATTACKS
    norm: str  # that eps bounds; "" for none
    settings: dict[str, Any] = {}
    minimum: bool = False  # looks for the shortest change, not for the best within a budget
    blind: bool = False  # sees outputs only: the same in every box


PATIENT = {"early_stop": False}  # the strongest change within the budget, not the first that fools
METHODS = {
    "fgsm": Method("FGSM (ℓ∞)", "fgsm", "linf"),
    "bim": Method("BIM, iterated FGSM (ℓ∞)", "bim", "linf"),
    "least_likely": Method("least likely class (ℓ∞)", "least_likely", "linf"),
    "pgd": Method("PGD (ℓ∞)", "pgd", "linf", PATIENT),
    "pgd_l2": Method("PGD (ℓ2)", "pgd", "l2", PATIENT | {"norm": "l2"}),
    "apgd": Method("APGD, margin loss (ℓ∞)", "apgd", "linf", {"early_stop": False, "loss": "dlr"}),
    "ddn": Method("shortest: DDN (ℓ2)", "ddn", "l2", minimum=True),
    "cw": Method("shortest: Carlini–Wagner (ℓ2)", "cw", "l2", {"binary_search_steps": 4, "steps": 60}, minimum=True),
    "deepfool": Method("shortest: DeepFool (ℓ2)", "deepfool", "l2", minimum=True),
    "fmn": Method("shortest: FMN (ℓ∞)", "fmn", "linf", {"norm": "linf"}, minimum=True),
    "square": Method("Square, by asking (ℓ∞)", "square", "linf", blind=True),
    "rotate": Method("turn and shift", "rotate", "", blind=True),
    "noise": Method("random noise (ℓ∞)", "noise", "linf", blind=True),
}


def attacked(
    name: str, model: Callable, surrogate: Callable, x: Tensor, y: Tensor, eps: Tensor, targeted: int | None, seed: int
) -> Tensor:
    """The best candidate for each row within its eps, whether it fools or not: x (n, h, w), eps (n,) -> (n, h, w).

    A minimum-norm attack is run once a picture, and the way to what it found is cut off at eps.
    """
    how = METHODS[name]
    eyes = model if how.blind else surrogate
    call = ATTACKS[how.attack]
    common = dict(targeted=targeted, generator=generator(seed), keep_failed=True) | how.settings
    with unwarned():
        if not how.minimum:
            return call(eyes, x, y, eps=eps, **common)
        delta = call(eyes, x[:1], y[:1], **common) - x[:1]
    share = eps / length(delta, how.norm).clamp_min(1e-9)
    return (x + by_row(share.clamp(max=1), x) * delta).clamp(0, 1)


def surrogate_of(cfg: Learning, box: str, name: str) -> Learning:
    """Whose weights the attacker sees: the model's own, those of a twin from another seed, or of another network."""
    own = cfg.learning
    if box == "white" or METHODS[name].blind:
        return own
    if box == "grey":
        return replace(own, seed=own.seed + 1)
    return replace(own, model="cnn" if own.model == "mlp" else "mlp", training="standard", seed=own.seed + 1)


def pair(cfg: Learning, box: str, name: str) -> tuple[Model, Model]:
    """The model and what the attacker sees."""
    return trained(cfg.learning), trained(surrogate_of(cfg, box, name))


@torch.no_grad()
def chances(model: Callable, x: Tensor) -> Tensor:
    """Class probabilities: (n, h, w) -> (n, 10)."""
    return model(x).softmax(1)
