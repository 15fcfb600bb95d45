"""What a visitor waits for, measured in Chromium against a server on the same machine."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import cos

from playwright.sync_api import Browser, Locator

from engine.figures.view import View
from tests.bench.row import Row, row, said
from tests.browser.declared import TIMED, TOPICS, TRAINING, VIEWS, WALK, sliders, widget
from tests.browser.server import Server, browser
from tests.browser.tab import LOOKS, Tab

BUDGET, POINT = ("adversarial_examples", "attack"), ("maml_adaptation", "adapt")  # where one drags
ROUNDS, MOVES, SECONDS, SESSIONS = 3, 25, 3.0, 5
ARM = """
  const shown = () => document.querySelector('.stage:not(.bare)')?.dataset.tape;
  const before = shown();
  window.taken = new Promise((done) => {
    const began = () => {
      const start = performance.now();
      const look = () => {
        const now = shown();
        if (now && now !== before) done(performance.now() - start);
        else if (performance.now() - start > 15000) done(NaN);
        else requestAnimationFrame(look);
      };
      look();
    };
    document.addEventListener('EVENT', began, { capture: true, once: true });
  });
"""  # from the visitor's act to the first paint of another run, to the screen's own tick
DRAWN = """
  window.taken = new Promise((done) => {
    const began = () => {
      const start = performance.now();
      const seen = new MutationObserver(() => { seen.disconnect(); done(performance.now() - start); });
      seen.observe(document.querySelector('.js-plotly-plot'), { childList: true, subtree: true });
      setTimeout(() => done(NaN), 15000);
    };
    document.addEventListener('keydown', began, { capture: true, once: true });
  });
"""  # and to the first change of a chart
TITLED = """
  window.taken = new Promise((done) => {
    const title = () => document.querySelector('.js-plotly-plot .gtitle')?.textContent;
    const began = () => {
      const [start, before] = [performance.now(), title()];
      const look = () => requestAnimationFrame(
        () => title() && title() !== before ? done(performance.now() - start) : look());
      look();
      setTimeout(() => done(NaN), 15000);
    };
    document.addEventListener('EVENT', began, { capture: true, once: true });
  });
"""  # and to the first tick of the screen with a chart of another title
FOLLOW = """
  let since = null;
  window.taken = [];
  document.addEventListener('EVENT', () => { since ??= performance.now(); }, { capture: true });
  new MutationObserver(() => {
    if (since !== null) window.taken.push(performance.now() - since);
    since = null;
  }).observe(document.querySelector('.stage:not(.bare)'), { attributeFilter: ['data-painted'] });
"""  # from each move of a hand to the paint that follows it, for as long as it moves
EXAMPLE = """(stage) => {
  const panel = stage.panels[0];
  const { data } = panel.array(panel.layers.find((layer) => layer.name.startsWith('A,')), stage.cursor);
  const box = panel.canvas.getBoundingClientRect();
  return [box.left + panel.x.pixel(data[4]), box.top + panel.y.pixel(data[5])];
}"""  # where the third example to adapt on lies
SWING = [0.5 - 0.5 * cos(i / 8) for i in range(100)]  # there and back, as a hand goes
COUNT = """async ([seconds, scrub]) => {
  const root = document.querySelector('.stage:not(.bare)');
  const slider = root.querySelector('input[type=range]');
  const [start, before] = [performance.now(), +root.dataset.painted];
  while (performance.now() - start < 1000 * seconds) {
    if (scrub) {
      const share = 0.5 - 0.5 * Math.cos((performance.now() - start) / 400);
      slider.value = share * slider.max;
      slider.dispatchEvent(new Event('input', { bubbles: true }));
    }
    await new Promise(requestAnimationFrame);
  }
  return (+root.dataset.painted - before) / ((performance.now() - start) / 1000);
}"""


def start() -> Iterator[Row]:
    """A fresh server's start to the first painted picture, by the home page and by a deep link."""
    topic, view = TRAINING
    with browser() as chrome:
        for what, page, root in (("home", "", ".stage"), (f"deep link to {view}", topic, ".stage:not(.bare)")):
            taken = [_cold(chrome, page, {"view": view} if page else {}, root) for _ in range(ROUNDS)]
            yield row("start", f"server start to first picture, {what}", "s", taken)


def _cold(chrome: Browser, page: str, words: dict[str, str], root: str) -> float:
    context = chrome.new_context(**LOOKS["light"])
    with Server() as server:
        Tab(context, server.url).goto(page, **words).until("+root.dataset.painted > 0", seconds=60, root=root)
        taken = time.perf_counter() - server.started
    context.close()
    return taken


