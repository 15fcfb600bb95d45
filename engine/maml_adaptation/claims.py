"""Every statement of the sheet on learning to learn that has a check."""

from engine.maml_adaptation.fewshot_claims import *  # noqa: F403
from engine.maml_adaptation.gradient_claims import *  # noqa: F403
from engine.maml_adaptation.meta_claims import *  # noqa: F403
