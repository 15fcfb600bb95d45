"""Which weights matter to what a network says: the Fisher matrix, exact and in the three ways libraries take it."""

import torch
from torch import Tensor

from engine.nets import Networks

KINDS = {
    "exact": "exact: every label",
    "sampled": "sampled: one label each",
    "empirical": "empirical: the data’s labels",
    "minibatch": "mini-batch: mean, squared",
}


class Slopes:
    """The gradients of log p(class | example) for every class and example, by one pass back through all classes.

    inputs: (k, n, i) what each layer saw; outer: (k, c, n, o) the gradient at each layer's sums, for each class.
    A weight's own gradient is the product of the two, so none of the k n c gradients is ever laid out in full.
    """

    def __init__(self, net: Networks, weights: Tensor, x: Tensor, weighed: bool = False) -> None:
        """`weighed`: every gradient times the square root of its class's probability."""
        seen, parts = net.activations(weights, x), net.parts(weights)
        self.log_p = seen[-1].log_softmax(-1)  # (k, n, c)
        self.p = self.log_p.exp()
        self.inputs = [x.expand(len(weights), -1, -1), *seen[:-1]]
        eye = torch.eye(self.p.shape[-1], dtype=x.dtype, device=x.device)
        slope = eye[:, None] - self.p[:, None]
        self.outer = passed_back(slope * self.p.sqrt().transpose(1, 2)[..., None] if weighed else slope, parts, seen)

    def of_labels(self, y: Tensor) -> list[Tensor]:
        """The gradients at each layer's sums for one label an example: y (k or 1, n) -> (k, n, o) each"""
        k, _, n, _ = self.outer[0].shape
        at = y.expand(k, n)[:, None, :, None]
        return [g.gather(1, at.expand(-1, 1, -1, g.shape[-1]))[:, 0] for g in self.outer]


def passed_back(slope: Tensor, parts: list[Tensor], seen: list[Tensor]) -> list[Tensor]:
    """The gradients (k, c, n, o) at each layer's sums, from those at the outputs."""
    outer = [slope]
    for matrix, h in zip(parts[-2:0:-2], seen[-2::-1], strict=True):
        back = outer[0] @ matrix.transpose(1, 2)[:, None]
        outer.insert(0, back.mul_((h > 0)[:, None]))
    return outer


def exact(net: Networks, weights: Tensor, x: Tensor) -> Tensor:
    """Diagonal of F = mean_x sum_c p_c g_c g_c^T: weights (k, size), x (k or 1, n, inputs) -> (k, size)

    The labels are the model's own (Kunstner et al., 2019); F is also the Hessian of the KL divergence at `weights`.
    """
    found = Slopes(net, weights, x, weighed=True)
    return _diagonal(found.inputs, [g.square_().sum(1) for g in found.outer])


def of_numbers(net: Networks, weights: Tensor, x: Tensor) -> Tensor:
    """The same for outputs that are the means of Gaussians of variance 1: mean over x of the squared slopes of f."""
    seen = net.activations(weights, x)
    eye = torch.eye(seen[-1].shape[-1], dtype=x.dtype, device=x.device)
    slope = eye[:, None].expand(len(weights), -1, x.shape[1], -1)
    outer = passed_back(slope, net.parts(weights), seen)
    return _diagonal([x.expand(len(weights), -1, -1), *seen[:-1]], [g.square().sum(1) for g in outer])