def knob() -> Iterator[Row]:
    """A key on a slider to the first paint of the new run, where nothing trains."""
    with _house() as (tab, _):
        for topic, name in (WALK, TIMED):
            visitor = tab().open(topic, view=name)
            taken = _moves(visitor, *_find(topic, name))
            visitor.page.context.close()
            yield row("knob", f"key on a slider to new picture, {name}", "ms", taken)
    with browser() as chrome, Server("tests/bench/least.py") as server:
        tab = Tab(chrome.new_context(**LOOKS["light"]), server.url).goto()
        tab.page.wait_for_selector(".stage[data-tape]", state="attached")
        handle = tab.page.locator("input[type=range]")
        yield row("knob", "the same on a page of one slider and one number", "ms", _pressed(tab.idle(), handle, MOVES))
    with browser() as chrome, Server("tests/bench/heat.py") as server:
        tab = Tab(chrome.new_context(**LOOKS["light"]), server.url).goto()
        tab.page.wait_for_selector(".js-plotly-plot .gtitle", state="attached")
        taken = _pressed(tab.idle(), tab.page.locator("input[type=range]"), MOVES, TITLED)
        yield row("knob", "the same on a page of one slider and a heat map by Plotly", "ms", taken)


def _find(topic: str, name: str) -> tuple[str, View]:
    return topic, next(view for view in TOPICS[topic][0] if view.name == name)


def _moves(tab: Tab, topic: str, view: View, moves: int = MOVES) -> list[float]:
    """Milliseconds from each press to the first paint; the first, which imports and draws much, is left out."""
    f, _ = sliders(view)[0]
    return _pressed(tab.idle(), tab.page.locator(f"{widget(topic, view, f.name)} input[type=range]"), moves)


def _pressed(tab: Tab, handle: Locator, moves: int, arm: str = ARM) -> list[float]:
    taken = []
    for i in range(moves + 1):
        handle.focus()
        tab.do(arm.replace("EVENT", "keydown"))
        tab.page.keyboard.press("ArrowLeft" if i % 16 < 8 else "ArrowRight")
        taken.append(tab.page.evaluate("window.taken"))
        tab.idle().page.wait_for_timeout(150)
    return taken[1:]


def click() -> Iterator[Row]:
    """A click to the first frame of a training that nobody has seen: a new seed, and a scene."""
    with _house() as (tab, _):
        for topic, view in VIEWS:
            if view.before is not None or not hasattr(view.config(), view.seed) or (topic, view.name) in (WALK, TIMED):
                continue
            visitor = tab().open(topic, view=view.name).idle()
            taken = [_clicked(visitor, ".st-key-hotkey_s button") for _ in range(10)]
            yield row("click", f"click for a new seed to first frame, {view.name}", "ms", taken[1:])
            mine = [s for s in TOPICS[topic][1] if s.view == view.name]
            taken = [_clicked(visitor, f".st-key-hotkey_{i} button") for i in range(1, len(mine) + 1)]
            visitor.page.context.close()  # whoever stays takes time from the next
            yield row("click", f"click on a scene to first frame, {view.name}", "ms", taken)


def _clicked(tab: Tab, button: str) -> float:
    tab.do(ARM.replace("EVENT", "pointerdown"))
    tab.page.locator(button).first.click()
    taken = float(tab.page.evaluate("window.taken"))
    tab.idle().page.wait_for_timeout(200)
    return taken


def drag() -> Iterator[Row]:
    """A hand that drags something to the picture that follows: a budget over its recorded run, a point to adapt on."""
    with _house() as (tab, _):
        visitor = _recorded(tab(), *BUDGET).idle()
        track = visitor.page.locator(".stage:not(.bare) input[type=range]").bounding_box()
        assert track
        left, y = track["x"] + 8, track["y"] + track["height"] / 2
        places = [left + (track["width"] - 16) * share for share in SWING]
        yield row("drag", "budget dragged to all pictures, attack", "ms", _followed(visitor, "input", places, y))
        visitor.page.context.close()
        visitor = _recorded(tab(), *POINT).idle()
        x, y = visitor.see(f"({EXAMPLE})(stage)")
        taken = _followed(visitor, "pointermove", [x + 160 * share for share in SWING], y)
        yield row("drag", "example dragged to six adapted functions and their losses, adapt", "ms", taken)


def _followed(tab: Tab, event: str, places: list[float], y: float) -> list[float]:
    """Milliseconds from each move of a held pointer to the paint after it."""
    mouse = tab.page.mouse
    mouse.move(places[0], y)
    mouse.down()
    tab.do(FOLLOW.replace("EVENT", event))
    for x in places[1:]:
        mouse.move(x, y)
        tab.page.wait_for_timeout(40)
    mouse.up()
    return tab.page.evaluate("window.taken")[1:]


