"""Attacks, seen: one picture, a ball to step in, a population, and a single pixel."""

from typing import Any

from engine.adversarial_examples import (
    ball,
    budget,
    classifiers,
    instance,
    minimum,
    pixel,
    population,
    query,
    shared,
    threat,
    universal,
)
from engine.figures import adversarial_attack_panels as panels
from engine.figures.brought import pictured, uploaded
from engine.figures.panel import cell
from engine.figures.view import Readout, Scene, View


def learned(cfg: Any) -> tuple[Any, tuple[classifiers.Learning, ...]]:
    """The trainings that a view begins with."""
    return classifiers.learn_all, cfg.needed


LEARNED: dict[str, Any] = {"before": learned, "progress": lambda f, cfg: f.progress}
ATTACK = View(
    "attack", "How little does it take to fool a network?", instance.Config, instance.run, panels.of_attack, fps=10,
    hold=True, seed="noise", mend=instance.possible,
    readouts=(
        Readout("budget ε", lambda f: f.eps),
        Readout("change shown ×", lambda f: f.scale),
        Readout("shows", lambda f: f.label),
        Readout("reads as", lambda f: f.reads),
        Readout("sure of it", lambda f: f.own, percent=True, help="Probability of what the picture shows"),
    ),
    equation=lambda f, cfg: {"eps": f"{f.eps:.3g}", "used": f"{f.used:.3g}", "own": f"{100 * f.own:.1f}",
                             "reads": f"{f.reads}", "label": f"{f.label}"},
    code=(budget.fgsm, budget.pgd, instance.walk),
    events={"picture": pictured},
    uploads={"Bring a picture": (("png", "jpg", "jpeg"), uploaded)},
    **LEARNED,
)  # fmt: skip
BALL = View(
    "ball", "What do the step and the projection do?", ball.Config, ball.run, panels.of_ball, fps=4, seed="noise",
    readouts=(
        Readout("step", lambda f: f.step),
        Readout("length of the change", lambda f: f.used),
        Readout("loss here", lambda f: f.loss, help="Nats, of the class that the point had"),
        Readout("worst in the ball", lambda f: f.worst, "bound", help="The highest loss of 81 × 81 places tried"),
        Readout("fooled", lambda f: f.fooled),
    ),
    equation=lambda f, cfg: {"used": f"{f.used:.3g}", "eps": f"{cfg.eps:.3g}", "alpha": f"{cfg.abs_stepsize:.3g}",
                             "loss": f"{f.loss:.3g}", "worst": f"{f.worst:.3g}"},
    code=(ball.ascent, threat.project, threat.steepest),
)  # fmt: skip
POPULATION = View(
    "population", "How many survive each budget?", population.Config, population.run, panels.of_population, fps=4,
    hold=True,
    readouts=(
        Readout("budget ε", lambda f: f.eps),
        Readout("FGSM", lambda f: cell(f.kept, 1), percent=True, help="Share of pictures that keep their label"),
        Readout("PGD", lambda f: cell(f.kept, 2), "bound", percent=True, help="A better attack could only lower it"),
        Readout("PGD, adversarially trained", lambda f: cell(f.kept, 4), "bound", percent=True),
        Readout("shortest change, median", lambda f: f.median, "bound", help="Of those found, over the pictures"),
        Readout("clean", lambda f: f.clean, percent=True),
    ),
    equation=lambda f, cfg: {"eps": f"{f.eps:.3g}", "pgd": f"{100 * cell(f.kept, 2):.0f}",
                             "shortest": f"{100 * cell(f.kept, 3):.0f}", "median": f"{f.median:.3g}"},
    code=(population.Attacker, population.shortest, minimum.ddn, minimum.fmn),
    **LEARNED,
)  # fmt: skip
UNIVERSAL = View(
    "universal", "Does one change fool on every picture?", shared.Config, shared.run, panels.of_universal, fps=8,
    readouts=(
        Readout("step", lambda f: f.step),
        Readout("fooled, held-out", lambda f: f.fooled, "estimate", error=lambda f: f.error, percent=True),
        Readout("fooled, learned from", lambda f: f.learned, percent=True),
        Readout("noise", lambda f: f.noise, percent=True, help="Random signs of the same size"),
        Readout("into one class", lambda f: f.into, percent=True, help="Held-out pictures that end in the commonest"),
    ),
    equation=lambda f, cfg: {"eps": f"{cfg.eps:.3g}", "fooled": f"{100 * f.fooled:.0f}",
                             "noise": f"{100 * f.noise:.0f}"},
    code=(universal.ascend, universal.fooling),
    **LEARNED,
)  # fmt: skip
PIXEL = View(
    "pixel", "Can a single pixel do it?", pixel.Config, pixel.run, panels.of_pixel, fps=6, seed="seed",
    readouts=(
        Readout("tried", lambda f: f.tried, help="Every pixel at every grey level, row by row"),
        Readout("of all", lambda f: f.share, percent=True),
        Readout("ways that fool", lambda f: f.ways),
        Readout("pixels that fool", lambda f: f.pixels),
        Readout("best margin", lambda f: f.best, help="Largest other logit less that of the label; above 0 it fools"),
        Readout("reads as", lambda f: f.reads),
    ),
    equation=lambda f, cfg: {"ways": f"{f.ways}", "tried": f"{f.tried}", "best": f"{f.best:.2f}"},
    code=(query.one_row, pixel.run),
    **LEARNED,
)  # fmt: skip
VIEWS = (ATTACK, BALL, POPULATION, UNIVERSAL, PIXEL)
SCENES = (
    Scene("shades", "A change one hardly sees fools it", "attack", {},
          "Play: ε grows from 0; by a tenth of a shade the network reads another numeral, and you still do not."),
    Scene("hardened", "Defended, it takes more", "attack", {"training": "robust"},
          "The same picture, the same attack, a network trained on attacked pictures: it takes more than twice the ε."),
    Scene("noise", "Noise does little", "attack", {"attack": "noise"},
          "Random signs need several times the ε: it is the direction that counts."),
    Scene("black", "It works on another network", "attack", {"box": "black", "data": "digits"},
          "The attacker never saw this network, only one of another kind with other weights."),
    Scene("shortest", "The shortest is well below FGSM’s", "attack", {"data": "digits", "attack": "ddn"},
          "DDN looks for the least ℓ2 length itself and stops at the boundary."),
    Scene("walk", "Every step is brought back", "ball", {},
          "A step of α may leave the square; the projection returns it, and the loss climbs towards the worst place."),
    Scene("printed", "As printed, it leaves the ball", "ball", {"rule": "unclipped"},
          "Ten steps of ε without a way back end ten times as far as allowed."),
    Scene("bare", "The bare gradient is no step", "ball", {"rule": "raw"},
          "Where the network is sure the gradient is next to nothing, and the first steps go nowhere."),
    Scene("curves", "More steps, fewer survivors", "population", {},
          "PGD is never above FGSM here, and the shortest changes found tell the same story."),
    Scene("one", "One change fools most pictures", "universal", {},
          "Learned on 500 pictures, tried on others; noise of the same size hardly matters."),
    Scene("pixel", "One pixel is enough for this nine", "pixel", {},
          "Eleven pixels of 64 can do it; the map shows which."),
    Scene("proof", "No pixel is enough for this one", "pixel", {"index": 3},
          "All 64 pixels at 17 levels were tried: that is a proof for this grid, not a failed search."),
)  # fmt: skip
