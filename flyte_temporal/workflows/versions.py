"""Going over to a newer build of the worker, where Temporal's Worker Versioning is used (docs/decisions/0047).

A run is pinned to the build that began it, so that a changed interpreter never meets a history that it did not write. It
goes over when it continues as new: then its history begins anew. Asked by whoever decides when to continue as new.
"""

from __future__ import annotations

from temporalio import workflow

ON_CONTINUE = workflow.ContinueAsNewVersioningBehavior.AUTO_UPGRADE
"""For `workflow.continue_as_new(initial_versioning_behavior=…)`: the next run begins on the current build. Without Worker
Versioning it means nothing."""


def upgrade_is_wanted() -> bool:
    """Return whether another build is current than the one that this run is pinned to; recorded, so it replays."""
    return workflow.info().is_target_worker_deployment_version_changed()
