"""Rules that turn a gradient into a step, each written as two small functions with torch.optim's conventions.

`init(w)` gives a rule's memory, and `step(g_of, w, state, hyper, k, lr)` gives the new place and the new memory.
Places are numpy arrays or torch tensors of any shape (..., d); rules touch each entry alone, except SAM and Newton,
which look at the whole last axis.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

Array = Any  # a numpy array or a torch tensor, (..., d)
State = tuple  # what a rule remembers: arrays shaped like w
GradientOf = Callable[[Array], Array]  # (..., d) -> (..., d)
SAFE = 1e-12  # keeps SAM's direction finite where the gradient is 0


@dataclass(frozen=True)
class Hyper:
    """What a rule may be told besides its step size. A rule reads only what it knows.

    rho may be an array of shape (k, 1), one for each of k places.
    """

    mu: float = 0.9  # momentum: what is kept of the velocity
    beta1: float = 0.9  # Adam: what is kept of the mean gradient
    beta2: float = 0.999  # Adam: what is kept of the mean square
    alpha: float = 0.99  # RMSProp: what is kept of the mean square
    eps: float = 1e-8  # added to the root, outside of it
    weight_decay: float = 0.01  # AdamW: share of the weights lost, per unit of step size
    rho: float = 0.05  # SAM: how far uphill it looks


@dataclass(frozen=True)
class Slope:
    """A gradient function that can also solve H s = g, which is what Newton's rule asks for."""

    gradient: GradientOf
    solve: Callable[[Array, Array], Array]  # (w, g) -> s with H(w) s = g

    def __call__(self, w: Array) -> Array:
        """The gradient at w."""
        return self.gradient(w)


class Rule(NamedTuple):
    """How to step, and what a step costs."""

    init: Callable[[Array], State]
    step: Callable[[GradientOf, Array, State, Hyper, int, Any], tuple[Array, State]]  # k counts from 0
    gradients: int = 1  # gradients that a step takes
    hessians: int = 0

    def cost(self, d: int = 2) -> int:
        """A step's cost in gradients: a Hessian in d dimensions counts as d, one for each of its columns."""
        return self.gradients + self.hessians * d


def nothing(w: Array) -> State:
    """No memory."""
    return ()


def one_zero(w: Array) -> State:
    """One array of zeros."""
    return (0 * w,)


def two_zeros(w: Array) -> State:
    """Two arrays of zeros."""
    return 0 * w, 0 * w


def gd(g_of: GradientOf, w: Array, state: State, hyper: Hyper, k: int, lr: Any) -> tuple[Array, State]:
    """Gradient descent: w - lr g (Cauchy, 1847)."""
    return w - lr * g_of(w), state


def momentum(g_of: GradientOf, w: Array, state: State, hyper: Hyper, k: int, lr: Any) -> tuple[Array, State]:
    """Heavy ball: v = mu v + g, w - lr v (Polyak, 1964)."""
    v = hyper.mu * state[0] + g_of(w)
    return w - lr * v, (v,)


def nesterov(g_of: GradientOf, w: Array, state: State, hyper: Hyper, k: int, lr: Any) -> tuple[Array, State]:
    """v = mu v + g, w - lr (g + mu v): Nesterov (1983), its place shifted as in Sutskever et al. (2013)."""
    g = g_of(w)
    v = hyper.mu * state[0] + g
    return w - lr * (g + hyper.mu * v), (v,)


def adagrad(g_of: GradientOf, w: Array, state: State, hyper: Hyper, k: int, lr: Any) -> tuple[Array, State]:
    """s = s + g^2, w - lr g / (sqrt(s) + eps) (Duchi, Hazan and Singer, 2011)."""
    g = g_of(w)
    s = state[0] + g * g
    return w - lr * g / (s**0.5 + hyper.eps), (s,)


def rmsprop(g_of: GradientOf, w: Array, state: State, hyper: Hyper, k: int, lr: Any) -> tuple[Array, State]:
    """s = alpha s + (1 - alpha) g^2, w - lr g / (sqrt(s) + eps) (Tieleman and Hinton, 2012)."""
    g = g_of(w)
    s = hyper.alpha * state[0] + (1 - hyper.alpha) * (g * g)
    return w - lr * g / (s**0.5 + hyper.eps), (s,)


def adam(g_of: GradientOf, w: Array, state: State, hyper: Hyper, k: int, lr: Any) -> tuple[Array, State]:
    """Mean gradient over root mean square, both freed of their start at 0 (Kingma and Ba, 2015, Algorithm 1)."""
    g = g_of(w)
    m = hyper.beta1 * state[0] + (1 - hyper.beta1) * g
    s = hyper.beta2 * state[1] + (1 - hyper.beta2) * (g * g)
    root = (1 - hyper.beta2 ** (k + 1)) ** 0.5
    return w - (lr / (1 - hyper.beta1 ** (k + 1))) * m / (s**0.5 / root + hyper.eps), (m, s)


def adamw(g_of: GradientOf, w: Array, state: State, hyper: Hyper, k: int, lr: Any) -> tuple[Array, State]:
    """Adam whose weights also shrink by lr weight_decay, apart from the gradient (Loshchilov and Hutter, 2019)."""
    moved, state = adam(g_of, w, state, hyper, k, lr)
    return moved - lr * hyper.weight_decay * w, state


def sam(g_of: GradientOf, w: Array, state: State, hyper: Hyper, k: int, lr: Any) -> tuple[Array, State]:
    """w - lr g(w + rho g / |g|): the gradient a little uphill (Foret et al., 2021, Algorithm 1), no momentum."""
    g = g_of(w)
    length = (g * g).sum(-1)[..., None] ** 0.5
    return w - lr * g_of(w + hyper.rho * g / (length + SAFE)), state


def newton(g_of: Any, w: Array, state: State, hyper: Hyper, k: int, lr: Any) -> tuple[Array, State]:
    """w - lr H^-1 g: to where the local parabola is level, be it a minimum or not. Needs a Slope."""
    if not isinstance(g_of, Slope):
        raise TypeError(f"Newton's rule got a {type(g_of).__name__} as gradient; it needs a Slope, which can solve too")
    return w - lr * g_of.solve(w, g_of(w)), state


RULES = {
    "gd": Rule(nothing, gd),
    "momentum": Rule(one_zero, momentum),
    "nesterov": Rule(one_zero, nesterov),
    "adagrad": Rule(one_zero, adagrad),
    "rmsprop": Rule(one_zero, rmsprop),
    "adam": Rule(two_zeros, adam),
    "adamw": Rule(two_zeros, adamw),
    "sam": Rule(nothing, sam, gradients=2),
    "newton": Rule(nothing, newton, hessians=1),
}
NAMES = {
    "gd": "gradient descent",
    "momentum": "momentum",
    "nesterov": "Nesterov",
    "adagrad": "Adagrad",
    "rmsprop": "RMSProp",
    "adam": "Adam",
    "adamw": "AdamW",
    "sam": "SAM",
    "newton": "Newton",
}
