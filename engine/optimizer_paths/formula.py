"""A formula that a visitor types, read by a short list of what is allowed, with its exact slopes and curvatures."""

import ast
import re
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

Array = np.ndarray
LONGEST, HUGE = 200, 1e300  # characters of a formula (its slopes then need 1500 operations at most); a number
CONSTANTS = {"pi": np.pi, "e": np.e}
UNARY: dict[str, Callable] = {
    "neg": np.negative,
    "sin": np.sin,
    "cos": np.cos,
    "tan": np.tan,
    "exp": np.exp,
    "log": np.log,
    "sqrt": np.sqrt,
    "abs": np.abs,
    "tanh": np.tanh,
    "sign": np.sign,
}
BINARY: dict[str, Callable] = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "div": np.divide,
    "pow": np.power,
    "ratio": lambda a, b: np.divide(a, b, out=np.zeros(np.broadcast(a, b).shape), where=(a != 0) | (b != 0)),
}
FUNCTIONS = ("sin", "cos", "tan", "exp", "log", "sqrt", "abs", "tanh")
SIGNS = {ast.Add: "add", ast.Sub: "sub", ast.Mult: "mul", ast.Div: "div", ast.Pow: "pow"}
KNOWN = f"x, y, numbers, pi, e, + - * / **, ( ) and {', '.join(FUNCTIONS)}"


class Node(NamedTuple):
    """One operation of a formula: what is done, to which earlier nodes; or a number."""

    what: str  # x, y, number, or a name in UNARY or BINARY
    of: tuple[int, ...] = ()
    value: float = 0.0


