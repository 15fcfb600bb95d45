"""Latent spaces: pictures as a few numbers, and what those mean. `fit` gives a model to encode and decode with."""

from engine.latent_spaces.coder import Model
from engine.latent_spaces.methods import METHODS, fit

__all__ = ["METHODS", "Model", "fit"]
