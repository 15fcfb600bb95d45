"""What one reads off a matrix of accuracies: how much was learned, kept, carried over and forgotten."""

import numpy as np


def average_accuracy(r: np.ndarray) -> np.ndarray:
    """Mean accuracy on all tasks after the last: R (..., T, T), R[i, j] after task i on task j -> (...)"""
    return r[..., -1, :].mean(-1)


def backward_transfer(r: np.ndarray) -> np.ndarray:
    """Last less first, mean over the tasks before the last: (R[T, j] - R[j, j]) (Lopez-Paz & Ranzato, 2017).

    Below 0 for forgetting; 0 for a single task. R: (..., T, T) -> (...)
    """
    count = r.shape[-1]
    if count == 1:
        return np.zeros(r.shape[:-2])
    first = np.diagonal(r, axis1=-2, axis2=-1)
    return (r[..., -1, :-1] - first[..., :-1]).mean(-1)


def forward_transfer(r: np.ndarray, start: np.ndarray) -> np.ndarray:
    """Accuracy on a task just before it is learned, less that of the untrained network `start` (..., T).

    Mean over the tasks after the first (Lopez-Paz & Ranzato, 2017); 0 for a single task.
    """
    count = r.shape[-1]
    if count == 1:
        return np.zeros(r.shape[:-2])
    before = np.diagonal(r, 1, axis1=-2, axis2=-1)  # R[j - 1, j]
    return (before - start[..., 1:]).mean(-1)


def forgetting(r: np.ndarray) -> np.ndarray:
    """Best before the last task, less the end, mean over the tasks before the last (Chaudhry et al., 2018).

    At least as large as minus the backward transfer; 0 for a single task. R: (..., T, T) -> (...)
    """
    count = r.shape[-1]
    if count == 1:
        return np.zeros(r.shape[:-2])
    best = r[..., :-1, :-1].max(-2)
    return (best - r[..., -1, :-1]).mean(-1)
