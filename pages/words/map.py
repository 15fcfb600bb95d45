"""The home page's words: a card per topic, and the whole sheet to search."""

from collections.abc import Mapping

import streamlit as st

from engine import link
from engine.claim import Statement, statements
from engine.figures.view import View
from pages.words.desk import Desk
from pages.words.frame import PAGES, Topic, enter, is_open, topics
from pages.words.reading import BADGES, state
from pages.words.stage import screen

PER_PAGE = 12


def welcome() -> None:
    """What this is, in two lines."""
    enter()
    st.title("Deep-learning theory in which every line runs", anchor=False)
    st.markdown(
        "Open a topic, turn a knob, and see at once what the formula does: real networks that train while you watch, "
        "and the exact answer drawn beside the learned one wherever there is one."
    )


def cards(thumbs: Mapping[str, View]) -> None:
    """A card per topic: a live picture and a link, or the word that it is coming."""
    with st.grid(4, min_column_width=240, gap="medium", key="cards"):
        for topic in topics():
            with st.container(border=True, key=f"card_{topic.name}"):
                _card(topic, thumbs.get(topic.name))


def _card(topic: Topic, thumb: View | None) -> None:
    count = sum(s.page == topic.name for s in statements())
    if thumb:
        desk = st.session_state.setdefault(
            f"thumb.{topic.name}", Desk(f"thumb.{topic.name}", [thumb], [], link.State(thumb.name, thumb.config()))
        )
        screen(desk)
    else:
        with st.container(key=f"blank_{topic.name}"):
            st.markdown(f":material/{topic.icon}:")
    if is_open(topic.name):
        st.page_link(PAGES / f"{topic.name}.py", label=f"**{topic.title}**", icon=f":material/{topic.icon}:")
        st.markdown(topic.question)
        st.caption(f"{count} statements")
    else:
        st.markdown(f":gray[**{topic.title}**]")
        st.markdown(f":gray[{topic.question}]")
        st.caption(f"{count} statements · coming")


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
