"""The map of topics and of every statement on the sheet."""

from engine.figures.diffusion_denoising import THUMB
from pages import cards, foot, sheet, welcome

welcome()
cards({"diffusion_denoising": THUMB})
sheet()
foot()
