"""The command `flyte-temporal` (alias `ft`): thin commands over `client`.

Called by people and scripts only. Apart from `client` so that services which use the library carry no terminal code.
Read `program` first (dispatch, errors, exit), then `run`, then `commands`. Importing this package costs nothing;
typer, rich and the client are imported by the command that needs them, because a command that is typed by hand must
answer at once.
"""

from __future__ import annotations


def main() -> None:
    """Run the command line of this process and end the process."""
    from flyte_temporal.cli.program import main as program

    program()
