"""The door: `streamlit run app.py`."""

from pages import contents, dress

dress()
contents().run()
