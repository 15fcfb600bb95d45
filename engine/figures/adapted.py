"""A few steps of gradient descent on a handful of examples, in numpy: what the stage does under a visitor's hand."""

from collections.abc import Mapping
from typing import Any

import numpy as np

FAR = 1e6  # weights that add up to more have run away
Matrices = list[np.ndarray]  # of each layer; its last row the biases


def matrices(weights: np.ndarray, sizes: tuple[int, ...] | list[int]) -> Matrices:
    """Cut a weight vector (p,) into a matrix a layer. Hidden layers have one more unit, which is always 1."""
    found, at = [], 0
    for k, out in enumerate(sizes[1:]):
        rows, columns = sizes[k] + 1, out + (k < len(sizes) - 2)
        found.append(weights[at : at + rows * columns].astype(float).reshape(rows, columns))
        at += rows * columns
    return found


def seen(layers: Matrices, x: np.ndarray) -> list[np.ndarray]:
    """What each layer sees, and the outputs last: (n,) -> (n, i) each"""
    inputs = [np.stack([x, np.ones_like(x)], 1)]
    for k, matrix in enumerate(layers):
        sums = inputs[-1] @ matrix
        if k < len(layers) - 1:
            sums = np.maximum(sums, 0)
            sums[:, -1] = 1
        inputs.append(sums)
    return inputs


def outputs(layers: Matrices, x: np.ndarray) -> np.ndarray:
    """The network's outputs at places x: (n,) -> (n,)"""
    return seen(layers, x)[-1][:, 0]


def loss(layers: Matrices, points: np.ndarray) -> float:
    """The mean squared error on examples (n, 2); NaN for none."""
    points = points.reshape(-1, 2)
    return float(np.mean((outputs(layers, points[:, 0]) - points[:, 1]) ** 2)) if len(points) else float("nan")


def stepped(layers: Matrices, points: np.ndarray, rate: float, head: bool) -> Matrices:
    """The layers after one step of gradient descent on examples (n, 2); of them the last alone where `head`."""
    inputs = seen(layers, points[:, 0])
    slope = (inputs[-1] - points[:, 1:]) * (2 / len(points))
    after = list(layers)
    for k in range(len(layers) - 1, len(layers) - 2 if head else -1, -1):
        after[k] = layers[k] - rate * inputs[k].T @ slope
        slope = (slope @ layers[k].T) * (inputs[k] > 0)
        slope[:, -1] = 0
    return after


def adaptation(weights: np.ndarray, style: Mapping[str, Any], steps: int) -> list[Matrices]:
    """The layers before and after each inner step; fewer where the steps diverge. `style` is an adapted layer's."""
    points, states = np.array(style["points"], float).reshape(-1, 2), [matrices(weights, style["sizes"])]
    for _ in range(steps if len(points) else 0):
        with np.errstate(all="ignore"):
            after = stepped(states[-1], points, style["fast_lr"], style["head"])
        if not sum(float(np.abs(one).sum()) for one in after) < FAR:
            break
        states.append(after)
    return states
