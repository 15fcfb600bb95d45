"""A whole topic page from its words, in the order every page keeps."""

from collections.abc import Sequence

import streamlit as st

from engine.figures.view import Scene, View
from pages.words.desk import opening
from pages.words.frame import foot
from pages.words.knobs import controls, headline, scenes
from pages.words.reading import downloads, prose, source, uploads, verify
from pages.words.stage import play


def topic_page(topic: str, views: Sequence[View], named: Sequence[Scene]) -> None:
    """Question, scenes, stage and knobs on the first screen; below the fold what one reads."""
    desk = opening(topic, views, named)
    headline(desk)
    scenes(desk)
    left, right = st.columns([3.6, 1], gap="medium")
    with right.container(key="knobs"):
        controls(desk)
        uploads(desk)
    with left.container(key="stage"):
        play(desk)
    with st.container(key="below"):
        about, checks, code, save = st.tabs(
            ["What you see", "Statements, checked", "The code that ran", "Take it away"]
        )
        with about:
            prose(desk, desk.view.name)
            prose(desk, "sources")
        with checks:
            verify(desk)
        with code:
            source(desk.view.code)
        with save:
            downloads(desk)
        foot()
