"""A page of one slider and one Plotly chart, a yardstick for how fast the machine is at the moment."""

import numpy as np
import plotly.graph_objects as go
import streamlit as st

number = st.slider("number", 0, 100, 50)
heat = go.Heatmap(z=np.random.default_rng(number).random((100, 100)))
st.plotly_chart(go.Figure(heat, layout={"title": {"text": f"number {number}"}}), key="heat")
