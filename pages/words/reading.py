"""What one reads: the formula with today's numbers, charts, prose, statements with their checks, code, downloads."""

import re
from collections.abc import Callable
from functools import cache
from inspect import getsource
from typing import Any

import pandas as pd
import streamlit as st

from engine.claim import Result, claims, run, statements
from engine.figures.palette import colour
from engine.knob import spell
from engine.reel import Reel
from pages.words.desk import Desk
from pages.words.frame import ASSETS, dark
from pages.words.statement import state

POWER = re.compile(r"(\d)e(?:\+|(-))0*(\d+)")  # as Python writes a power of ten
ROLE = re.compile(r"\\role\{(\w+)\}")


@cache
def sections(topic: str) -> dict[str, str]:
    """The `## section`s of assets/<topic>.md by name."""
    parts = (ASSETS / f"{topic}.md").read_text("utf-8").split("\n## ")[1:]
    return {name.strip(): text.strip() for name, text in (part.split("\n", 1) for part in parts)}


def typeset(text: str, numbers: dict[str, str] | None = None) -> str:
    """Put numbers in for `@name@`, and the palette's colours for `\\role{data}{...}`."""
    for name, value in (numbers or {}).items():
        text = text.replace(f"@{name}@", POWER.sub(r"\1\\cdot10^{\2\3}", value))
    text = text.replace(r"–\,\%", "–")
    return ROLE.sub(lambda found: rf"\textcolor{{{colour(found[1], dark())}}}", text)


def prose(desk: Desk, section: str) -> None:
    """Write one section of the topic's text, if it has it."""
    text = sections(desk.topic).get(section)
    if text:
        st.markdown(typeset(text))


def reading(desk: Desk) -> None:
    """The formula with the numbers of the frame under the cursor, and the charts one reads."""

    @st.fragment(key=f"{desk.topic}.reading")
    def page() -> None:
        desk.write_link()
        frames = _frames(desk)
        if not frames:
            return
        at = min(desk.at, len(frames) - 1)
        _formula(desk, frames[at])
        if desk.view.charts and not desk.state.present:
            for title, figure in desk.view.charts(frames[: at + 1], desk.state.cfg, dark()).items():
                st.markdown(f"**{title}**")
                key, quiet = f"{desk.topic}.{desk.view.name}.{title}", {"displayModeBar": False}
                st.plotly_chart(figure, key=key, theme=None, alt=title, config=quiet)

    with st.container(key="reading"):
        page()


def _formula(desk: Desk, frame: Any) -> None:
    text = sections(desk.topic).get(f"formula {desk.view.name}")
    numbers = dict(desk.view.equation(frame, desk.state.cfg)) if desk.view.equation else {}
    if text:
        st.markdown(typeset(text, numbers))


def _frames(desk: Desk) -> list[Any]:
    return Reel(desk.view, desk.state.cfg).frames


def verify(desk: Desk) -> None:
    """Every statement of the sheet on this topic: as printed, in correct form, and put to the test here and now."""

    checks = {one.id: one for one in claims(desk.topic)}
    everything = st.button("Check them all, here and now", icon=":material/fact_check:", key="check_all")
    for statement in (s for s in statements() if s.page == desk.topic):
        with st.container(border=True):
            state(statement)
            if statement.id in checks:
                _check(desk.topic, statement.id, checks[statement.id].says, everything)


def _check(topic: str, id: str, says: str, now: bool) -> None:
    done: dict[str, Result] = _results()
    if id not in done and (st.button(f"Check {id}", key=f"check_{id}") or now):
        with st.spinner(f"Checking {id} …"):
            done[id] = run(topic, next(one for one in claims(topic) if one.id == id))
    if id in done:
        result = done[id]
        numbers = " · ".join(f"{name}: **{value:.4g}**" for name, value in result.numbers.items())
        icon = ":green[:material/check_circle:] holds" if result.holds else ":red[:material/cancel:] does not hold"
        st.markdown(f"{icon} · {numbers}")
        st.caption(f"{says} Checked in {result.seconds:.1f} s.")


@st.cache_resource
def _results() -> dict[str, Result]:
    return {}


def source(desk: Desk) -> None:
    """The code that just ran."""
    for function in desk.view.code:
        st.code(getsource(function), language="python")


def downloads(desk: Desk) -> None:
    """The run's numbers as CSV, and a snippet that makes this state again with the engine alone."""
    st.caption("The picture itself: the arrow beside the speed, as PNG or SVG.")
    name = f"livesheet-{desk.topic}-{desk.view.name}"
    st.download_button("Numbers of the run (CSV)", lambda: _csv(desk), f"{name}.csv", "text/csv", on_click="ignore")
    st.download_button("Python snippet", snippet(desk), f"{name}.py", "text/x-python", on_click="ignore")
    st.code(snippet(desk), language="python")


def _csv(desk: Desk) -> str:
    rows = [{k: v for k, v in f._asdict().items() if isinstance(v, int | float | str)} for f in _frames(desk)]
    return pd.DataFrame(rows).to_csv(index=False)


def snippet(desk: Desk) -> str:
    """Python that reproduces the frame under the cursor with `engine` alone."""
    view, cfg, at = desk.view, desk.state.cfg, desk.state.frame
    run, start = view.run, Reel(view, cfg).opening
    if at is not None and start:
        before = view.before(cfg) if view.before else None
        run, cfg, at = (*before, at * view.thin) if before and at < len(start) else (run, cfg, at - len(start))
    package, _, module = type(cfg).__module__.rpartition(".")
    settings = ", ".join(f"{name}={getattr(cfg, name)!r}" for name in spell(cfg))
    return (
        f"from {package} import {module}\nfrom engine.tape import record\n\n"
        f"cfg = {module}.{type(cfg).__name__}({settings})\n"
        f"tape = record({module}.{run.__name__}, cfg).wind()\n"
        f"frame = tape.frames[{-1 if at is None else at}]\nprint(frame)\n"
    )


def uploads(desk: Desk) -> None:
    """Bring your own data: what the view knows how to read."""
    for label, (kinds, read) in desk.view.uploads.items():
        key = f"{desk.topic}.{desk.view.name}.upload"
        with st.expander(label, icon=":material/upload:"):
            st.file_uploader(
                label, type=list(kinds), key=key, label_visibility="collapsed", on_change=_bring, args=(desk, read, key)
            )


def _bring(desk: Desk, read: Callable[[bytes], tuple[dict[str, Any], list[str]]], key: str) -> None:
    file = st.session_state[key]
    if file is None:
        return
    try:
        settings, notes = read(file.getvalue())
        desk.turn(**settings)
        desk.notes = [f"{file.name}: {note}" for note in notes]
    except ValueError as problem:
        desk.notes = [f"{file.name}: {problem}"]
