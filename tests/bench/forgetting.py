"""Five permuted tasks under six methods, all networks in one batch, against Avalanche one after another."""

import random
import time
from collections.abc import Callable, Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from engine.device import generator
from engine.forgetting_curves import boundary, contest, curves, frontier, line, metrics, rehearsal
from engine.forgetting_curves.methods import How, Recipe
from engine.forgetting_curves.rehearsing import MARGIN
from engine.forgetting_curves.tasks import Task, sequence
from engine.forgetting_curves.training import train_sequence
from engine.nets import Networks
from tests.bench.row import Row, row, said

SEEDS, MEMORY, HOW = (0, 1, 2, 3), 200, How(epochs=5, batch=32)
RECIPES = (
    Recipe("naive"), Recipe("lwf", 1.0), Recipe("agem", memory=MEMORY), Recipe("replay", memory=MEMORY),
    Recipe("joint"), Recipe("ewc", 100.0),
)  # fmt: skip
GEM = Recipe("gem", memory=MEMORY)
CHECKED = ("naive", "lwf", "agem", "gem", "replay", "joint")  # where both mean the same; their EWC has another Fisher


def permuted() -> tuple[Task, ...]:
    """Five permutations of the real digits."""
    return sequence("permuted", 5)


def ours(recipes: Sequence[Recipe] = RECIPES, seeds: Sequence[int] = SEEDS) -> tuple[np.ndarray, float, float]:
    """Average accuracy (methods, seeds), and the seconds of wall clock and of the processor, evaluation included."""
    start, spent = time.perf_counter(), time.process_time()
    found = train_sequence(permuted(), recipes, seeds, HOW)
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
        "gem": {"patterns_per_exp": MEMORY // max(1, len(tasks) - 1), "memory_strength": MARGIN},
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
    """Average accuracy of each method and seed, the seconds of all of them, and the peer's.

    The six methods of the timing, and GEM by itself.
    """
    name = "forgetting"
    train_sequence(permuted()[:2], RECIPES, SEEDS, HOW._replace(epochs=1))  # warm
    (average, seconds, spent), (gem, *_) = ours(), ours((GEM,))
    every = list(zip((*RECIPES, GEM), (*average, *gem), strict=True))
    rows = [row(name, f"here: {r.method}", "%", 100 * a) for r, a in every]
    rows += [row(name, "here, 6 methods x 4 seeds: wall clock", "s", [seconds])]
    rows += [row(name, "here, 6 methods x 4 seeds: processor", "s", [spent])]
    try:
        peer(permuted()[:1], RECIPES[0], 0)
    except ImportError:
        return [*rows, said(name, "Avalanche is not installed")]
    total = 0.0
    for recipe, own in every:
        if recipe is GEM and not find_spec("quadprog"):
            rows.append(said(name, "Avalanche's GEM needs quadprog, which is not installed"))
            continue
        found = [peer(permuted(), recipe, seed) for seed in SEEDS]
        total += sum(s for _, s in found) if recipe in RECIPES else 0.0
        rows += compared(recipe.method, 100 * own, 100 * np.array([a for a, _ in found]))
    rows.append(row(name, "Avalanche, one after another", "s", [total]))
    return [*rows, row(name, "times faster here", "x", [total / seconds])]


def compared(method: str, own: np.ndarray, theirs: np.ndarray) -> Sequence[Row]:
    """Avalanche's average accuracies in percent, and how far ours are from them."""
    rows = [row("forgetting", f"Avalanche: {method}", "%", theirs.tolist())]
    if method not in CHECKED:
        return rows
    apart = abs(own.mean() - theirs.mean()) / max(theirs.std(ddof=1), own.std(ddof=1))
    return [*rows, row("forgetting", f"{method}: apart, in standard deviations of the wider", "", [apart])]


def distilled() -> Sequence[Row]:
    """LwF alone, with sixteen seeds: whether it differs from Avalanche's, or four seeds are too few to tell."""
    recipe, seeds = Recipe("lwf", 1.0), tuple(range(16))
    own = 100 * ours((recipe,), seeds)[0][0]
    rows = [row("lwf", "here", "%", own)]
    try:
        theirs = 100 * np.array([peer(permuted(), recipe, seed)[0] for seed in seeds])
    except ImportError:
        return [*rows, said("lwf", "Avalanche is not installed")]
    return [*rows, *compared("lwf", own, theirs)]


def incremental() -> Sequence[Row]:
    """Class-incremental split digits: two new numerals at a time, ten names."""
    names = ("replay", "herding", "generative", "gaussians", "gem", "gpm")
    methods = [Recipe(name, memory=200) for name in names]
    found = train_sequence(sequence("split", 5), methods, SEEDS, HOW)
    average = 100 * metrics.average_accuracy(found[..., 1:].swapaxes(-1, -2))
    return [row("split", f"here: {r.method}", "%", a) for r, a in zip(methods, average, strict=True)]


def first_pictures() -> Sequence[Row]:
    """Milliseconds from the click to the first frame of a run."""
    views = {"curves": curves, "methods": contest, "frontier": frontier, "rehearsal": rehearsal, "boundary": boundary,
             "line": line}  # fmt: skip
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


PEERS = {
    "naive": "Naive",
    "lwf": "LwF",
    "agem": "AGEM",
    "gem": "GEM",
    "replay": "Replay",
    "joint": "JointTraining",
    "ewc": "EWC",
}
BENCHES: dict[str, Callable[[], Sequence[Row]]] = {
    "forgetting": accuracies, "lwf": distilled, "split": incremental, "first": first_pictures,
}  # fmt: skip
