"""A whole topic page from its words, in the order every page keeps."""

from collections.abc import Sequence

import streamlit as st

from engine.figures.view import Scene, View
from pages.words.desk import Desk, opening
from pages.words.frame import foot
from pages.words.knobs import controls, headline, scenes, take
from pages.words.reading import downloads, prose, reading, source, uploads, verify
from pages.words.stage import screen


def topic_page(topic: str, views: Sequence[View], named: Sequence[Scene]) -> None:
    """Question, scenes, stage and knobs on the first screen; below the fold what one reads."""
    desk = opening(topic, views, named)
    take(desk)
    top = st.container(key="top")
    left, right = st.columns([3.6, 1], gap="medium")
    stage = left.container(key="stage")
    with stage:
        screen(desk)  # first of all: it is what the visitor waits for
    with top:
        headline(desk)
        scenes(desk)
    with right.container(key="knobs"):
        controls(desk)
        uploads(desk)
    with stage:
        reading(desk)
    with st.container(key="below"):
        with st.container():
            below(desk)
        foot()


@st.fragment
def below(desk: Desk) -> None:
    """What one reads, a tab at a time: only the open one is written, so that a knob answers at once."""
    tabs = st.tabs(list(BELOW), key=f"{desk.topic}.below", on_change="rerun")
    for tab, write in zip(tabs, BELOW.values(), strict=True):
        if tab.open:
            with tab:
                write(desk)


def about(desk: Desk) -> None:
    """The text of the view, and its sources."""
    prose(desk, desk.view.name)
    prose(desk, "sources")


BELOW = {"What you see": about, "Statements, checked": verify, "The code that ran": source, "Take it away": downloads}
