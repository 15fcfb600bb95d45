"""A landscape and its sharpest direction, against the loops that others use, each on one thread."""

import time
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from engine.device import generator
from engine.optimizer_paths import plane
from engine.optimizer_paths.lanczos import sharpness
from engine.optimizer_paths.plane import Plane
from engine.optimizer_paths.task import Network, Task, all_digits
from engine.optimizer_paths.training import Recipe, final, train
from tests.bench.row import Row, row

EDGE, ROUNDS = 51, 5


def module(net: Network, weights: Tensor) -> nn.Sequential:
    """The network as torch's own layers. weights: (size,)"""
    layers: list[nn.Module] = []
    for inputs, outputs in zip(net.sizes, net.sizes[1:], strict=False):
        layers += [nn.Linear(inputs, outputs), nn.ReLU() if net.activation == "relu" else nn.Tanh()]
    made = nn.Sequential(*layers[:-1]).to(weights)
    nn.utils.vector_to_parameters(weights.clone(), made.parameters())
    return made


@torch.no_grad()
def careful_loop(task: Task, flat: Plane, xs: Tensor, ys: Tensor) -> Tensor:
    """The losses (len(ys), len(xs)) point by point: set the flat weights, one forward pass over all examples."""
    net, x, labels = module(task.net, flat.centre), task.x.T.contiguous(), task.y.argmax(0)
    found = torch.empty(len(ys), len(xs))
    for i, b in enumerate(ys.tolist()):
        for j, a in enumerate(xs.tolist()):
            weights = flat.centre + a * flat.along[0] + b * flat.along[1]
            nn.utils.vector_to_parameters(weights, net.parameters())
            found[i, j] = nn.functional.cross_entropy(net(x), labels)
    return found


@torch.no_grad()
def set_weights_loop(task: Task, flat: Plane, xs: Tensor, ys: Tensor) -> Tensor:
    """The loop of the loss-landscape repository (Li et al. 2018), written anew from its description.

    For every point the weights are set tensor by tensor, and loss and accuracy summed over batches of 128.
    """
    net, pick = module(task.net, flat.centre), [p.shape for p in module(task.net, flat.centre).parameters()]
    parts = [list(_cut(v, pick)) for v in (flat.centre, *flat.along)]
    loader = DataLoader(TensorDataset(task.x.T.contiguous(), task.y.argmax(0)), batch_size=128)
    found, measure = torch.empty(len(ys), len(xs)), nn.CrossEntropyLoss()
    for i, b in enumerate(ys.tolist()):
        for j, a in enumerate(xs.tolist()):
            for p, w, d0, d1 in zip(net.parameters(), *parts, strict=True):
                p.data = w + (d0 * a + d1 * b)
            total = correct = count = 0.0
            for x, labels in loader:
                out = net(x)
                total += measure(out, labels).item() * len(x)
                correct += out.argmax(1).eq(labels).sum().item()
                count += len(x)
            found[i, j] = total / count
    return found


def _cut(vector: Tensor, shapes: list[torch.Size]) -> Iterator[Tensor]:
    for piece, shape in zip(vector.split([shape.numel() for shape in shapes]), shapes, strict=True):
        yield piece.view(shape)


def ours(task: Task, flat: Plane, xs: Tensor, ys: Tensor) -> Tensor:
    """The same losses by the engine."""
    return torch.stack(list(plane.losses(task, flat, xs, ys)))


def power_iteration(task: Task, weights: Tensor, tolerance: float = 1e-3, most: int = 100) -> float:
    """lambda_max as PyHessian finds it (Yao et al. 2020), written anew from its description.

    The gradient's graph is kept; each step is a product by autograd, until the eigenvalue moves by less than
    `tolerance`, relatively.
    """
    net, rng = module(task.net, weights[0]), generator(1)
    loss = nn.functional.cross_entropy(net(task.x.T), task.y.argmax(0))
    sources = list(net.parameters())
    slope = torch.autograd.grad(loss, sources, create_graph=True)
    vector, known = _unit([torch.randn(p.shape, generator=rng).to(p) for p in sources]), None
    for _ in range(most):
        image = torch.autograd.grad(slope, sources, grad_outputs=vector, retain_graph=True)
        value = sum(float((a * b).sum()) for a, b in zip(image, vector, strict=True))
        vector = _unit(list(image))
        if known is not None and abs(known - value) / (abs(known) + 1e-6) < tolerance:
            return value
        known = value
    return known or 0.0


def _unit(vector: list[Tensor]) -> list[Tensor]:
    length = sum(float((part * part).sum()) for part in vector) ** 0.5
    return [part / (length + 1e-6) for part in vector]


def grids() -> Iterator[Row]:
    """51 by 51 losses of a perceptron on the 1 797 digits in a filter-normalised plane."""
    task, rng = all_digits(Network((64, 32, 10))), generator(0)
    centre = final(train(task, task.net.init(1, rng), Recipe(), 600, rng)).weights[0]
    flat, xs = Plane(centre, plane.random_directions(task.net, centre, rng)), torch.linspace(-1, 1, EDGE)
    exact = careful_loop(task, flat, xs, xs)
    spent, gap = {}, {}
    for make in (ours, careful_loop, set_weights_loop):
        taken = [
            _seconds(lambda make=make: make(task, flat, xs, xs))
            for _ in range(1 if make == set_weights_loop else ROUNDS)
        ]
        spent[make] = min(taken)
        gap[make] = float(((make(task, flat, xs, xs) - exact).abs() / exact).max()) if make == ours else 0.0
        yield row("landscape", f"51 × 51 losses, {make.__name__}", "s", taken)
    note = f"largest relative difference {gap[ours]:.1e}"
    yield row("landscape", "times faster than a careful loop", "x", [spent[careful_loop] / spent[ours]], note)
    yield row("landscape", "times faster than the set-weights loop", "x", [spent[set_weights_loop] / spent[ours]])


def sharpest() -> Iterator[Row]:
    """lambda_max at several moments of a training, against power iteration at its default and at equal accuracy."""
    task, rng = all_digits(Network((64, 32, 10))), generator(0)
    moments = [m.weights for m in train(task, task.net.init(1, rng), Recipe(), 500, rng) if m.step % 100 == 0]
    exact = [float(torch.linalg.eigvalsh(task.to(torch.float64).hessian(w.double()))[-1]) for w in moments]
    ways = {
        "ours": lambda w: sharpness(task, w, generator(1)),
        "power iteration, 1e-3": lambda w: power_iteration(task, w),
        "power iteration, 1e-8": lambda w: power_iteration(task, w, 1e-8, 1000),
    }
    spent = {}
    for name, way in ways.items():
        wrong = max(abs(way(w) / e - 1) for w, e in zip(moments, exact, strict=True))
        taken = [1000 * min(_seconds(lambda way=way, w=w: way(w)) for _ in range(ROUNDS)) for w in moments]
        spent[name] = sum(taken)
        yield row("sharpest", f"λ_max, {name}", "ms", taken, f"largest relative error {wrong:.1e}")
    for name in list(ways)[1:]:
        yield row("sharpest", f"times faster than {name}", "x", [spent[name] / spent["ours"]])


def _seconds(act: Callable[[], object]) -> float:
    start = time.perf_counter()
    act()
    return time.perf_counter() - start


BENCHES = {"grid": grids, "sharpest": sharpest}
