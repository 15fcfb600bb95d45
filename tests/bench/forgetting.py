"""Five permuted tasks under six methods, all networks in one batch, against Avalanche one after another."""

import random
import time
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from engine.device import generator
from engine.forgetting_curves import boundary, contest, curves, frontier, metrics, rehearsal
from engine.forgetting_curves.methods import Recipe
from engine.forgetting_curves.tasks import Task, sequence
from engine.forgetting_curves.training import How, train_sequence
from engine.nets import Networks
from tests.bench.row import Row, row, said

SEEDS, MEMORY, HOW = (0, 1, 2, 3), 200, How(epochs=5, batch=32)
RECIPES = (
    Recipe("naive"), Recipe("lwf", 1.0), Recipe("agem", memory=MEMORY), Recipe("replay", memory=MEMORY),
    Recipe("joint"), Recipe("ewc", 100.0),
)  # fmt: skip
CHECKED = ("naive", "lwf", "agem", "replay", "joint")  # where both mean the same; their EWC has another Fisher


def permuted() -> tuple[Task, ...]:
    """Five permutations of the real digits."""
    return sequence("permuted", 5)


def ours() -> tuple[np.ndarray, float, float]:
    """Average accuracy (methods, seeds), and the seconds of wall clock and of the processor, evaluation included."""
    start, spent = time.perf_counter(), time.process_time()
    found = train_sequence(permuted(), RECIPES, SEEDS, HOW)
    return (
        metrics.average_accuracy(found[..., 1:].swapaxes(-1, -2)),
        time.perf_counter() - start,
        time.process_time() - spent,
    )


def layers(net: Networks, weights: Tensor) -> nn.Sequential:
    """The same network as torch's own layers. weights: (1, size)"""
    made: list[nn.Module] = []
    parts = net.parts(weights.cpu())
    for matrix, bias in zip(parts[::2], parts[1::2], strict=True):
        layer = nn.Linear(matrix.shape[1], matrix.shape[2])
        with torch.no_grad():
            layer.weight.copy_(matrix[0].T)
            layer.bias.copy_(bias[0, 0])
        made += [layer, nn.ReLU()]
    return nn.Sequential(*made[:-1])


def peer(tasks: Sequence[Task], recipe: Recipe, seed: int) -> tuple[float, float]:
    """One method and seed by Avalanche, from the first weights that ours have: average accuracy, and the seconds.

    Its evaluation is a plain forward pass here, which is faster than its own.
    """
    theirs, made = import_module("avalanche.training.supervised"), import_module("avalanche.benchmarks")
    quiet = import_module("avalanche.training.plugins").EvaluationPlugin(loggers=[])
    random.seed(seed)
    torch.manual_seed(seed)
    net = Networks((64, *HOW.hidden, 10))
    model = layers(net, net.init(1, generator(seed)))
    more: dict[str, dict[str, Any]] = {
        "lwf": {"alpha": 1.0, "temperature": 2.0}, "replay": {"mem_size": MEMORY}, "ewc": {"ewc_lambda": 100.0},
        "agem": {"patterns_per_exp": MEMORY // max(1, len(tasks) - 1), "sample_size": HOW.batch},
    }  # fmt: skip
    sets = [data(t.x, t.y) for t in tasks], [data(t.test_x, t.test_y) for t in tasks]
    bench = made.benchmark_from_datasets(train=sets[0], test=sets[1])
    start = time.perf_counter()
    strategy = getattr(theirs, PEERS[recipe.method])(
        model=model, optimizer=torch.optim.SGD(model.parameters(), HOW.step_size), criterion=nn.CrossEntropyLoss(),
        train_mb_size=HOW.batch, train_epochs=HOW.epochs, eval_mb_size=512, evaluator=quiet,
        **more.get(recipe.method, {}),
    )  # fmt: skip
    for experience in [bench.train_stream] if recipe.method == "joint" else bench.train_stream:
        strategy.train(experience)
        right = [float((model(t.test_x.cpu()).argmax(1) == t.test_y.cpu()).float().mean()) for t in tasks]
    return float(np.mean(right)), time.perf_counter() - start


def data(x: Tensor, y: Tensor) -> Any:
    """A data set of Avalanche's from tensors."""
    utils = import_module("avalanche.benchmarks.utils")
    attribute = import_module("avalanche.benchmarks.utils.data_attribute").DataAttribute
    told = [attribute(y.tolist(), "targets"), attribute([0] * len(y), "targets_task_labels", use_in_getitem=True)]
    whole = utils.make_avalanche_dataset(torch.utils.data.TensorDataset(x.cpu(), y.cpu()), data_attributes=told)
    return utils.as_taskaware_classification_dataset(whole)


def accuracies() -> Sequence[Row]:
    """Average accuracy of each method and seed, the seconds of all of them, and the peer's."""
    name = "forgetting"
    train_sequence(permuted()[:2], RECIPES, SEEDS, HOW._replace(epochs=1))  # warm
    average, seconds, spent = ours()
    rows = [row(name, f"here: {r.method}", "%", 100 * a) for r, a in zip(RECIPES, average, strict=True)]
    rows += [row(name, "here, 6 methods x 4 seeds: wall clock", "s", [seconds])]
    rows += [row(name, "here, 6 methods x 4 seeds: processor", "s", [spent])]
    try:
        peer(permuted()[:1], RECIPES[0], 0)
    except ImportError:
        return [*rows, said(name, "Avalanche is not installed")]
    total = 0.0
    for recipe, own in zip(RECIPES, average, strict=True):
        found = [peer(permuted(), recipe, seed) for seed in SEEDS]
        total += sum(s for _, s in found)
        theirs = 100 * np.array([a for a, _ in found])
        rows.append(row(name, f"Avalanche: {recipe.method}", "%", theirs.tolist()))
        if recipe.method in CHECKED:
            apart = abs(100 * own.mean() - theirs.mean()) / max(theirs.std(ddof=1), 100 * own.std(ddof=1))
            rows.append(row(name, f"{recipe.method}: apart, in standard deviations of the wider", "", [apart]))
    rows.append(row(name, "Avalanche, one after another", "s", [total]))
    return [*rows, row(name, "times faster here", "x", [total / seconds])]


def incremental() -> Sequence[Row]:
    """Class-incremental split digits: two new numerals at a time, ten names."""
    methods = [Recipe("replay", memory=200), Recipe("herding", memory=200), Recipe("generative"), Recipe("gpm")]
    found = train_sequence(sequence("split", 5), methods, SEEDS, HOW)
    average = 100 * metrics.average_accuracy(found[..., 1:].swapaxes(-1, -2))
    return [row("split", f"here: {r.method}", "%", a) for r, a in zip(methods, average, strict=True)]


def first_pictures() -> Sequence[Row]:
    """Milliseconds from the click to the first frame of a run."""
    views = {"curves": curves, "methods": contest, "frontier": frontier, "rehearsal": rehearsal, "boundary": boundary}
    rows = []
    for name, module in views.items():
        next(iter(module.run(module.Config())))  # warm
        taken = []
        for seed in range(5):
            start = time.perf_counter()
            next(iter(module.run(module.Config(seed=seed + 1))))
            taken.append(1000 * (time.perf_counter() - start))
        rows.append(row("first", f"{name}: first picture after", "ms", taken))
    return rows


PEERS = {"naive": "Naive", "lwf": "LwF", "agem": "AGEM", "replay": "Replay", "joint": "JointTraining", "ewc": "EWC"}
BENCHES: dict[str, Callable[[], Sequence[Row]]] = {
    "forgetting": accuracies, "split": incremental, "first": first_pictures,
}  # fmt: skip
