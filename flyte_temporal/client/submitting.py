"""From a Python entity and values to a request: compile, encode, pack the code. Synchronous; called in threads."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flyte_temporal.client.checks import check_caching, check_deadline, check_launcher, chosen_launcher
from flyte_temporal.client.documents import RecoverySubmission, Submission
from flyte_temporal.client.imaging import IN_CONTAINERS, Needed, named_images
from flyte_temporal.config.defaults import Defaults, defaults_of
from flyte_temporal.config.local import Caller, local_settings, storage_root
from flyte_temporal.control.documents import RecoverRequest, StartRequest, new_execution_id
from flyte_temporal.errors import BadRequest, InvalidInputs, TypeMismatch
from flyte_temporal.local.layout import Layout
from flyte_temporal.spec import keys
from flyte_temporal.spec.attempt import StorageConfig
from flyte_temporal.spec.execution import BundleRef, Environment, ExecutionRequest
from flyte_temporal.spec.identifiers import ExecutionId
from flyte_temporal.spec.images import DEFAULT, with_own

if TYPE_CHECKING:
    from pydantic import JsonValue

    from flyte_temporal.ports.blob_store import BlobStore
    from flyte_temporal.sdk.entities import Entity
    from flyte_temporal.sdk.types.engine import ValueContext
    from flyte_temporal.spec.entities import Closure
    from flyte_temporal.spec.interface import Interface
    from flyte_temporal.spec.literals import LiteralValue
    from flyte_temporal.spec.types import LiteralType

_SET_UP = "Give --launcher podman, docker or kubernetes (docs/containers.md says what to set up)"
_NO_NEW_NAMES = "Name the image itself in the fixed code: a run that is under way knows those images by name that it was started with."
_NAMED = 5


@dataclass(frozen=True)
class Workshop:
    """What is needed to make requests on this machine.

    Args:
        home: The home of the local stack.
        caller: Who asks, and where.
        say: Where to tell what takes long, such as building an image.
    """

    home: Path
    caller: Caller
    say: Callable[[str], None] = lambda _: None

    @cached_property
    def blobs(self) -> BlobStore:
        """The blob store: the one that the settings name, or that of the home."""
        from flyte_temporal.storage.blobs import open_store

        layout = Layout(self.home)
        layout.prepare()
        own = layout.storage.as_uri()
        if storage_root(own) == own:
            return open_store(StorageConfig(root=own))
        from flyte_temporal.config.settings import Settings  # half a second, only for those who say where

        return open_store(Settings.load().storage.config())

    @cached_property
    def values(self) -> ValueContext:
        """Where files and large values of inputs and outputs go."""
        from flyte_temporal.sdk.types.engine import ValueContext

        scratch = Layout(self.home).cache / "client"
        blobs = self.blobs
        scratch.mkdir(mode=0o700, exist_ok=True)
        return ValueContext(blobs=blobs, scratch=scratch)

    def value(self, value: Any, type_: LiteralType) -> JsonValue:
        """Return a Python value, or plain data, as JSON of a type of the spec.

        Raises:
            InvalidInputs: If it does not fit.
        """
        from flyte_temporal.sdk.types.adapt import adapt
        from flyte_temporal.sdk.types.converter import Misfit
        from flyte_temporal.sdk.types.engine import default_engine
        from flyte_temporal.sdk.types.text import read_json

        if value is None or isinstance(value, str | int | float | list | dict):
            found: JsonValue = read_json(value, type_, self.values)
            return found
        engine, kind = default_engine(), type(value)
        try:
            written: JsonValue = engine.to_json(value, kind, self.values)
            adapted: JsonValue = adapt(written, engine.literal_type(kind), type_)
        except (Misfit, TypeMismatch) as error:
            raise InvalidInputs(str(error)) from error
        return adapted

    def typed(self, text: str, type_: LiteralType) -> JsonValue:
        """Return a value as a person types it as JSON of a type; raises as `value`."""
        from flyte_temporal.sdk.types.text import read_text

        found: JsonValue = read_text(text, type_, self.values)
        return found

    def submission(self, entity: Entity, inputs: Mapping[str, Any], execution_id: str | None) -> Submission:
        """Compile an entity and encode Python values for it.

        Raises:
            BadRequest: If it is no entity at all.
            CompileError: If the entity is wrong.
            InvalidInputs: If a value is of another type, or there is no such input.
        """
        from flyte_temporal.compiler import compile_entity
        from flyte_temporal.sdk.entities import Entity

        # Also asked of what the type checker knows to be one: scripts are seldom type-checked.
        if not isinstance(entity, Entity):
            raise BadRequest(
                f"{entity!r} is not a @task or @workflow. Give the object that the decorator made, not its name or a "
                "plain function."
            )
        closure = compile_entity(entity)
        literals = {name: self._encode(entity, name, value) for name, value in inputs.items()}
        return Submission(
            closure=closure, inputs=literals, source_root=_source_root(entity), execution_id=execution_id
        )

    def _encode(self, entity: Entity, name: str, value: Any) -> Any:
        from flyte_temporal.sdk.types.values import encode

        parameter = entity.signature.parameters.get(name)
        if parameter is None:
            known = ", ".join(entity.signature.parameters) or "no inputs"
            raise InvalidInputs(f"{entity.name} has no input {name!r}. It takes: {known}.")
        try:
            return encode(value, parameter.annotation, self.values)
        except TypeMismatch as error:
            raise InvalidInputs(f"Input {name!r}: {error.message}") from error

    def request(self, submission: Submission) -> StartRequest:
        """Store the code and complete a submission.

        The id is made here and not by the stack, so that repeating a call whose answer was lost is safe.

        Raises:
            BadRequest: If it contradicts itself, or there is no such launcher.
            LimitExceeded: If the code is too large.
            StorageError: If it could not be stored.
        """
        check_caching(overwrite=submission.overwrite_cache, no_cache=submission.no_cache)
        check_deadline(submission.deadline_s)
        project, domain = submission.project or self.caller.project, submission.domain or self.caller.domain
        environment = self._environment(submission, defaults_of(project, domain))
        return StartRequest(
            closure=submission.closure,
            inputs=dict(submission.inputs),
            environment=environment,
            project=project,
            domain=domain,
            execution_id=submission.execution_id or new_execution_id(submission.closure.root.name),
            version=submission.version,
            requested_by=self.caller.user,
            labels=dict(submission.labels),
            overwrite_cache=submission.overwrite_cache,
            no_cache=submission.no_cache,
            max_parallelism=submission.max_parallelism,
            deadline_s=submission.deadline_s,
            pause_on_failure=submission.pause_on_failure,
        )

    def _environment(self, submission: Submission, defaults: Defaults) -> Environment:
        """Return where attempts run; images that are declared exist afterwards.

        Raises:
            BadRequest: If there is no such launcher, a task uses the name of an image that is not given, or one is given that nothing would use.
            ImageNotBuilt: If a declared image could not be built.
        """
        launcher = chosen_launcher(submission.launcher, defaults)
        environment = Environment(
            launcher=launcher,
            cluster=defaults.cluster,
            interpreter=_interpreter(),
            image=submission.image or defaults.image,
            images=dict(submission.images),
        )
        if launcher in IN_CONTAINERS:
            needed = Needed(_with_foreseen(submission.closure), launcher, named_images(environment))
            needed.check()
            needed.build(self.say, lambda: submission.source_root)
        else:
            self._ignore_images(submission, launcher)
        if submission.source_root is None:
            return environment
        return environment.model_copy(update={"bundle": self._bundle(submission.source_root)})

    def _ignore_images(self, submission: Submission, launcher: str) -> None:
        """Say which images a launcher without containers ignores, and what to set up.

        Raises:
            BadRequest: If one is given for this very run.
        """
        default = {"": submission.image} if submission.image else {}
        refuse_unused({**default, **submission.images}, launcher)
        named = with_own(submission.closure)
        if named:
            listed = ", ".join(named[:_NAMED]) + (
                f" and {len(named) - _NAMED} more" if len(named) > _NAMED else ""
            )
            self.say(
                f"Images are ignored: the launcher {launcher!r} starts no containers, and these run in the Python of this "
                f"machine although they declare an image: {listed}. {_SET_UP}."
            )

    def recover_request(
        self, submission: RecoverySubmission, before: ExecutionRequest, *, build: bool = True
    ) -> RecoverRequest:
        """Store the code, if it is another one, and complete the wish to recover an execution; raises as `request`.

        Args:
            submission: The wish.
            before: What the earlier execution was asked for.
            build: Whether declared images are built; what only says what would be done builds none.
        """
        check_caching(overwrite=submission.overwrite_cache, no_cache=submission.no_cache)
        if submission.launcher:
            check_launcher(submission.launcher, "launcher")
        self._see_to_images(submission, before, build=build)
        root, closure = submission.source_root, submission.closure
        environment = Environment(
            interpreter=_interpreter(), bundle=self._bundle(root) if root is not None else None
        )
        return RecoverRequest(
            source=ExecutionId(
                project=self.caller.project, domain=self.caller.domain, name=submission.source
            ),
            closure=closure,
            environment=environment if closure is not None else None,
            inputs=dict(submission.inputs),
            launcher=submission.launcher,
            image=submission.image,
            images=dict(submission.images),
            execution_id=submission.execution_id or new_execution_id(before.root.name),
            requested_by=self.caller.user,
            trust_code=submission.trust_code,
            overwrite_cache=submission.overwrite_cache,
            no_cache=submission.no_cache,
            rerun=submission.rerun,
        )

    def _see_to_images(
        self, submission: RecoverySubmission, before: ExecutionRequest, *, build: bool
    ) -> None:
        """Look at the images of a recovery: of its code, or, where another launcher runs the code of then, of that."""
        launcher = submission.launcher or before.environment.launcher
        given = {"": submission.image} if submission.image else {}
        refuse_unused({**given, **submission.images}, launcher)
        if launcher not in IN_CONTAINERS:
            return
        closures: Sequence[Closure] = ()
        if submission.closure is not None:
            closures = _with_foreseen(submission.closure)
        elif launcher != before.environment.launcher:
            closures = self._of_then(before)
        images = {**named_images(before.environment), **submission.images}
        if submission.image:
            images[DEFAULT] = submission.image
        needed = Needed(closures, launcher, images)
        needed.check()
        if build:
            needed.build(self.say, lambda: submission.source_root or self._source_of_then(before))

    def _of_then(self, before: ExecutionRequest) -> list[Closure]:
        """Return what an earlier execution ran; nothing if it is gone, which the stack says."""
        from flyte_temporal.spec.entities import Closure

        data = self.blobs.get(keys.closure(before.spec), before.spec)
        return [] if data is None else [Closure.read(data)]

    def _source_of_then(self, before: ExecutionRequest) -> Path | None:
        from flyte_temporal.storage.bundles import unpack

        bundle = before.environment.bundle
        return None if bundle is None else unpack(self.blobs, bundle, Layout(self.home).cache)

    def fix(self, file: Path, before: ExecutionRequest) -> tuple[Closure, Environment]:
        """Compile the code of a file for an execution, and store it; images that it declares exist afterwards.

        Args:
            file: The file.
            before: What the execution was asked for.

        Raises:
            CompileError: If the file cannot be imported, or has nothing to run.
            BadRequest: If a task uses the name of an image that the execution does not know.
            ImageNotBuilt: If a declared image could not be built.
            LimitExceeded: If the code is too large.
            StorageError: If it could not be stored.
        """
        from flyte_temporal.client.fixing import compile_fix

        where = before.environment
        fixed = compile_fix(file, before.root.name)
        needed = Needed(fixed.needed, where.launcher, named_images(where), _NO_NEW_NAMES)
        needed.check()
        needed.build(self.say, lambda: fixed.folder)
        return fixed.closure, Environment(interpreter=_interpreter(), bundle=self._bundle(fixed.folder))

    def recovery(
        self, source: str, entity: Entity | None, inputs: Mapping[str, Any], interface: Interface
    ) -> RecoverySubmission:
        """Compile the entity that is given, if one is, and encode Python values for what was run or is to be run.

        Args:
            source: Id of the earlier execution.
            entity: What is to run instead, or None.
            inputs: Values given anew.
            interface: What the earlier execution took.

        Raises:
            BadRequest: As for `submission`.
        """
        if entity is not None:
            made = self.submission(entity, inputs, None)
            return RecoverySubmission(source, made.closure, made.source_root, made.inputs)
        from flyte_temporal.sdk.types.values import literal_of

        literals: dict[str, LiteralValue] = {}
        for name, value in inputs.items():
            variable = interface.input(name)
            if variable is None:
                known = ", ".join(v.name for v in interface.inputs) or "no inputs"
                raise InvalidInputs(f"Execution {source} has no input {name!r}. It takes: {known}.")
            try:
                literals[name] = literal_of(self.value(value, variable.type), self.values)
            except InvalidInputs as error:
                raise InvalidInputs(f"Input {name!r}: {error.message}") from error
        return RecoverySubmission(source, inputs=literals)

    def _bundle(self, root: Path) -> BundleRef:
        from flyte_temporal.storage.bundles import BundleLimits, pack, store_bundle

        settings = local_settings()
        limits = BundleLimits(raw_bytes=settings.bundle_bytes, files=settings.bundle_files)
        blobs = self.blobs
        return store_bundle(blobs, pack(root, Layout(self.home).cache / "packed", limits))


def _with_foreseen(closure: Closure) -> list[Closure]:
    from flyte_temporal.sdk.foreseen import foreseen

    return [closure, *foreseen(closure)]


def refuse_unused(images: Mapping[str, str], launcher: str) -> None:
    """Refuse images that are given for a run whose launcher starts no containers.

    Args:
        images: By the names that tasks use, and by the empty text the one of tasks that name none.
        launcher: The launcher of the run.

    Raises:
        BadRequest: If there is one.
    """
    if images and launcher not in IN_CONTAINERS:
        name, uri = next(iter(images.items()))
        given = f"{name}={uri}" if name else uri
        raise BadRequest(
            f"--image {given}: the launcher of this run, {launcher!r}, starts no containers, so nothing would use it. {_SET_UP}, "
            "or leave out --image."
        )


def _source_root(entity: Entity) -> Path | None:
    """Return the folder of an entity's code; None if that is an installed package, which attempts find by themselves."""
    from flyte_temporal.sdk.loader import source_root

    module = sys.modules.get(entity.__module__)
    file = getattr(module, "__file__", None)
    if file is None:
        return None
    path = Path(file).resolve()
    standard_library = Path(inspect.__file__).resolve().parent
    if "site-packages" in path.parts or path.is_relative_to(standard_library):
        return None
    return source_root(path)


def _interpreter() -> str:
    """Return the Python of attempts without containers: this one, unless an installation's workers run them elsewhere."""
    return "" if local_settings().attach else sys.executable
