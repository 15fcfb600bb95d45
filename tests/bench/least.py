"""The least page that answers a knob: one slider, one number drawn by a component. What it takes is Streamlit's."""

import streamlit as st
from streamlit.components.v2 import component

SHOW = """
export default ({ data, parentElement }) => {
  parentElement.querySelector(".stage").dataset.tape = String(data);
};
"""
show = component("least", html='<div class="stage"></div>', js=SHOW, isolate_styles=False)
number = st.slider("number", 0, 100, 50)
show(key="number", data=number)
