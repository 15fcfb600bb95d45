"""What every page has around it: navigation, style, foot."""

import tomllib
from functools import cache
from importlib.metadata import version
from pathlib import Path
from threading import Thread
from typing import NamedTuple

import streamlit as st
from streamlit.components.v2 import component

PAGES = Path(__file__).parent.parent
ASSETS = PAGES.parent / "assets"


class Topic(NamedTuple):
    """One topic of the sheet."""

    name: str
    title: str
    question: str
    icon: str


@cache
def topics() -> tuple[Topic, ...]:
    """Every topic, in the order of the home page."""
    return tuple(Topic(**row) for row in tomllib.loads((ASSETS / "topics.toml").read_text("utf-8"))["topic"])


def is_open(name: str) -> bool:
    """Whether the topic has its page."""
    return (PAGES / f"{name}.py").exists()


def contents():
    """Declare every page. The first to be asked also warms the engine up."""
    _warm_once()
    st.session_state["contents"] = True
    home = st.Page(PAGES / "home.py", title="Livesheet", default=True)
    rest = [st.Page(PAGES / f"{topic.name}.py", title=topic.title) for topic in topics() if is_open(topic.name)]
    return st.navigation([home, *rest], position="top")


@st.cache_resource
def _warm_once() -> None:
    Thread(target=_warm, name="warm-up", daemon=True).start()


def _warm() -> None:
    from engine.device import warm  # here, so that the first page need not wait for the import

    warm()


DRESS = component("dress", css=(ASSETS / "page.css").read_text("utf-8"), isolate_styles=False)  # st.html parses it anew


def dress() -> None:
    """The page's size, title and style. A browser that has answered knows the first two: no need to fetch the icon."""
    if not st.session_state.get("answered"):
        st.set_page_config(page_title="Livesheet", page_icon=str(ASSETS / "icon.svg"), layout="wide")
    DRESS(key="dress")


def hall() -> None:
    """The presenter's style: only what the last row should see."""
    st.html(ASSETS / "present.css")


def enter() -> None:
    """A deep link into a fresh server arrives before app.py has run: declare the pages, then begin again."""
    if "contents" not in st.session_state:
        contents()
        st.rerun()


def dark() -> bool:
    """Whether the visitor looks at the dark theme."""
    return st.context.theme.type == "dark"


def foot() -> None:
    """Where this is computed, and with what."""
    from engine.device import describe  # here, for the same reason

    parts = [
        f"Computed on {describe()}",
        f"torch {version('torch')}",
        "every run is seeded: the same link, the same picture",
    ]
    st.caption(" · ".join(parts))