class Graph:
    """The operations of a formula and of its derivatives, each written once however often it is needed."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.found: dict[Node, int] = {}
        self.slopes: dict[tuple[int, str], int] = {}

    def put(self, what: str, *of: int, value: float = 0.0) -> int:
        """The number of this node, made if it is new."""
        node = Node(what, of, value)
        if node not in self.found:
            self.found[node] = len(self.nodes)
            self.nodes.append(node)
        return self.found[node]

    def number(self, value: float) -> int:
        """A constant."""
        return self.put("number", value=float(value))

    def is_number(self, i: int, value: float | None = None) -> bool:
        """Whether a node is a constant, or that constant."""
        node = self.nodes[i]
        return node.what == "number" and (value is None or node.value == value)

    def apply(self, what: str, *of: int) -> int:
        """An operation, worked out at once where it is simple."""
        if all(self.is_number(i) for i in of):
            with np.errstate(all="ignore"):
                return self.number(float((UNARY | BINARY)[what](*(np.float64(self.nodes[i].value) for i in of))))
        if len(of) == 2 and (simple := self._simple(what, *of)) is not None:
            return simple
        return self.put(what, *of)

    def _simple(self, what: str, a: int, b: int) -> int | None:
        zero, one = self.is_number, lambda i: self.is_number(i, 1.0)
        if what == "add" and (zero(a, 0.0) or zero(b, 0.0)):
            return b if zero(a, 0.0) else a
        if what == "sub" and zero(b, 0.0):
            return a
        if what == "mul" and (one(a) or one(b)):
            return b if one(a) else a
        if what in ("mul", "ratio") and (zero(a, 0.0) or zero(b, 0.0)) or what == "div" and zero(a, 0.0):
            return self.number(0.0)
        return self._power(a, self.nodes[b].value) if what == "pow" and self.is_number(b) else None

    def _power(self, a: int, n: float) -> int | None:
        """A small whole power as products, which are faster and have slopes at 0."""
        if not (n == round(n) and 0 <= n <= 8):
            return None
        if n <= 1:
            return a if n else self.number(1.0)
        half = self.apply("pow", a, self.number(n // 2))
        square = self.apply("mul", half, half)
        return self.apply("mul", a, square) if n % 2 else square

    def slope(self, i: int, by: str) -> int:
        """The derivative of a node by x or y."""
        if (i, by) not in self.slopes:
            self.slopes[i, by] = self._slope(self.nodes[i], i, by)
        return self.slopes[i, by]

    def _slope(self, node: Node, i: int, by: str) -> int:
        if not node.of:
            return self.number(float(node.what == by))
        do, (a, *_) = self.apply, node.of
        da = self.slope(a, by)
        if len(node.of) == 2:
            return self._binary(node, i, da, self.slope(node.of[1], by))
        if node.what == "sqrt":  # 0 / 0 is 0 here: at the tip of a cone there is no downhill
            return do("ratio", do("mul", self.number(0.5), da), i)
        return self.number(0.0) if self.is_number(da, 0.0) else do("mul", self._outer(node.what, a, i), da)

    def _outer(self, what: str, a: int, i: int) -> int:
        """The derivative of a function of one variable at a, its value there being node i."""
        do, one = self.apply, self.number(1.0)
        return {
            "neg": lambda: self.number(-1.0),
            "sin": lambda: do("cos", a),
            "cos": lambda: do("neg", do("sin", a)),
            "tan": lambda: do("add", one, do("mul", i, i)),
            "exp": lambda: i,
            "log": lambda: do("div", one, a),
            "abs": lambda: do("sign", a),
            "tanh": lambda: do("sub", one, do("mul", i, i)),
            "sign": lambda: self.number(0.0),
        }[what]()

    def _binary(self, node: Node, i: int, da: int, db: int) -> int:
        do, (a, b) = self.apply, node.of
        if node.what in ("add", "sub"):
            return do(node.what, da, db)
        if node.what == "mul":
            return do("add", do("mul", da, b), do("mul", a, db))
        if node.what in ("div", "ratio"):
            return do(node.what, do("sub", da, do("mul", i, db)), b)
        fixed = do("mul", do("mul", b, do("pow", a, do("sub", b, self.number(1.0)))), da)
        return fixed if self.is_number(db, 0.0) else do("add", fixed, do("mul", do("mul", i, do("log", a)), db))

    def program(self, wanted: Sequence[int]) -> Callable[[Array, Array], list[Array]]:
        """The wanted nodes as one function of x and y; what they share is worked out once."""
        needed, ahead = set(), list(wanted)
        while ahead:
            i = ahead.pop()
            if i not in needed:
                needed.add(i)
                ahead += self.nodes[i].of
        functions, blank = UNARY | BINARY, [np.float64(node.value) for node in self.nodes]
        done = [(functions[n.what], i, n.of[0], n.of[-1], len(n.of)) for i, n in enumerate(self.nodes) if n.of]
        steps = [step for step in done if step[1] in needed]
        places = [(self.found.get(Node(name)), number) for number, name in enumerate("xy")]

        def run(*xy: Array) -> list[Array]:
            made: list = blank.copy()
            for place, number in places:
                if place is not None:
                    made[place] = xy[number]
            for function, i, first, second, count in steps:
                made[i] = function(made[first]) if count == 1 else function(made[first], made[second])
            return [made[i] for i in wanted]

        return run


class Formula:
    """A function of the plane with its exact derivatives, over float64 arrays w of shape (..., 2).

    Where it cannot be worked out its value is NaN. Raises ValueError, with the column, for text that is none.
    """

    def __init__(self, text: str) -> None:
        self.text = text
        try:
            graph = Graph()
            value = _read(text, graph)
            first = [graph.slope(value, by) for by in "xy"]
            second = [graph.slope(first[0], "x"), graph.slope(first[0], "y"), graph.slope(first[1], "y")]
        except RecursionError:
            raise ValueError(
                f"“{text[:24]}…” is nested too deeply; expected fewer brackets or signs in a row"
            ) from None
        self._value, self._first, self._second = (graph.program(one) for one in ([value], first, second))

    def __call__(self, w: Array) -> Array:
        """Its value: (..., 2) -> (...), NaN where it is not finite."""
        with np.errstate(all="ignore"):
            found = self._value(w[..., 0], w[..., 1])[0] + np.zeros(w.shape[:-1])
        return np.where(np.isfinite(found), found, np.nan)

    def gradient(self, w: Array) -> Array:
        """Its slopes: (..., 2) -> (..., 2)"""
        g = np.empty(w.shape)
        with np.errstate(all="ignore"):
            g[..., 0], g[..., 1] = self._first(w[..., 0], w[..., 1])
        return g

    def hessian(self, w: Array) -> Array:
        """Its curvatures: (..., 2) -> (..., 2, 2)"""
        h = np.empty((*w.shape, 2))
        with np.errstate(all="ignore"):
            h[..., 0, 0], across, h[..., 1, 1] = self._second(w[..., 0], w[..., 1])
        h[..., 0, 1] = h[..., 1, 0] = across
        return h


def check(text: str) -> str:
    """The text without blanks around it. Raises ValueError, with the column, if it is no formula."""
    Formula(text := text.strip())
    return text


def _read(text: str, graph: Graph) -> int:
    """Put the formula into the graph."""
    if not 0 < len(text) <= LONGEST:
        raise ValueError(f"the formula has {len(text)} characters; expected 1 to {LONGEST}, made of {KNOWN}")
    if strange := re.search(r"[^0-9A-Za-z_.+\-*/^() ]", text):
        raise _wrong(text, strange.start(), f"“{strange[0]}” cannot be read")
    if glued := re.search(r"(?<![A-Za-z_0-9.])[0-9.]*[0-9][0-9.]*(?![eE][+-]?[0-9])[A-Za-z_]", text):
        raise _wrong(text, glued.end() - 1, f"“{glued[0]}” lacks a sign; write {glued[0][:-1]}*{glued[0][-1]}…")
    spelled = text.replace("^", "**")
    try:
        tree = ast.parse(spelled, mode="eval").body
    except SyntaxError as problem:
        at = problem.offset - 1 if problem.offset else len(spelled)
        raise _wrong(text, _column(text, at), "something is missing or too much") from None
    return _node(tree, text, graph)


def _node(tree: ast.AST, text: str, graph: Graph) -> int:
    if isinstance(tree, ast.BinOp) and type(tree.op) in SIGNS:
        return graph.apply(SIGNS[type(tree.op)], _node(tree.left, text, graph), _node(tree.right, text, graph))
    if isinstance(tree, ast.UnaryOp) and isinstance(tree.op, (ast.USub, ast.UAdd)):
        inner = _node(tree.operand, text, graph)
        return graph.apply("neg", inner) if isinstance(tree.op, ast.USub) else inner
    if isinstance(tree, ast.Name) and tree.id in ("x", "y", *CONSTANTS):
        return graph.put(tree.id) if tree.id in "xy" else graph.number(CONSTANTS[tree.id])
    if isinstance(tree, ast.Constant) and type(tree.value) is not bool and isinstance(tree.value, int | float):
        return graph.number(min(tree.value, HUGE))
    if isinstance(tree, ast.Call) and isinstance(tree.func, ast.Name) and tree.func.id in FUNCTIONS and tree.args:
        return graph.apply(tree.func.id, _node(tree.args[0], text, graph))  # commas are not let in: one argument
    raise _wrong(text, _column(text, getattr(tree, "col_offset", 0)), f"“{_seen(tree)}” is not known here")


def _seen(tree: ast.AST) -> str:
    seen = ast.unparse(tree)
    return seen if len(seen) <= 24 else seen[:23] + "…"


def _column(text: str, at: int) -> int:
    """Where in the text the character `at` of its spelled form stands: each ^ became two."""
    places = [i for i, c in enumerate(text) for _ in range(1 + (c == "^"))]
    return places[at] if 0 <= at < len(places) else len(text)


def _wrong(text: str, at: int, what: str) -> ValueError:
    return ValueError(f"column {at + 1} of “{text}”: {what}; expected {KNOWN}")
