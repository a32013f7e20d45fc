"""What is refused of a request whoever makes it, a command or a script, before anything is stored or started.

Apart from `submitting` because the command line asks the same of its options, before it opens a client.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from flyte_temporal.adapters.launchers import LAUNCHERS
from flyte_temporal.errors import BadRequest

if TYPE_CHECKING:
    from flyte_temporal.config.defaults import Defaults


def check_launcher(name: str, said_by: str) -> None:
    """Refuse a launcher that does not exist: the worker would say so only when the first node is to start.

    Args:
        name: The launcher.
        said_by: What names it: an option, a parameter or a variable.

    Raises:
        BadRequest: If there is none of that name.
    """
    if name not in LAUNCHERS:
        raise BadRequest(f"{said_by}: there is no launcher {name!r}. There are: {', '.join(LAUNCHERS)}.")


def chosen_launcher(given: str, defaults: Defaults) -> str:
    """Return the launcher of a run.

    Args:
        given: What is said of the run; empty = nothing.
        defaults: What the environment says.

    Raises:
        BadRequest: If there is none of that name.
    """
    if given:
        check_launcher(given, "launcher")
        return given
    check_launcher(defaults.launcher, defaults.said_by)
    return defaults.launcher


def check_caching(
    names: tuple[str, str] = ("overwrite_cache", "no_cache"), *, overwrite: bool, no_cache: bool
) -> None:
    """Refuse what contradicts itself.

    Args:
        names: What the person calls the two.
        overwrite: Whether what is remembered is to be computed anew, and remembered.
        no_cache: Whether nothing is to be remembered.

    Raises:
        BadRequest: If both are wanted.
    """
    if overwrite and no_cache:
        raise BadRequest(f"{names[0]} remembers what is computed, {names[1]} does not. Give one of them.")


def check_deadline(seconds: float) -> None:
    """Refuse what is no time; 0 is no deadline.

    Raises:
        BadRequest: If it is negative, infinite or not a number.
    """
    if not 0 <= seconds < math.inf:
        raise BadRequest(f"deadline: {seconds:g} is no number of seconds above 0; leave it out to have none.")
