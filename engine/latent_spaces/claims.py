"""Every statement of the sheet on latent spaces that has a check."""

from engine.latent_spaces.bound_claims import *  # noqa: F403
from engine.latent_spaces.coding_claims import *  # noqa: F403
