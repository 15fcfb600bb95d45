"""What every topic declares, for tests that are to hold for all of them."""

from collections.abc import Callable, Sequence
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

from engine.figures.panel import Panel
from engine.figures.still import to_plotly
from engine.figures.view import Scene, View
from engine.knob import tidy
from engine.reel import Reel

ROOT = Path(__file__).parent.parent


def topics() -> dict[str, tuple[tuple[View, ...], tuple[Scene, ...]]]:
    """The views and scenes of every topic that has its page."""
    names = sorted(path.stem for path in (ROOT / "pages").glob("*.py") if path.stem not in ("__init__", "home"))
    modules = {name: import_module(f"engine.figures.{name}") for name in names}
    return {name: (module.VIEWS, module.SCENES) for name, module in modules.items()}


TOPICS = topics()
VIEWS = [(topic, view) for topic, (views, _) in TOPICS.items() for view in views]
SCENES = [(topic, scene) for topic, (_, scenes) in TOPICS.items() for scene in scenes]


def view_of(topic: str, name: str) -> View:
    """The view of that name."""
    return next(view for view in TOPICS[topic][0] if view.name == name)


def named(value: object) -> str:
    """A readable name for a parametrised test."""
    return getattr(value, "name", value if isinstance(value, str) else "")


def filming(scenes: Sequence[Scene], views: Sequence[View]) -> Callable[..., Any]:
    """A function of a scene's name and of knobs to turn that gives every frame of its run, each run wound once."""
    by_name = {view.name: view for view in views}

    @cache
    def frames(name: str, **changes: Any) -> Any:
        scene = next(scene for scene in scenes if scene.name == name)
        view = by_name[scene.view]
        reel = Reel(view, tidy(view.config, dict(scene.settings) | changes))
        while not reel.done:
            reel.wind(1)
        return reel.frames

    return frames


def drawn(name: str, scenes: Sequence[Scene], views: Sequence[View], frames: Sequence[Any]) -> None:
    """Check that the whole run of a scene can be drawn and read."""
    scene = next(scene for scene in scenes if scene.name == name)
    view = next(view for view in views if view.name == scene.view)
    cfg = tidy(view.config, dict(scene.settings))
    for panel in view.panels(cfg):
        assert isinstance(panel, Panel) and to_plotly(panel, frames)
    assert not view.equation or all(view.equation(frames[-1], cfg).values())
    assert all(isinstance(readout.of(frames[-1]), (int, float)) for readout in view.readouts)
