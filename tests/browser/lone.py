"""A stage alone on an empty page, its modules as they lie in assets/stage, fed by hand."""

import base64
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from playwright.sync_api import BrowserContext, Route

from engine.figures.panel import Axis, Panel, arrows, cloud, contours, curve, field, images, marks, path
from engine.figures.view import Readout
from engine.figures.wire import News, Track, encode
from tests.browser.server import ROOT
from tests.browser.tab import Tab

HOME = "http://127.0.0.1/"  # nobody is asked: every request is answered from the files
PAGE = """<!doctype html><title>stage</title><style>
  :root { --st-background-color: #ffffff; --st-text-color: #111111;
    --st-primary-color: #0072B2; --st-font: sans-serif; }
  :root.dark { --st-background-color: #101418; --st-text-color: #eeeeee; }
  body { margin: 0; background: var(--st-background-color); }
</style><link rel="stylesheet" href="stage/stage.css"><link rel="icon" href="data:,">
<input id="elsewhere"><div id="hosts"></div>
<script type="module">
  import mount from "./stage/stage.js";
  window.told = [];
  window.give = (text, host = "first") => {
    let parent = document.getElementById(host);
    if (!parent) {
      parent = Object.assign(document.createElement("div"), { id: host, innerHTML: '<div class="stage"></div>' });
      document.getElementById("hosts").append(parent);
    }
    const say = (kind) => (name, value) => window.told.push({ kind, name, value, host });
    const data = text && Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
    window.leave = mount({
      data, parentElement: parent, setStateValue: say("state"), setTriggerValue: say("trigger") });
  };
</script>"""
LOOK = {"view": "test", "fps": 20, "hold": False, "follow": False, "bare": False, "present": False, "cursor": None}
TYPES = {".js": "text/javascript", ".css": "text/css"}


class Frame(NamedTuple):
    """A frame with something for every kind of layer."""

    step: int
    cloud: np.ndarray  # (n, 2)
    field: np.ndarray  # (h, w)
    value: float


def frame(i: int, n: int = 50) -> Frame:
    """Frame i of the test's run; the cloud drifts to the right, so that frames can be told apart."""
    rng = np.random.default_rng(i)
    drift = np.array([i / 50 - 0.5, 0.0])
    return Frame(i, (drift + rng.normal(0, 0.1, (n, 2))).astype(np.float32), rng.random((6, 8)), 1 / (1 + i))


def broken(i: int) -> Frame:
    """A frame in which every number is NaN."""
    nan = float("nan")
    return Frame(i, np.full((5, 2), nan, np.float32), np.full((6, 8), nan), nan)


def hollow(i: int) -> Frame:
    """A frame in which every array is empty."""
    return Frame(i, np.zeros((0, 2), np.float32), np.zeros((0, 0)), float("nan"))


def panels() -> tuple[Panel, ...]:
    """A row of panels with every kind of layer, one of them to draw on."""
    x, y = Axis("x", -1, 1), Axis("y", -1, 1)
    space = (
        field("height", "data", lambda f: f.field),
        contours("level", "muted", lambda f: f.field, levels=(0.5,)),
        arrows("slope", "truth", lambda f: np.hstack([f.cloud, 0.1 * f.cloud])),
        cloud("points", "model", lambda f: f.cloud),
        path("way", "second", lambda f: f.cloud[:9], head=True),
        marks("start", "ink", np.zeros((1, 2)), labels=("start",), drag=("start_x", "start_y")),
    )
    loss = (
        curve("loss", "model", lambda f: (f.step, f.value, f.value - 0.1, f.value + 0.1)),
        curve("least", "truth", lambda f: (f.step, 0.1)),
    )
    pictures = images("pictures", "data", lambda f: np.clip(f.field, 0, 1)[None], columns=1)
    return (
        Panel("Space", space, x, y, equal=True, name="space", draw="points"),
        Panel("Loss", loss, Axis("step", 0, 60), Axis("loss", 0, 1.2), name="loss"),
        Panel("Pictures", (pictures,), axes=False, name="pictures", draw="picture"),
    )


READOUTS = (Readout("step", lambda f: f.step), Readout("loss", lambda f: f.value, "estimate", error=lambda f: 0.1))


def message(
    frames: Sequence[Frame] = (),
    start: int = 0,
    *,
    spec: bool = True,
    done: bool = False,
    failure: str = "",
    tape: str = "run",
    row: Sequence[Panel] | None = None,
    heard: tuple[str, int] = ("", 0),
    place: tuple[int, int | None] = (0, None),
    **look: Any,
) -> bytes:
    """One message of one track, as the page would send it."""
    track = Track(tape, panels() if row is None else row, READOUTS)
    news = [News(start, frames, done, failure)]
    return encode([track], news, LOOK | look, spec, room=1 << 30, heard=heard, place=place)


class Lone(Tab):
    """A page with one stage, or several, fed by hand."""

    def __init__(self, context: BrowserContext) -> None:
        super().__init__(context, HOME)
        self.page.route("**/*", _serve)
        self.page.goto(HOME)
        self.page.wait_for_function("() => !!window.give")

    def give(self, data: bytes = b"", host: str = "first") -> "Lone":
        """Mount with a message, or again without one."""
        self.page.evaluate("([data, host]) => give(data, host)", [base64.b64encode(data).decode(), host])
        return self

    def told(self, name: str, host: str = "first") -> list[Any]:
        """What the stage has told the page so far: of name pull, event or cursor."""
        everything: list[dict] = self.page.evaluate("window.told")
        values = [one["value"] for one in everything if one["name"] == name and one["host"] == host]
        if name != "event":
            return values
        return list({event["turn"]: event for value in values for event in value["events"]}.values())


def _serve(route: Route) -> None:
    name = route.request.url.removeprefix(HOME)
    file = ROOT / "assets" / name
    if not name:
        route.fulfill(body=PAGE, content_type="text/html")
    elif file.is_file():
        route.fulfill(body=file.read_text("utf-8"), content_type=TYPES[file.suffix])
    else:
        route.fulfill(status=404, body="")
