"""Few-shot glyphs and the reuse of features, drawn: the panels of each view."""

import numpy as np

from engine.figures.maml_sinusoids_panels import LOOKS, numbers
from engine.figures.panel import Axis, Layer, Panel, curve, images
from engine.maml_adaptation import alphabets, classifier, fewshot, reuse

Panels = tuple[Panel, ...]
RIGHT = Axis("% read right", 0, 100)
STEPS = Axis("inner steps", 0, classifier.STEPS)


def named(cfg: fewshot.Learning) -> dict[str, str]:
    """What each start is called."""
    return {"meta": fewshot.LEARNED[cfg.method], "ordinary": "ordinary", "random": "random"}


def look(cfg: fewshot.Learning, start: str) -> tuple[str, str, float]:
    """Role, dash and width of a start."""
    return LOOKS[{"meta": cfg.method, "ordinary": "joint", "random": "random"}[start]]


def percents(values: np.ndarray, row: int) -> tuple[float, ...]:
    """Mean and interval of a start in percent; NaN where the frame has none."""
    return numbers(100 * values[row : row + 1], 3)


def courses(cfg: fewshot.Learning, x: str, table: str, starts: tuple[str, ...]) -> tuple[Layer, ...]:
    """A curve with its band for each start."""

    def layer(start: str) -> Layer:
        role, dash, width = look(cfg, start)
        row = fewshot.STARTS.index(start)
        of = lambda f: (getattr(f, x), *percents(getattr(f, table), row))  # noqa: E731
        return curve(named(cfg)[start], role, of, dash=dash, width=width)

    return tuple(map(layer, starts))


def asked(cfg: fewshot.Config) -> str:
    """What the next drawing will be."""
    slot = alphabets.after(cfg.own, cfg.ways) if cfg.slot == alphabets.NEXT else cfg.slot
    return alphabets.SLOTS[slot]


def of_glyphs(cfg: fewshot.Config) -> Panels:
    """The examples of each class, new ones with every answer, and accuracy on alphabets never seen."""
    own, n, k = cfg.own, cfg.ways, cfg.adaptation_steps
    support = images("", "data", lambda f: f.support, columns=n)
    answers = images("", "model", lambda f: f.query, columns=n)
    nearest = curve("nearest picture", "truth", lambda f: (f.step if len(f.unseen) else np.nan, *numbers(
        100 * f.nearest[None, :1], 1)), dash="dash", width=1.5)  # fmt: skip
    yours = Panel(
        "Yours", (images("", "model", lambda f: f.yours, columns=1),), axes=False,
        name="yours", weight=0.2, hall=False, alt="Your query, and the class that each network reads in it",
    )  # fmt: skip
    return (
        Panel(f"{'Your glyphs' if own else 'Glyphs nobody has seen'}: a column for each", (support,), axes=False,
              name="support", draw="picture", hint=f"Draw {asked(cfg)}", live=True, hall=False,
              alt="The examples of each class that the networks adapt on"),
        Panel("Rows: new, " + ", ".join(named(cfg).values()), (answers,), axes=False, name="answers",
              alt="A new picture of each class, and below it the class that each network reads, pale where wrong"),
        *((yours,) if cfg.opening != cfg.learning else ()),
        Panel("200 unseen alphabets", (*courses(cfg, "step", "unseen", fewshot.STARTS), nearest), STEPS, RIGHT,
              name="steps", stack="right", alt="Accuracy on unseen alphabets after each inner step"),
        Panel(f"16 others, after {k} step{'s' * (k > 1)}", courses(cfg, "iteration", "learnt", ("meta", "ordinary")),
              Axis("meta-iterations", 0, cfg.meta_iterations), RIGHT, name="learnt", stack="right", legend=False,
              hall=False, share=0.8, alt="Accuracy on unseen alphabets over the meta-training"),
    )  # fmt: skip


WAYS = {1: ("third", "dot"), 2: ("second", "dash"), 3: ("prior", "dash"), 4: ("model", "solid")}  # layers that adapt
DEEP = (("data", "solid"), ("second", "dash"), ("truth", "dash"), ("adversary", "dot"))  # looks of the layers


def of_reuse(cfg: reuse.Config) -> Panels:
    """Accuracy with more and fewer adapting layers; how like its old self each layer stays; how far weights moved."""
    chosen = int(cfg.adapts)

    def reader(n: int) -> Layer:
        role, dash = WAYS[n]
        count = 3 if n == chosen else 1
        of = lambda f: (f.step, *numbers(100 * f.right[n - 1 : n, :count], count))  # noqa: E731
        return curve(reuse.CHOICES[str(n)], role, of, dash=dash, width=3 if n == chosen else 1.6)

    def layer(i: int, table: str) -> Layer:
        role, dash = DEEP[i]
        count = 3 if table == "cka" else 1
        of = lambda f: (f.step, *numbers(getattr(f, table)[i : i + 1], count))  # noqa: E731
        return curve(reuse.LAYERS[i], role, of, dash=dash)

    every = range(reuse.DEPTH)
    return (
        Panel(f"{reuse.TASKS} unseen alphabets", tuple(reader(i + 1) for i in every), STEPS, RIGHT, name="right",
              alt="Accuracy after each inner step, for each number of layers that adapt"),
        Panel(f"{reuse.CHOICES[cfg.adapts].capitalize()} adapting: CKA with before",
              tuple(layer(i, "cka") for i in every), STEPS, Axis("linear CKA", 0, 1.05), name="cka", stack="right",
              alt="Likeness of each layer's features to those before the steps"),
        Panel("Change of the weights, of their length", tuple(layer(i, "moved") for i in every), STEPS,
              Axis("change", 0.0005, 5, log=True), name="moved", stack="right", hall=False, legend=False,
              alt="How far each layer's weights have moved"),
    )  # fmt: skip
