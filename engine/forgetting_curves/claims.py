"""Every statement of the sheet on forgetting that has a check."""

from engine.forgetting_curves.room_claims import *  # noqa: F403
from engine.forgetting_curves.run_claims import *  # noqa: F403
from engine.forgetting_curves.why_claims import *  # noqa: F403
