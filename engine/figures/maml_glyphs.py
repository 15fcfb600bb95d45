"""Few-shot glyphs and the reuse of features: views and scenes."""

from collections.abc import Mapping
from math import nan
from typing import Any

import numpy as np

from engine.data import drawing
from engine.figures import maml_glyphs_panels as panels
from engine.figures.panel import cell
from engine.figures.view import Readout, Scene, View
from engine.maml_adaptation import alphabets, classifier, fewshot, reuse


def pictured(event: Mapping[str, Any], cfg: fewshot.Config) -> dict[str, Any]:
    """The settings that a glyph makes, stroke by stroke: it fills its slot, or replaces what it was `before`.

    Raises ValueError for an empty drawing, where there was none before.
    """
    before, size = event.get("before") or [], event["size"]
    old = drawing.taken(before, size) if any(before) else ""
    slot = alphabets.slot_of(cfg.yours, old) or cfg.slot
    if any(event["pixels"]):
        picture = drawing.taken(event["pixels"], size)
        return {"yours": alphabets.placed(cfg.yours, picture, slot, cfg.ways), "alphabet": "yours"}
    if not old:
        raise ValueError("Nothing was drawn: draw a glyph; it is taken up stroke by stroke.")
    rest = alphabets.without(cfg.yours, old)
    return {"yours": rest, "alphabet": "yours" if rest else "unseen"}


def half(table: np.ndarray, row: int) -> float:
    """Half the confidence interval of a row: mean, low, high."""
    return cell(table, row, 2) - cell(table, row, 0)


GLYPHS = View(
    "glyphs", "Can five pictures teach a new alphabet?", fewshot.Config, fewshot.run, panels.of_glyphs, fps=12,
    before=lambda cfg: (fewshot.opening, cfg.opening), thin=1, follow=True, seed="example",
    mend=fewshot.mended, events={"picture": pictured},
    readouts=(
        Readout("meta-iterations", lambda f: f.iteration),
        Readout("inner steps", lambda f: f.step),
        Readout("this task: meta-learned", lambda f: cell(f.own, 0), percent=True, help="Five new pictures a class"),
        Readout("this task: ordinary", lambda f: cell(f.own, 1), percent=True),
        Readout("200 alphabets: meta-learned", lambda f: cell(f.unseen, 0, 0), "estimate", percent=True,
                error=lambda f: half(f.unseen, 0), help="With half of the 95 % confidence interval over tasks"),
        Readout("200 alphabets: ordinary", lambda f: cell(f.unseen, 1, 0), "estimate", percent=True,
                error=lambda f: half(f.unseen, 1)),
        Readout("diverged", lambda f: float(f.diverged) or nan, help="Of three networks, on this task"),
        Readout("meta-learned reads your query as class", lambda f: cell(f.says, 0) or nan,
                help="Nobody told it; the column “Yours” shows what the others read"),
    ),
    equation=lambda f, cfg: {
        "k": str(f.step), "eps": f"{cfg.fast_lr:g}", "N": str(cfg.ways), "K": str(cfg.shots),
        "meta": f"{100 * (cell(f.unseen, 0, 0) if f.unseen.size else cell(f.learnt, 0, 0)):.0f}",
        "ordinary": f"{100 * (cell(f.unseen, 1, 0) if f.unseen.size else cell(f.learnt, 1, 0)):.0f}",
    },
    code=(classifier.adapt, alphabets.glyph_tasks, alphabets.invented, fewshot.meta_train),
)  # fmt: skip
REUSE = View(
    "reuse", "What changes when it adapts?", reuse.Config, reuse.run, panels.of_reuse, fps=4, hold=True, seed="example",
    before=lambda cfg: (fewshot.learn, cfg.learning), progress=lambda f, cfg: f.iteration / cfg.meta_iterations,
    readouts=(
        Readout("inner steps", lambda f: f.step),
        Readout("all layers adapting", lambda f: cell(f.right, -1, 0), "estimate", percent=True,
                error=lambda f: half(f.right, -1), help="With half of the 95 % confidence interval over 60 alphabets"),
        Readout("the head alone", lambda f: cell(f.right, 0, 0), "estimate", percent=True,
                error=lambda f: half(f.right, 0)),
        Readout("CKA: least of the body", lambda f: float(f.cka[:-1, 0].min()) if f.cka.size else nan, "estimate",
                help="Debiased linear CKA with the features before the steps, mean over alphabets"),
        Readout("of the outputs", lambda f: cell(f.cka, -1, 0), "estimate", error=lambda f: half(f.cka, -1)),
    ),
    equation=lambda f, cfg: {
        "k": str(f.step), "last": f"{cell(f.cka, -2, 0):.3f}", "out": f"{cell(f.cka, -1, 0):.2f}"
    },
    code=(reuse.cka, reuse.hsic, reuse.frozen, classifier.adapt),
)  # fmt: skip
VIEWS = (GLYPHS, REUSE)
SCENES = (
    Scene("unseen", "One step of MAML beats ten of ordinary", "glyphs", {},
          "Both saw as many pictures. One was trained to name a hundred glyphs, the other to learn new ones."),
    Scene("overshoot", "At MAML's step size FOMAML overshoots", "glyphs", {"method": "fomaml"},
          "MAML feels it when its own steps are too long, and keeps its features small; FOMAML ends at chance."),
    Scene("oneshot", "From one picture each, MAML reads 7 of 10", "glyphs", {"shots": 1},
          "With a single picture of each class, the turn and the place of a glyph look as telling as its form."),
    Scene("reused", "Frozen but for its head, it reads as well", "reuse", {},
          "The features of the hidden layers stay what they were; the outputs are learned anew."),
    Scene("anil", "Trained by ANIL, it reads less well", "reuse", {"method": "anil", "adapts": "1"},
          "Features are only used again in both. But meta-training through all layers finds better ones."),
)  # fmt: skip
