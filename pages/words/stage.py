"""The stage: the browser asks for frames while it wants them, and only then is anything computed."""

import logging
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from functools import cache
from time import sleep
from typing import Any

import streamlit as st
from streamlit.components.v2 import component
from streamlit.errors import StreamlitAPIException

from engine.figures.view import View
from engine.figures.wire import MESSAGE, News, Track, encode, identity
from engine.knob import spell
from engine.reel import Reel
from pages.words.desk import Desk
from pages.words.frame import ASSETS

MODULES = (
    "wire",
    "paint",
    "axes",
    "svg",
    "relief",
    "adapt",
    "pointer",
    "layers",
    "pencil",
    "panel",
    "transport",
    "stage",
)
WIND = 0.05  # seconds of computing in answer to one request
LESSON = 0.12  # the same while a run is computed that others will share, or that one must wait for
LEAD = 0.1  # seconds in which the browser paints another picture before the rest of the page reaches it
AHEAD = 40  # frames the browser may lag behind before it is served without more computing


@cache
def bundle() -> str:
    """The stage's JavaScript modules as one, without the imports that join them."""
    lines = "\n".join((ASSETS / "stage" / f"{name}.js").read_text("utf-8") for name in MODULES).split("\n")
    own = (line for line in lines if not line.startswith("import "))
    return "\n".join(line if line.startswith("export default") else line.removeprefix("export ") for line in own)


STAGE = component(
    "stage",
    html='<div class="stage"></div>',
    css=(ASSETS / "stage" / "stage.css").read_text("utf-8"),
    js=bundle(),
    isolate_styles=False,
)


def screen(desk: Desk) -> None:
    """The stage alone. It runs again by itself whenever the browser asks for frames.

    It has a container to itself: when a busy server begins such a run before the browser has heard all of the last
    one, Streamlit drops what the fragment had written, and whatever stood beside it would come out of place.
    """

    @st.fragment(key=f"{desk.topic}.stage")
    def page() -> None:
        _screen(desk)

    with st.container():
        page()


def _screen(desk: Desk) -> None:
    key = f"{desk.topic}.screen"

    def told(name: str) -> Mapping[str, Any]:
        return (st.session_state.get(key) or {}).get(name) or {}  # nothing, once the visitor has left the page

    def pulled() -> None:
        asked = told("pull")
        desk.have, desk.held, desk.pulled = dict(asked.get("have", {})), str(asked.get("id", "")), True
        st.session_state["answered"] = True

    def rested() -> None:
        _rest(desk, told("cursor"))

    def happened() -> None:
        _events(desk, told("event"))

    if not desk.view.bare and (desk.turned or desk.shown != desk.page):
        desk.acted = True
        st.rerun()
    held, message = desk.held, _message(desk)
    STAGE(key=key, data=message, on_pull_change=pulled, on_cursor_change=rested, on_event_change=happened)
    if held and held != desk.held:
        _lead()


def _lead() -> None:
    """Let the browser paint first: it is busy for a while once it hears of everything else that follows."""
    for _ in range(10):
        sleep(LEAD / 10)
        _heed()


def _configs(desk: Desk) -> list[Any]:
    pinned = desk.state.pinned
    return [desk.state.cfg] if pinned is None or pinned == desk.state.cfg else [desk.state.cfg, pinned]


def _name(desk: Desk, cfg: Any) -> str:
    return f"{desk.topic}/{desk.view.name}?{'&'.join(f'{k}={v}' for k, v in spell(cfg).items())}"


def _message(desk: Desk) -> bytes:
    """What the browser lacks: the frames recorded since the last it holds, and the picture when it is another."""
    view, configs = desk.view, _configs(desk)
    tracks = [Track(_name(desk, cfg), view.panels(cfg), view.readouts, _opening(view, cfg)) for cfg in configs]
    look = {name: getattr(view, name) for name in ("fps", "hold", "follow", "bare")}
    look |= {"view": view.name, "present": desk.state.present}
    name = identity(tracks, look)
    news = [
        _news(Reel(view, cfg), desk.have.get(track.tape, 0), desk.pulled, view.bare and not desk.pulled)
        for cfg, track in zip(configs, tracks, strict=True)
    ]
    room = MESSAGE if desk.pulled else 1
    desk.turns += 1
    look |= {"cursor": desk.state.frame}
    place = desk.placed, desk.state.frame
    message = encode(tracks, news, look, desk.held != name, room, desk.turns, desk.heard, place)
    desk.held, desk.pulled = name, False
    return message


def _opening(view: View, cfg: Any) -> str:
    begins = view.before(cfg) if view.before and view.thin else None
    return repr(begins[1]) if begins else ""


def _news(reel: Reel, have: int, pulled: bool, patient: bool) -> News:
    failure = ""
    try:
        if not (reel.done or patient) and len(reel.frames) - have < (AHEAD if pulled else 1):
            reel.wind((WIND if reel.ready else LESSON) if pulled else 0, _heed)
    except Exception as problem:
        logging.getLogger(__name__).warning("a run stopped", exc_info=problem)
        failure = f"This run stopped: {problem}"
    frames = reel.frames
    start = min(have, len(frames))
    opened = len(reel.opening) if reel.ready else 0
    return News(start, frames[start:], reel.done, failure, reel.waiting, opened)


def _heed() -> None:
    """Where a visitor has turned a knob meanwhile, end this run of the page: whoever reads the state is interrupted."""
    st.session_state.get("contents")


def _rest(desk: Desk, cursor: Mapping[str, Any]) -> None:
    """The cursor moves on or came to rest: the formula and the link follow."""
    if cursor.get("tape") == _name(desk, desk.state.cfg):
        desk.at = int(cursor["frame"])
        desk.state = replace(desk.state, frame=None if cursor.get("playing") else desk.at)
    with suppress(StreamlitAPIException):  # there is nothing to run again where the visitor has left the page
        st.rerun([f"{desk.topic}.stage", f"{desk.topic}.reading"])  # the stage too: it may have asked for frames


def _events(desk: Desk, said: Mapping[str, Any]) -> None:
    """The browser tells again what it does not know to be heard, so some of it may be old."""
    by, events = str(said.get("by", "")), said.get("events", [])
    before = desk.heard[1] if desk.heard[0] == by else 0
    for event in (event for event in events if event["turn"] > before):
        desk.heard = by, event["turn"]
        _event(desk, event)


def _event(desk: Desk, event: Mapping[str, Any]) -> None:
    """The visitor dragged or drew something."""
    try:
        if event.get("type") == "drag":
            desk.turn(**dict(zip(event["names"], map(float, event["values"]), strict=True)))
        elif event.get("type") in desk.view.events:
            desk.turn(**desk.view.events[event["type"]](event, desk.state.cfg))
    except (ValueError, KeyError, TypeError) as problem:
        desk.notes = [str(problem)]
