"""Knobs, scenes and the page's own tools, made from what the engine declares."""

from collections.abc import Callable
from dataclasses import Field, replace
from math import floor, log10
from typing import Any

import streamlit as st

from engine import link
from engine.figures.view import Scene
from engine.knob import Knob, knobs, tidy
from pages.words.desk import Desk

SEEDS = 1000


def headline(desk: Desk) -> None:
    """The question, and the tools that every page has."""
    pinned, present = desk.state.pinned is not None, desk.state.present
    pin = "Let go of the pinned run" if pinned else "Pin this run as A; what you change next is B beside it"
    with st.container(horizontal=True, vertical_alignment="center", key="headline"):
        st.title(desk.view.title, anchor=False)
        _tool("u", "undo", "Undo the last change", desk.undo, off=not desk.past)
        _tool("d", "restart_alt", "Back to the defaults", lambda: desk.go(cfg=desk.view.config(), frame=None))
        _tool("s", "casino", "A new seed" if desk.lucky else "No chance here, so no seed", lambda: _reseed(desk),
              off=not desk.lucky)  # fmt: skip
        _tool("a", "keep_off" if pinned else "keep", pin, lambda: desk.go(pinned=None if pinned else desk.state.cfg))
        _tool("p", "close_fullscreen" if present else "present_to_all", "Presenter's mode",
              lambda: desk.go(present=not present))  # fmt: skip


def _reseed(desk: Desk) -> None:
    name = desk.view.seed
    desk.turn(**{name: (getattr(desk.state.cfg, name) + 1) % SEEDS})


def _tool(key: str, icon: str, help: str, act: Callable[[], None], off: bool = False) -> None:
    help = f"{help} ({key.upper()})"
    st.button(f":material/{icon}:", key=f"hotkey_{key}", help=help, on_click=act, type="tertiary", disabled=off)


def scenes(desk: Desk) -> None:
    """The views of the topic, and the scenes of this one: each a claim that one can see."""
    key = f"{desk.topic}.view"
    st.session_state[key] = desk.state.view
    with st.container(horizontal=True, vertical_alignment="center", key="views"):
        st.segmented_control(
            "View", [view.name for view in desk.views], key=key, format_func=_capital, required=True,
            label_visibility="collapsed", on_change=lambda: desk.switch(st.session_state[key]),
        )  # fmt: skip
        now = link.matching(desk.scenes, desk.views, desk.state)
        if now and now.says:
            st.caption(now.says)
    mine = [scene for scene in desk.scenes if scene.view == desk.state.view]
    with st.container(horizontal=True, key="scenes"):
        for i, scene in enumerate(mine[:9], 1):
            _scene(desk, i, scene, scene is now)


def _capital(name: str) -> str:
    """A view's name as it stands in the row; one of three letters is an abbreviation."""
    return name.upper() if len(name) == 3 else name.capitalize()


def _scene(desk: Desk, number: int, scene: Scene, chosen: bool) -> None:
    config = desk.view.config
    st.button(
        scene.title, key=f"hotkey_{number}", type="primary" if chosen else "secondary", help=f"{scene.says} ({number})",
        on_click=lambda: desk.go(cfg=tidy(config, scene.settings), frame=None),
    )  # fmt: skip


def take(desk: Desk) -> None:
    """Take up what the widgets say before they are drawn, so that the picture need not wait for them."""
    declared = knobs(desk.view.config)
    now = {f.name: getattr(desk.state.cfg, f.name) for f, _ in declared}
    said = {f.name: st.session_state.get(desk.key(f.name), now[f.name]) for f, k in declared if not k.text}
    desk.seen |= {desk.key(name): value for name, value in said.items()}
    cfg, desk.hint = desk.view.mend(tidy(desk.view.config, now | said))
    if cfg != desk.state.cfg:
        desk.remember()
        desk.notes = []
        desk.state = replace(desk.state, cfg=cfg, frame=None)
        desk.at = 0
    desk.shown = desk.page


def controls(desk: Desk) -> None:
    """One widget a knob, the rarer ones folded; turning one changes the link."""
    boxes = st.container()
    shown = [(f, k) for f, k in knobs(desk.view.config) if not k.text]
    typed = bool(st.session_state.get("typed", False))
    for f, k in shown:
        if not k.folded:
            _widget(desk, f, k, typed)
    with st.expander("More", icon=":material/tune:"):
        for f, k in shown:
            if k.folded:
                _widget(desk, f, k, typed)
        st.toggle("Type the numbers", key="typed", help="Number boxes instead of sliders", on_change=desk.restore)
    if desk.hint:
        st.info(desk.hint, icon=":material/draw:")
    with boxes:
        _boxes(desk)
    desk.write_link()


def _boxes(desk: Desk) -> None:
    """A box for each text that a visitor types, once one of the choices says that it is theirs."""
    cfg, key = desk.state.cfg, desk.key
    if not any(k.choices and getattr(cfg, f.name) == "yours" for f, k in knobs(cfg)):
        return
    for f, k in knobs(cfg):
        if k.text and k.help:
            st.session_state.setdefault(key(f.name), getattr(cfg, f.name))
            st.text_input(k.caption, key=key(f.name), help=k.help, on_change=_typed_text, args=(desk, f.name, k))
            desk.seen[key(f.name)] = st.session_state[key(f.name)]


def _typed_text(desk: Desk, name: str, k: Knob) -> None:
    """Take a typed text up, or say what is wrong with it and leave it in its box to be mended."""
    assert k.text
    try:
        desk.turn(**{name: k.text(st.session_state[desk.key(name)])})
    except ValueError as problem:
        desk.notes = [f"{k.label}: {problem}"]


def _widget(desk: Desk, f: Field, k: Knob, typed: bool) -> Any:
    key, now = desk.key(f.name), getattr(desk.state.cfg, f.name)
    st.session_state.setdefault(key, now)
    shared: dict[str, Any] = {"label": k.caption, "key": key, "help": k.help or None}
    if isinstance(f.default, bool):
        return st.toggle(**shared)
    if k.choices is not None:
        return st.selectbox(options=list(k.choices), format_func=k.choices.__getitem__, **shared)
    return (_typed if typed else _slid)(f, k, now, shared)


def _typed(f: Field, k: Knob, now: Any, shared: dict[str, Any]) -> Any:
    whole = isinstance(f.default, int)
    low, high, step = _range(f, k)
    return st.number_input(min_value=low, max_value=high, step=step, format=None if whole else "%g", **shared)


def _slid(f: Field[Any], k: Knob, now: Any, shared: dict[str, Any]) -> Any:
    if k.log:
        stops = k.stops(float(now))
        whole = isinstance(f.default, int)
        return st.select_slider(
            options=sorted({round(s) for s in stops}) if whole else stops,
            format_func=lambda value: f"{value:g}",
            **shared,
        )
    low, high, step = _range(f, k)
    fine = dict(format=f"%.{-floor(log10(step))}f") if step < 0.01 else {}  # Streamlit shows two places at most
    return st.slider(min_value=low, max_value=high, step=step, **fine, **shared)


def _range(f: Field, k: Knob) -> tuple[Any, Any, Any]:
    assert k.low is not None and k.high is not None
    kind = int if isinstance(f.default, int) else float
    return kind(k.low), kind(k.high), kind(k.step or (1 if kind is int else _fine(k.high - k.low)))


def _fine(span: float) -> float:
    """A round step that leaves between 100 and 250 places in `span`."""
    raw = span / 200
    power = 10.0 ** floor(log10(raw))
    return next(n * power for n in (1, 2, 5, 10) if n * power >= raw)
