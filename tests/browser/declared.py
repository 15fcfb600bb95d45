"""What the engine declares about a page, for tests that are to hold for every page: links, knobs, panels to draw on."""

from dataclasses import Field
from typing import Any

from engine import link
from engine.figures.view import Scene, View
from engine.knob import Knob, knobs, tidy
from tests.topics import SCENES, TOPICS, VIEWS

SHORT = {"autoencoder_steps": 50, "denoiser_steps": 50}  # where another run must come first, a short one
WALK = ("diffusion_denoising", "langevin")  # a view where nothing trains
TRAINING = ("diffusion_denoising", "learn")  # one where something does
TIMED = ("diffusion_denoising", "forward")  # one where time is a knob

FIRST = [next(one for one in SCENES if one[0] == topic and one[1].view == view.name) for topic, view in VIEWS]


def view_id(value: Any) -> str:
    """A readable name for a parametrised test."""
    topic, named = value
    return f"{topic}-{named.name}"


def words(topic: str, view: View, **settings: Any) -> dict[str, str]:
    """The link of a view with some knobs turned, as the page itself writes it."""
    views, scenes = TOPICS[topic]
    state = link.State(view.name, view.mend(tidy(view.config, settings))[0])
    return link.write(views, scenes, state)


def short(view: View) -> dict[str, int]:
    """Settings that make a view's first picture come soon."""
    return {f.name: SHORT[f.name] for f, _ in knobs(view.config) if f.name in SHORT}


def sliders(view: View) -> list[tuple[Field, Knob]]:
    """The numeric knobs that are in view."""
    return [(f, k) for f, k in knobs(view.config) if k.low is not None and not k.folded]


def widget(topic: str, view: View, name: str) -> str:
    """The selector of a knob's widget."""
    return f".st-key-{topic}-{view.name}-{name}"


def drawable(kind: str) -> list[tuple[str, View]]:
    """The views in which one may draw points, or a picture."""
    return [(topic, view) for topic, view in VIEWS if any(panel.draw == kind for panel in view.panels(view.config()))]


def scenes_of(topic: str, view: View) -> list[Scene]:
    """The scenes of one view, as they stand in its row."""
    return [scene for scene in TOPICS[topic][1] if scene.view == view.name]
