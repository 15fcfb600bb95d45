"""What every page has around it: navigation, style, foot."""

from importlib.metadata import version
from pathlib import Path

import streamlit as st

from engine.device import describe, warm

PAGES = Path(__file__).parent.parent
ASSETS = PAGES.parent / "assets"
TITLES = {
    "home": "Home",
    "diffusion_denoising": "Diffusion denoising",
}


def contents():
    """Declare every page. The first to be asked also warms the engine up."""
    _warm_once()
    st.session_state["contents"] = True
    pages = [st.Page(PAGES / f"{name}.py", title=title, default=name == "home") for name, title in TITLES.items()]
    return st.navigation(pages, position="top")


@st.cache_resource
def _warm_once() -> None:
    warm()


def dress() -> None:
    """The page's size, title and style."""
    st.set_page_config(page_title="Livesheet", page_icon=str(ASSETS / "icon.svg"), layout="wide")
    st.html(ASSETS / "page.css")


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
    parts = [
        f"Computed on {describe()}",
        f"torch {version('torch')}",
        "every run is seeded: the same link, the same picture",
    ]
    st.caption(" · ".join(parts))
