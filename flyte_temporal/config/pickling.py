"""Whether values may travel as pickles. Standard library only: the type engine reads it in every process."""

from __future__ import annotations

import os
from typing import Literal, cast

from flyte_temporal.config.home import PREFIX
from flyte_temporal.errors import BadRequest

PicklePolicy = Literal["warn", "allow", "known", "forbid"]

_POLICIES = ("warn", "allow", "known", "forbid")


def pickle_policy() -> PicklePolicy:
    """Return `FLYTE_TEMPORAL_PICKLE`: what to do with types that travel as pickles.

    `warn` (the default) warns of a type that is pickled because nothing knows it; `allow` does not; `known` refuses it, but
    takes estimators, torch modules and `FlytePickle`; `forbid` refuses these too, so that nothing is ever unpickled.

    Raises:
        BadRequest: If it has another value.
    """
    text = os.environ.get(f"{PREFIX}PICKLE", "").strip().lower() or "warn"
    if text not in _POLICIES:
        raise BadRequest(f"{PREFIX}PICKLE must be one of {', '.join(_POLICIES)}, not {text!r}.")
    return cast("PicklePolicy", text)
