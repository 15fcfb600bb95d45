"""The statement of the sheet on rehearsal, put to the test on real digits."""

import numpy as np

from engine.claim import Evidence, claim
from engine.forgetting_curves import metrics
from engine.forgetting_curves.methods import How, Recipe
from engine.forgetting_curves.tasks import sequence
from engine.forgetting_curves.training import train_sequence

SHARE, SEEDS = 20, (0, 1)  # one example in twenty is kept


@claim("CL-2")
def rehearsal() -> Evidence:
    """Networks that also train on stored examples, on a coreset, or on examples from a generator of the old data forget
    at most a third of what plain training forgets, with a memory of one example in twenty; joint training is the bound.
    """
    numbers, holds = {}, True
    for kind, count, most in (("split", 5, 200), ("permuted", 4, 500)):
        tasks = sequence(kind, count, 0, most=most)
        memory = sum(len(task.y) for task in tasks) // SHARE
        made, maker = ("generative", "a VAE") if kind == "split" else ("gaussians", "a Gaussian for every class")
        methods = [Recipe(name, memory=memory) for name in ("naive", "replay", "herding", made, "joint")]
        r = train_sequence(tasks, methods, SEEDS, How(5))[..., 1:].swapaxes(-1, -2)
        lost, accuracy = metrics.forgetting(r).mean(1), metrics.average_accuracy(r).mean(1)
        shares = lost[1:4] / lost[0]
        holds &= bool((shares <= 1 / 3).all() and accuracy[4] >= accuracy.max() and lost[0] > 0.3)
        numbers[f"{kind}: forgotten by plain training"] = float(lost[0])
        for name, share in zip(("a sample", "a coreset", maker), shares, strict=True):
            numbers[f"{kind}: of that forgotten with {name}"] = float(share)
        numbers[f"{kind}: joint accuracy less the best other"] = float(accuracy[4] - np.max(accuracy[:4]))
    return Evidence(holds, numbers)
