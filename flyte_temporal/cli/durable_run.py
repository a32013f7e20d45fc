"""`run` on the durable engine: hand over the closure, the inputs and the code, then follow."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flyte_temporal.cli.exits import ExitCode
from flyte_temporal.cli.follow import follow
from flyte_temporal.cli.images import given_images
from flyte_temporal.cli.literals import literals
from flyte_temporal.cli.place import Place
from flyte_temporal.cli.results import record_document
from flyte_temporal.cli.session import open_client
from flyte_temporal.client import Submission
from flyte_temporal.client.checks import chosen_launcher
from flyte_temporal.client.submitting import refuse_unused
from flyte_temporal.config.defaults import defaults_of
from flyte_temporal.config.local import caller
from flyte_temporal.errors import BadRequest
from flyte_temporal.sdk.loader import source_root

if TYPE_CHECKING:
    from flyte_temporal.cli.compiled import Compiled
    from flyte_temporal.cli.flags import Given
    from flyte_temporal.cli.output import Output
    from flyte_temporal.cli.words import RunOptions


def run_durably(compiled: Compiled, given: Given, options: RunOptions, output: Output) -> int:
    """Start an execution, or attach to the one that the same request made, and follow it.

    Args:
        compiled: What to run.
        given: What the person gave for the inputs.
        options: Options of ours; those that concern a plain run are not looked at.
        output: Where to show and print.

    Returns:
        The exit code.

    Raises:
        BadRequest: If the inputs do not fit or the id is taken; nothing was started.
        PlatformError: If the stack cannot be reached.
    """
    place = Place(options.get("--project"), options.get("--domain"))
    images, launcher = given_images(options), options.get("--launcher") or ""
    # Here too, because a client may start a stack before it looks.
    me = caller(place.project, place.domain)
    defaults = defaults_of(me.project, me.domain)
    refuse_unused(images, chosen_launcher(launcher, defaults))
    with open_client(output, place) as client:
        values = client.values()
        read = given.values(compiled.name, compiled.closure.interface, values)
        execution = client.submit(
            Submission(
                closure=compiled.closure,
                inputs=literals(read, compiled.closure.interface, compiled.entity, values),
                source_root=source_root(compiled.file),
                execution_id=options.get("--name"),
                launcher=launcher,
                image=images.get("", ""),
                images={name: uri for name, uri in images.items() if name},
                deadline_s=_deadline(options.get("--deadline")),
                project=place.project,
                domain=place.domain,
                overwrite_cache=options.has("--overwrite-cache"),
                no_cache=options.has("--no-cache"),
                pause_on_failure=options.has("--pause-on-failure"),
            )
        )
        if options.has("--detach"):
            if output.json:
                output.document(record_document(execution.record(), {}))
            else:
                output.result(execution.id)
            return ExitCode.SUCCEEDED
        began = f"Execution {execution.id} of {compiled.name}. Temporal UI: {execution.ui_url}"
        return follow(execution, output, place.words, began=began)


def _deadline(text: str | None) -> float:
    if text is None:
        return 0.0
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise BadRequest(f"--deadline: {text!r} is no number of seconds above 0.")
    return seconds
