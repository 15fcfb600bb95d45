"""The home page's words: a card per topic, and the whole sheet to search."""

from collections.abc import Mapping
from importlib import import_module

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from engine.claim import Statement, statements
from engine.link import State
from pages.words.frame import ASSETS, PAGES, Topic, enter, is_open, topics
from pages.words.statement import BADGES, state

PER_PAGE = 12


def welcome() -> None:
    """What this is, in two lines."""
    enter()
    st.html(ASSETS / "home.css")  # apart from the other style: what asks for a class by its beginning slows every page
    st.title("Deep-learning theory in which every line runs", anchor=False)
    st.markdown(
        "Open a topic, turn a knob, and see at once what the formula does: real networks that train while you watch, "
        "and the exact answer drawn beside the learned one wherever there is one."
    )


def cards() -> dict[str, DeltaGenerator]:
    """A card per topic. Returns where the live pictures of the open ones go."""
    places = {}
    with st.grid(4, min_column_width=240, gap="medium", key="cards"):
        for topic in topics():
            with st.container(border=True, key=f"card_{topic.name}"):
                key = f"{'live' if is_open(topic.name) else 'blank'}_{topic.name}"
                places[topic.name] = st.container(key=key)
                _card(topic)
    for topic in topics():
        if not is_open(topic.name):
            places.pop(topic.name).markdown(f":material/{topic.icon}:")
    return places


def _card(topic: Topic) -> None:
    count = sum(s.page == topic.name for s in statements())
    if is_open(topic.name):
        st.page_link(PAGES / f"{topic.name}.py", label=f"**{topic.title}**", icon=f":material/{topic.icon}:")
        st.markdown(topic.question)
        st.caption(f"{count} statements")
    else:
        st.markdown(f"**{topic.title}**")
        st.markdown(topic.question)
        st.caption(f"{count} statements · coming")


def live(places: Mapping[str, DeltaGenerator]) -> None:
    """A live picture in each open topic's card; only now is the engine needed."""
    from pages.words.desk import Desk  # here, so that the words above are on the screen before it loads
    from pages.words.stage import screen

    for name, place in places.items():
        thumb = import_module(f"engine.figures.{name}").THUMB
        key = f"thumb.{name}"
        desk = st.session_state.setdefault(key, Desk(key, [thumb], [], State(thumb.name, thumb.config())))
        with place:
            screen(desk)


def sheet() -> None:
    """Every statement of the reference sheet, with its verdict and its correct form."""
    st.header("The sheet", anchor=False)
    everything = statements()
    wrong = sum(s.verdict in ("WRONG", "TYPO", "SLOPPY") for s in everything)
    st.markdown(
        f"{len(everything)} statements of a two-page reference sheet. {wrong} of them are wrong, misprinted or loose "
        "as printed; here each stands in its correct form, with the printed one beside it."
    )
    found = _filtered(everything)
    st.caption(f"{len(found)} of {len(everything)} statements")
    pages = max(1, -(-len(found) // PER_PAGE))
    first = 0
    if pages > 1:
        first = (st.pagination(pages, key=f"sheet.page.{pages}") - 1) * PER_PAGE
    for statement in found[first : first + PER_PAGE]:
        with st.container(border=True):
            state(statement)
            _where(statement)
    if not found:
        st.info("No statement matches. Widen the topic, the verdict or the words.")


def _filtered(everything: tuple[Statement, ...]) -> list[Statement]:
    titles = {topic.name: topic.title for topic in topics()}
    names = {"": "All topics"} | titles
    with st.container(horizontal=True, vertical_alignment="bottom", key="filters"):
        page = st.selectbox("Topic", list(names), format_func=names.__getitem__, width=260, key="sheet.topic")
        verdicts = st.pills("Verdict as printed", list(BADGES), selection_mode="multi", key="sheet.verdict")
        words = st.text_input("Words", placeholder="for example Adam or ELBO", width=260, key="sheet.words")
    return [s for s in everything if _matches(s, page, verdicts, words)]


def _matches(s: Statement, page: str, verdicts: list[str], words: str) -> bool:
    text = f"{s.id} {s.printed} {s.correct} {s.note} {s.source}".lower()
    return (not page or s.page == page) and (not verdicts or s.verdict in verdicts) and words.lower().strip() in text


def _where(statement: Statement) -> None:
    topic = next(topic for topic in topics() if topic.name == statement.page)
    if is_open(topic.name):
        st.page_link(PAGES / f"{topic.name}.py", label=topic.title, icon=f":material/{topic.icon}:")
    else:
        st.caption(f":material/{topic.icon}: {topic.title} · coming")
