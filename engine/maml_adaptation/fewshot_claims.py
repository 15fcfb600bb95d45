"""The statement of the sheet on the reuse of features, put to the test."""

import torch

from engine.claim import Evidence, claim
from engine.device import generator
from engine.maml_adaptation import reuse
from engine.maml_adaptation.fewshot import Learning, meta_train

STEADY, PICTURES = 0.5, 12  # how shaky the hand is; query pictures of a class


def read(cfg: Learning, weights: torch.Tensor, layers: int, steps: int = 5) -> tuple[float, list[float]]:
    """Share read right on 200 unseen alphabets when the last `layers` layers adapt, and each layer's CKA."""
    tasks = cfg.episodes(200, generator(90_000), PICTURES)
    first, *_, last = reuse.frozen(cfg, weights, tasks, layers, steps)
    before, after = (reuse.said(cfg.net, at, tasks.query_x[:50]) for at in (first, last))
    like = [float(reuse.cka(a, b[:50]).mean()) for a, b in zip(before, after, strict=True)]
    return float(cfg.right(last, tasks).mean()), like


@claim("ML-7")
def feature_reuse() -> Evidence:
    """Where glyphs are written with a steady hand, ANIL, whose inner steps change the last layer only, reads unseen
    alphabets as well as MAML to 2 percentage points, after about as much time in meta-training (twice the iterations).
    Even where all layers of the MAML network may adapt, the features of its hidden layers stay what they were
    (debiased linear CKA of at least 0.9), and freezing them costs less than 2 points. It is no law: on shaky glyphs
    meta-training by ANIL falls behind by more, though there, too, features are only used again.
    """
    numbers, costs, kept = {}, [], []
    for name, shake, iterations in (("steady", STEADY, 180), ("shaky", 1.0, 120)):
        cfg = Learning(shake=shake)
        maml = meta_train("maml", shake=shake, meta_iterations=iterations)
        anil = meta_train("anil", shake=shake, meta_iterations=2 * iterations)
        every, like = read(cfg, maml, reuse.DEPTH)
        numbers |= {f"{name} hand: MAML": every, f"{name} hand: ANIL": read(cfg, anil, 1)[0]}
        numbers[f"{name} hand: MAML, body frozen in the steps"] = read(cfg, maml, 1)[0]
        numbers[f"{name} hand: CKA of the body, least"] = min(like[:-1])
        costs.append(abs(every - numbers[f"{name} hand: MAML, body frozen in the steps"]))
        kept.append(min(like[:-1]))
    numbers["steady hand: ANIL short by"] = numbers["steady hand: MAML"] - numbers["steady hand: ANIL"]
    return Evidence(
        abs(numbers["steady hand: ANIL short by"]) < 0.02 and min(kept) >= 0.9 and max(costs) < 0.02, numbers
    )
