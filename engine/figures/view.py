"""How a page is put together: its views, each with the settings and the run behind it, and its scenes."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from engine.figures.panel import Panel


@dataclass(frozen=True)
class Readout:
    """A number under the stage, and how far it may be trusted: exact, estimate (with its error) or bound."""

    label: str
    of: Callable[[Any], float]
    trust: str = "exact"
    digits: int = 3
    error: Callable[[Any], float] | None = None
    percent: bool = False
    help: str = ""


@dataclass(frozen=True, eq=False)
class View:
    """One linked picture of a topic: knobs → run → frames → panels."""

    name: str
    title: str
    config: type
    run: Callable[[Any], Any]
    panels: Callable[[Any], Sequence[Panel]]
    readouts: Sequence[Readout] = ()
    fps: float = 15  # frames a second at speed 1
    hold: bool = False  # keep the cursor when a knob moves: for runs in which time is a knob
    seed: str = "seed"  # the knob that "a new seed" turns
    follow: bool = False  # stay at the newest frame while it is computed: for runs that one watches live
    before: Callable[[Any], tuple[Callable, Any] | None] | None = None  # the run and Config that it begins with
    thin: int = 0  # of that run every n-th frame is shown; 0: it is only waited for
    progress: Callable[[Any, Any], float] | None = None  # how far that run is, from its latest frame
    bare: bool = False  # a thumbnail: one panel, no controls, playing for ever
    charts: Callable[[Sequence[Any], Any, bool], Mapping[str, Any]] | None = None  # frames, cfg, dark -> Plotly figures
    equation: Callable[[Any, Any], Mapping[str, str]] | None = None  # numbers that the formula shows
    code: Sequence[Callable] = ()  # what ran
    events: Mapping[str, Callable[[Mapping[str, Any], Any], Mapping[str, Any]]] = field(
        default_factory=dict
    )  # what the visitor did on the stage, and the Config it was done to -> settings
    mend: Callable[[Any], tuple[Any, str]] = lambda cfg: (cfg, "")  # the nearest Config that can run, and why
    uploads: Mapping[str, tuple[Sequence[str], Callable[[bytes], tuple[dict[str, Any], list[str]]]]] = field(
        default_factory=dict
    )  # label -> (file kinds, reader to settings and notes)


@dataclass(frozen=True)
class Scene:
    """A named preset whose title is a claim that one can see."""

    name: str
    title: str
    view: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    says: str = ""  # what to look at, one sentence


def find(named: Sequence[Any], name: str) -> Any | None:
    """The view or scene of that name, if there is one."""
    return next((one for one in named if one.name == name), None)
