"""Every statement of the sheet on adversarial examples that has a check."""

from engine.adversarial_examples.attack_claims import *  # noqa: F403
from engine.adversarial_examples.defence_claims import *  # noqa: F403
from engine.adversarial_examples.search_claims import *  # noqa: F403
