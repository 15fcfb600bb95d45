"""Every statement of the sheet on learning to learn that has a check."""

from engine.maml_adaptation.meta_claims import *  # noqa: F403