def empirical(net: Networks, weights: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Mean square of each example's own gradient at its label y (k or 1, n): -> (k, size)"""
    found = Slopes(net, weights, x)
    return _diagonal(found.inputs, [g.square() for g in found.of_labels(y)])


def sampled(net: Networks, weights: Tensor, x: Tensor, rng: torch.Generator) -> Tensor:
    """The same with one label an example drawn from the model, as in Kirkpatrick et al. (2017): -> (k, size)"""
    found = Slopes(net, weights, x)
    k, n, c = found.p.shape
    drawn = torch.multinomial(found.p.reshape(-1, c).cpu(), 1, generator=rng).view(k, n).to(x.device)
    return _diagonal(found.inputs, [g.square() for g in found.of_labels(drawn)])


def minibatch(net: Networks, weights: Tensor, x: Tensor, y: Tensor, batch: int) -> Tensor:
    """Mean over batches of the squared gradient of the batch's mean loss: -> (k, size)

    About `batch` times too small, for the gradients of different examples cancel. A last partial batch is left out,
    unless it is the only one.
    """
    found = Slopes(net, weights, x)
    k, n, _ = found.p.shape
    batch = min(batch, n)
    count, pieces = n // batch, []
    for a, g in zip(found.inputs, found.of_labels(y), strict=True):
        a, g = (t[:, : count * batch].reshape(k * count, batch, -1) for t in (a, g))
        pieces += [(a.transpose(1, 2) @ g / batch), g.mean(1, keepdim=True)]
    return torch.cat([piece.square().view(k, count, -1).mean(1) for piece in pieces], 1)


def diagonal(kind: str, net: Networks, weights: Tensor, x: Tensor, y: Tensor, batch: int, seed: int) -> Tensor:
    """The diagonal of the named kind: (k, size). Raises ValueError for another name."""
    if kind not in KINDS:
        raise ValueError(f"Saw a Fisher of kind {kind!r}, expected one of {', '.join(KINDS)}.")
    if kind == "exact":
        return exact(net, weights, x)
    if kind == "sampled":
        return sampled(net, weights, x, torch.Generator().manual_seed(seed))
    return empirical(net, weights, x, y) if kind == "empirical" else minibatch(net, weights, x, y, batch)


def root(net: Networks, weights: Tensor, x: Tensor) -> Tensor:
    """R with F = R^T R, whole: weights (1, size), x (1, n, inputs) -> (n c, size). For small networks."""
    found = Slopes(net, weights, x)
    share = (found.p / x.shape[1]).sqrt()[0].T[..., None]  # (c, n, 1)
    rows = []
    for a, g in zip(found.inputs, found.outer, strict=True):
        g = share * g[0]
        rows += [(a[0][None, :, :, None] * g[:, :, None, :]).flatten(2), g]
    return torch.cat(rows, 2).flatten(0, 1)


def full(net: Networks, weights: Tensor, x: Tensor) -> Tensor:
    """The whole matrix F: weights (1, size), x (1, n, inputs) -> (size, size). For small networks."""
    rows = root(net, weights, x)
    return rows.T @ rows


def moved(net: Networks, weights: Tensor, directions: Tensor, x: Tensor) -> Tensor:
    """How fast the logits move along each direction: weights (1, size), directions (d, size) -> (d, n, c)"""
    parts, ways = net.parts(weights), net.parts(directions)
    h, dh = x, torch.zeros_like(x)
    for i in range(0, len(parts), 2):
        dh = dh @ parts[i] + h @ ways[i] + ways[i + 1]
        h = torch.baddbmm(parts[i + 1], h, parts[i])
        if i + 2 < len(parts):
            dh, h = dh * (h > 0), h.relu()
    return dh


def restricted(net: Networks, weights: Tensor, directions: Tensor, x: Tensor) -> Tensor:
    """The form d^T F d' between directions, without F: (1, size), (d, size), (1, n, inputs) -> (d, d)"""
    speed, p = moved(net, weights, directions, x), net(weights, x).softmax(-1)
    centred = (speed - (p * speed).sum(-1, keepdim=True)) * p.sqrt()
    flat = centred.flatten(1)
    return flat @ flat.T / x.shape[1]


def divergence(net: Networks, weights: Tensor, others: Tensor, x: Tensor) -> Tensor:
    """Mean KL(p_weights || p_other) over examples, in nats: (1, size), (k, size), (1, n, inputs) -> (k,)"""
    own, other = net(weights, x).log_softmax(-1), net(others, x).log_softmax(-1)
    return (own.exp() * (own - other)).sum(-1).mean(-1)


def _diagonal(inputs: list[Tensor], squares: list[Tensor]) -> Tensor:
    pieces = []
    for a, s in zip(inputs, squares, strict=True):
        pieces += [(a.square().transpose(1, 2) @ s).flatten(1), s.sum(1)]
    return torch.cat(pieces, 1) / inputs[0].shape[1]
