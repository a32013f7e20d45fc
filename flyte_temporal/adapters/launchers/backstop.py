"""When an engine itself ends an attempt, if nobody of us is left to do it: in pods and in containers of podman. Pure."""

from __future__ import annotations

import math
from dataclasses import dataclass

from flyte_temporal.spec.policies import Timeouts

_AFTER_S = 60
_MOST_S = 2**31 - 1
"""What Kubernetes takes at most."""


@dataclass(frozen=True)
class Backstop:
    """What decides it, besides what a task says.

    Args:
        run_s: Longest run of an attempt whose task sets no time-out; 0 = none.
        spare_s: What our own way of ending it may take, and by how much the engine's clock starts before ours.
    """

    run_s: float = 0.0
    spare_s: float = 0.0

    def after_s(self, timeouts: Timeouts) -> int:
        """Return after how many seconds the engine ends an attempt, a minute after we would have; 0 = never."""
        timeout = timeouts.run_s or self.run_s
        return min(math.ceil(timeout + self.spare_s) + _AFTER_S, _MOST_S) if timeout else 0


NEVER = Backstop()
"""Only what a task says of itself holds."""
