"""A statement of the sheet, typeset."""

import streamlit as st

from engine.claim import Statement

BADGES = {"OK": "green", "SLOPPY": "orange", "TYPO": "orange", "WRONG": "red", "OPINION": "gray"}


def state(statement: Statement) -> None:
    """One statement, typeset."""
    badge = f":{BADGES[statement.verdict]}-badge[{statement.verdict}]"
    st.markdown(f"{badge} **{statement.id}** {statement.correct}")
    if statement.verdict not in ("OK", "OPINION"):
        st.caption(f"As printed: {statement.printed}")
    st.caption(" · ".join(part for part in (statement.note, statement.source) if part))
