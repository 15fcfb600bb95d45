"""The map of topics and of every statement on the sheet."""

from pages import cards, foot, live, sheet, welcome

welcome()
places = cards()
sheet()
live(places)
foot()
