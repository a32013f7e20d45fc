"""Opening the client for a command: which home, which project and domain, and who is told when it takes longer."""

from __future__ import annotations

from flyte_temporal.cli.output import Output
from flyte_temporal.cli.place import Place
from flyte_temporal.client import AsyncClient, Client
from flyte_temporal.client.submitting import Workshop
from flyte_temporal.config.home import home_directory
from flyte_temporal.config.local import caller
from flyte_temporal.local.connection import Connection


def open_client(output: Output, place: Place) -> Client:
    """Return a client of the local stack; nothing is started before it is asked something.

    Args:
        output: Is told, on stderr, when the stack has to be started first.
        place: Project and domain.

    Raises:
        BadRequest: If the environment holds a setting that does not fit.
    """
    home = home_directory()
    mine = caller(place.project, place.domain)
    return Client(AsyncClient(Workshop(home, mine, output.note), Connection(home, output.note)))