def chart() -> Iterator[Row]:
    """A key on a slider to the new Plotly chart, in the views that have one."""
    charted = [(topic, view) for topic, view in VIEWS if view.charts]
    if not charted:
        yield said("chart", "no view draws a Plotly chart yet, so there is none to wait for")
        return
    with _house() as (tab, _):
        for topic, view in charted:
            visitor = tab().open(topic, view=view.name).idle()
            yield row("chart", f"key on a slider to new chart, {view.name}", "ms", _charts(visitor, topic, view))


def _charts(tab: Tab, topic: str, view: View) -> list[float]:
    """Milliseconds from each press until the chart has been drawn anew."""
    f, _ = sliders(view)[0]
    handle = tab.page.locator(f"{widget(topic, view, f.name)} input[type=range]")
    taken = []
    for i in range(MOVES):
        handle.focus()
        tab.do(DRAWN)
        tab.page.keyboard.press("ArrowLeft" if i % 16 < 8 else "ArrowRight")
        taken.append(tab.page.evaluate("window.taken"))
        tab.idle().page.wait_for_timeout(600)
    return taken


def pictures() -> Iterator[Row]:
    """Paints a second while a recorded run plays and while it is scrubbed, in every view that trains nothing first."""
    with _house() as (tab, _):
        for topic, view in VIEWS:
            if view.before is not None:
                continue
            visitor = _recorded(tab(), topic, view.name)
            yield row("pictures", f"paints a second, playing {view.name}", "1/s", _playing(visitor))
            yield row("pictures", f"paints a second, scrubbing {view.name}", "1/s", _scrubbing(visitor))
            visitor.page.context.close()


def _recorded(tab: Tab, topic: str, view: str) -> Tab:
    """A tab that holds a whole run."""
    return tab.open(topic, view=view).do("stage.speed = 8").until("stage.done", seconds=90).do("stage.speed = 1")


def _playing(tab: Tab) -> list[float]:
    """Slowed down so that the run lasts, from its start."""
    tab.do(f"stage.speed = Math.min(1, stage.length / stage.spec.fps / {SECONDS + 1}); stage.cursor = 0")
    tab.do("if (!stage.playing) stage.toggle()")
    return [float(tab.page.evaluate(COUNT, [SECONDS / 3, False])) for _ in range(3)]


def _scrubbing(tab: Tab) -> list[float]:
    return [float(tab.page.evaluate(COUNT, [SECONDS / 3, True])) for _ in range(3)]


def together() -> Iterator[Row]:
    """The same with a second visitor whose network trains, and how soon that second visitor's knob answers."""
    with _house() as (tab, _):
        one = _recorded(tab(), *WALK)
        two = tab().open(TRAINING[0], view=TRAINING[1], train_steps="3000").until("stage.length > 3")
        yield row("together", f"paints a second, playing {WALK[1]} while another trains", "1/s", _playing(one))
        yield row("together", f"paints a second, scrubbing {WALK[1]} while another trains", "1/s", _scrubbing(one))
        two.page.context.close()
        one.open(TRAINING[0], view=TRAINING[1], train_steps="3000", seed="7").until("stage.playing")
        moved = tab().open(WALK[0], view=WALK[1])
        note = "" if not one.see("stage.done") else "the other run had ended"
        taken = _moves(moved, *_find(*WALK), moves=15)
        yield row("together", "key on a slider to new picture while another trains", "ms", taken, note)


def memory() -> Iterator[Row]:
    """Memory of the server with one visitor and with five more, all watching the same run."""
    topic, view = WALK
    with _house() as (tab, server):
        _recorded(tab(), topic, view)
        before = server.memory
        taken = []
        for _ in range(SESSIONS):
            _recorded(tab(), topic, view)
            taken.append((server.memory - before) / 2**20)
            before = server.memory
        yield row("memory", "server, with one visitor", "MiB", [before / 2**20])
        yield row("memory", "server, each visitor more", "MiB", taken)


@contextmanager
def _house() -> Iterator[tuple[Callable[[], Tab], Server]]:
    """A warm server, and new visitors to it."""
    with browser() as chrome, Server() as server:
        make = lambda: Tab(chrome.new_context(**LOOKS["light"]), server.url)  # noqa: E731
        make().open(TRAINING[0], view=TRAINING[1]).until("stage.length > 5").page.context.close()
        yield make, server


BENCHES = {bench.__name__: bench for bench in (start, knob, click, drag, chart, pictures, together, memory)}
