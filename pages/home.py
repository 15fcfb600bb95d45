"""The map of topics."""

import streamlit as st

st.title("Livesheet")
