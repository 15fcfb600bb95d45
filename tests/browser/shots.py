"""`python -m tests.browser.shots OUT [--only SUBSTRING]`: a picture of every page, scene and look, to look at."""

import argparse
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from playwright.sync_api import Browser, Error
from playwright.sync_api import TimeoutError as TooLong

from tests.browser.server import Server, browser
from tests.browser.tab import LOOKS, Tab
from tests.topics import TOPICS

PATIENCE = 6  # seconds of playing before the picture is taken
SHOTS = ("light", "playing", "dark", "present", "phone", "below")
TALL = dict(width=1280, height=1900)


class Shot(NamedTuple):
    """One picture: where, in which look, and the words of the link."""

    page: str
    look: str
    words: dict[str, Any]
    name: str


def shots() -> Iterator[Shot]:
    """Every page × scene × look; what is below the fold once a view."""
    for look in ("light", "dark", "phone"):
        yield Shot("", look, {}, f"home-{look}")
    for topic, (_, scenes) in TOPICS.items():
        seen: set[str] = set()
        for scene in scenes:
            for look in SHOTS[: 5 if scene.view in seen else 6]:
                words = {"scene": scene.name} | ({"present": 1} if look == "present" else {})
                yield Shot(topic, look, words, f"{topic}-{scene.view}-{scene.name}-{look}")
            seen.add(scene.view)


def take(chrome: Browser, server: Server, shot: Shot, out: Path) -> list[str]:
    """Take one picture (of every tab, below the fold) and say what went wrong meanwhile."""
    context = chrome.new_context(**LOOKS.get(shot.look, LOOKS["light"]))
    tab = Tab(context, server.url)
    try:
        (_topic if shot.page else _home)(tab, shot, out)
    except Error as problem:  # the next picture may still be fine
        tab.faults.append(f"no picture: {problem}")
    faults = tab.faults + tab.page.locator("[data-testid=stException]").all_inner_texts()
    context.close()
    return faults


def _home(tab: Tab, shot: Shot, out: Path) -> None:
    tab.goto().until("+root.dataset.painted > 20", root=".stage").idle()
    _save(tab, shot, out)


def _topic(tab: Tab, shot: Shot, out: Path) -> None:
    tab.open(shot.page, **shot.words)
    if shot.look == "playing":
        tab.until("stage.done || (stage.playing && +root.dataset.painted > 45)", seconds=PATIENCE + 20)
    else:
        _played(tab)
    if shot.look == "below":
        return _below(tab, shot, out)
    tab.idle()
    return _save(tab, shot, out)


def _played(tab: Tab) -> None:
    """To the end of the run, or for six seconds."""
    with suppress(TooLong):
        tab.do("stage.speed = 6").until("stage.done && !stage.playing", seconds=PATIENCE)
    tab.do("stage.speed = 1").do("stage.seek(stage.cursor)").settled()
    tab.page.wait_for_timeout(400)  # until the cursor has rested and the formula follows


def _below(tab: Tab, shot: Shot, out: Path) -> None:
    tab.page.set_viewport_size(TALL)  # type: ignore[arg-type]
    tabs = tab.page.locator(".st-key-below [role=tab]")
    for i in range(tabs.count()):
        tabs.nth(i).click()
        tab.page.wait_for_timeout(500)
        tab.idle()
        tab.page.screenshot(path=out / f"{shot.name}-{i + 1}.png")


def _save(tab: Tab, shot: Shot, out: Path) -> None:
    if shot.look == "phone":  # all of it, in one tall picture
        high = tab.page.evaluate("document.querySelector('[data-testid=stMain]').scrollHeight")
        tab.page.set_viewport_size(dict(width=390, height=min(int(high), 2600)))  # type: ignore[arg-type]
        tab.page.wait_for_timeout(400)
    tab.page.screenshot(path=out / f"{shot.name}.png")


def main() -> int:
    """Take the pictures and report each with its faults; the exit status is 1 when there was one."""
    parser = argparse.ArgumentParser(prog="python -m tests.browser.shots", description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--only", default="", help="only names that contain this")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    wrong = 0
    with Server() as server, browser() as chrome:
        for shot in shots():
            if args.only not in shot.name:
                continue
            start = time.perf_counter()
            faults = take(chrome, server, shot, args.out)
            print(f"{time.perf_counter() - start:5.1f} s  {shot.name}  {'; '.join(faults) or 'fine'}", flush=True)
            wrong += bool(faults)
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
