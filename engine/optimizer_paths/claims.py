"""Every statement of the sheet on optimizers and landscapes that has a check."""

from engine.optimizer_paths.gradient_claims import *  # noqa: F403
from engine.optimizer_paths.landscape_claims import *  # noqa: F403
from engine.optimizer_paths.rule_claims import *  # noqa: F403
