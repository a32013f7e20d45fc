"""What people write about running a task (`Resources`, `Cache`, options of `@task`) → the policy of the spec.

Apart from `tasks` because nodes set the same options anew (`with_overrides`).
"""

from __future__ import annotations

import dataclasses
import difflib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypedDict, cast

from pydantic import BaseModel, JsonValue

from flyte_temporal.errors import CompileError, InvalidIdentifier
from flyte_temporal.sdk.accelerators import Accelerator
from flyte_temporal.sdk.cache import AUTO, Cache
from flyte_temporal.sdk.images import ImageSpec
from flyte_temporal.sdk.literal_secrets import in_pod, refuse_credentials
from flyte_temporal.sdk.pods import PodTemplate
from flyte_temporal.sdk.retrying import RetryPolicy, Timeouts, retry_policy, time_outs
from flyte_temporal.sdk.secrets import Secret
from flyte_temporal.sdk.types.converter import shown
from flyte_temporal.spec import policies as spec
from flyte_temporal.spec.identifiers import image_name
from flyte_temporal.spec.quantities import amount

Quantity = str | int | float


@dataclass(frozen=True)
class Resources:
    """What a task needs, in Kubernetes' quantities: `cpu="500m"`, `mem="2Gi"`, `gpu=1`.

    Args:
        cpu: Cores.
        mem: Memory in bytes.
        gpu: Number of GPUs.
        ephemeral_storage: Local disk in bytes.

    One value is both the request and the limit; with `@task(resources=...)` a pair is (request, limit).
    """

    cpu: Quantity | tuple[Quantity, Quantity] | None = None
    mem: Quantity | tuple[Quantity, Quantity] | None = None
    gpu: Quantity | tuple[Quantity, Quantity] | None = None
    ephemeral_storage: Quantity | tuple[Quantity, Quantity] | None = None

    def side(self, index: int) -> spec.ResourceValues:
        """Return the requests (0) or the limits (1)."""
        return spec.ResourceValues(
            **{name: _text(v[index] if isinstance(v, tuple) else v) for name, v in vars(self).items()}
        )


class PolicyOptions(TypedDict, total=False):
    """Options that both a task and a node (`with_overrides`) may set.

    Args:
        retries: Further attempts after a failure of the task's code, as a number or a `RetryPolicy`.
        timeout: Longest time of one attempt, in seconds or as timedelta, or `Timeouts`; 0 = none.
        cache: Whether outputs are remembered: True, or a `Cache`.
        cache_version: The author's version, part of the key; without one it is computed from the code.
        cache_serialize: Whether equal calls at the same time wait for one of them.
        cache_ignore_input_vars: Inputs left out of the key.
        interruptible: Whether it may run on machines that can be taken away.
        container_image: Image to run in.
        environment: Environment variables.
        resources: Requests and limits at once.
        requests: Requests alone.
        limits: Limits alone.
        accelerator: Kind of GPU or TPU.
        shared_memory: True, or its size.
        labels: Labels of the attempt's container.
        annotations: Annotations of the attempt's container.
        secret_requests: Secrets that the task may read.
        pod_template: How its pod looks, on Kubernetes; wins over `pod_template_name`.
        pod_template_name: Name of a template that the cluster has.
        short: True: each attempt takes milliseconds, so that many may travel together; False: each travels alone. By
            default that is decided by how long the first ones took.
        safe_to_force: True: two copies of an attempt at once do no harm, so that on Kubernetes a pod whose end its node does
            not confirm is removed by force, a minute after its grace; by default it is waited for.
    """

    retries: int | RetryPolicy
    timeout: float | timedelta | Timeouts
    cache: bool | Cache
    cache_version: str
    cache_serialize: bool
    cache_ignore_input_vars: tuple[str, ...]
    interruptible: bool
    container_image: str | ImageSpec
    environment: dict[str, str]
    resources: Resources
    requests: Resources
    limits: Resources
    accelerator: str | Accelerator
    shared_memory: bool | str
    labels: dict[str, str]
    annotations: dict[str, str]
    secret_requests: Sequence[Secret]
    pod_template: PodTemplate
    pod_template_name: str
    short: bool
    safe_to_force: bool


def refuse_unknown(given: Mapping[str, Any], known: type[Any], what: str, where: str) -> None:
    """Refuse options that do not exist, naming the close ones.

    Raises:
        CompileError: If there is such an option.
    """
    names = list(known.__annotations__)  # of a TypedDict: its bases' too
    for name in given:
        if name not in names:
            close = difflib.get_close_matches(name, names, n=2)
            hint = (
                f"Did you mean {' or '.join(close)}?" if close else f"It takes: {', '.join(sorted(names))}."
            )
            raise CompileError(f"{what} has no option {name!r}. {hint}", where)


def overrides(
    options: Mapping[str, Any], where: str, module: Mapping[str, Any] | None = None
) -> spec.Overrides:
    """Return the parts of a policy that some options set.

    Args:
        options: The options.
        where: File and line, for messages.
        module: Variables of the module that they stand in, which may say what a number of retries means.

    Raises:
        CompileError: If an option's value makes no sense; names the option and what to write.
    """
    reader = _Options(options, where, module)
    image, declared = reader.image()
    return spec.Overrides(
        resources=reader.resources(),
        retries=reader.retries(),
        timeouts=reader.timeouts(),
        cache=reader.cache(),
        interruptible=reader.checked("interruptible", bool),
        image=image,
        image_spec=declared,
        env=reader.environment(),
        secrets=reader.secrets(),
        labels=reader.texts("labels"),
        annotations=reader.texts("annotations"),
        pod_template=reader.checked("pod_template_name", str),
        pod=reader.pod(),
        config=reader.config(),
        short=reader.checked("short", bool),
        safe_to_force=reader.checked("safe_to_force", bool),
    )


def check_resources(resources: spec.Resources, where: str) -> None:
    """Check that no request is larger than its limit, once a node has changed some of a task's.

    Raises:
        CompileError: If one is.
    """
    _Options({}, where).check_quantities(resources.requests, resources.limits)


class _Options:
    def __init__(
        self, options: Mapping[str, Any], where: str, module: Mapping[str, Any] | None = None
    ) -> None:
        self._options = {name: value for name, value in options.items() if value is not None}
        self._where = where
        self._module = module or {}

    def wrong(self, message: str) -> CompileError:
        return CompileError(message, self._where)

    def checked(self, name: str, kind: type[Any]) -> Any:
        value = self._options.get(name)
        if value is not None and not isinstance(value, kind):
            raise self.wrong(f"{name}={shown(value)} must be {_article(kind)}, not {type(value).__name__}.")
        return value

    def texts(self, name: str) -> dict[str, str] | None:
        value = self.checked(name, dict)
        if value is not None and not all(isinstance(x, str) for pair in value.items() for x in pair):
            raise self.wrong(
                f"{name}={shown(value)} must map texts to texts. Write str(...) around the values."
            )
        return value if value is None else dict(value)

    def environment(self) -> dict[str, str] | None:
        found = self.texts("environment")
        refuse_credentials((found or {}).items(), "environment", self._where)
        return found

    def pod(self) -> spec.PodTemplate | None:
        given = self.checked("pod_template", PodTemplate)
        found: spec.PodTemplate | None = None if given is None else given.document()
        refuse_credentials(in_pod(found), "pod_template", self._where)
        return found

    def config(self) -> dict[str, JsonValue] | None:
        given = self._options.get("task_config")
        if given is None:
            return None
        if dataclasses.is_dataclass(given) and not isinstance(given, type):
            given = dataclasses.asdict(given)
        elif isinstance(given, BaseModel):
            given = given.model_dump(mode="json")
        try:
            found = json.loads(json.dumps(given, allow_nan=False)) if isinstance(given, dict) else None
        except (TypeError, ValueError):
            found = None
        if found is None:
            raise self.wrong(
                f"task_config={shown(given)} must be a dict, a dataclass or a pydantic model of JSON values."
            )
        return cast("dict[str, JsonValue]", found)

    def image(self) -> tuple[str | None, dict[str, Any] | None]:
        """Return the image's name and its declaration; an image by name has an empty one."""
        given = self._options.get("container_image")
        if isinstance(given, ImageSpec):
            return self._image_name(
                "ImageSpec(name=..., registry=...)", given.image_name()
            ), given.declaration
        if given is not None and not isinstance(given, str):
            raise self.wrong(
                f"container_image={shown(given)} must be the name of an image or an ImageSpec(...)."
            )
        if given is None:
            return None, None
        return self._image_name("container_image", given), {}

    def _image_name(self, option: str, name: str) -> str:
        try:
            return image_name(name)
        except InvalidIdentifier as error:
            raise self.wrong(f"{option}: {error.message}") from None

    def secrets(self) -> tuple[spec.SecretRequest, ...] | None:
        given = self._options.get("secret_requests")
        if given is None:
            return None
        if not isinstance(given, list | tuple) or not all(isinstance(each, Secret) for each in given):
            raise self.wrong(
                f"secret_requests={shown(given)} must be a list of secrets. Write [Secret(group=..., key=...)]."
            )
        return tuple(each.request() for each in given)

    def accelerator(self) -> Accelerator | None:
        given = self._options.get("accelerator")
        if isinstance(given, str):
            return Accelerator(given)
        if given is not None and not isinstance(given, Accelerator):
            raise self.wrong(
                f"accelerator={shown(given)} must be one of flyte_temporal.sdk.accelerators, or a name."
            )
        return given

    def retries(self) -> spec.RetryPolicy | None:
        given = self._options.get("retries")
        return None if given is None else retry_policy(given, self._module, self.wrong)

    def timeouts(self) -> spec.Timeouts | None:
        given = self._options.get("timeout")
        return None if given is None else time_outs(given, self.wrong)

    def cache(self) -> spec.CacheSettings | None:
        given = self._options.get("cache")
        parts = [
            n for n in ("cache_version", "cache_serialize", "cache_ignore_input_vars") if self._options.get(n)
        ]
        if isinstance(given, Cache):
            if parts:
                raise self.wrong(f"{parts[0]} is given besides cache=Cache(...). Put it into Cache(...).")
            return spec.CacheSettings(
                enabled=True,
                version=given.version or AUTO,
                serialize=given.serialize,
                ignored_inputs=given.get_ignored_inputs(),
                salt=given.salt,
            )
        if given is None or given is False:
            if parts:
                raise self.wrong(f"{parts[0]} is given, but caching is not on. Add cache=True, or remove it.")
            return None if given is None else spec.CacheSettings()
        if given is not True:
            raise self.wrong(f"cache={shown(given)} must be True, False or a Cache(...).")
        return spec.CacheSettings(
            enabled=True,
            version=str(self._options.get("cache_version") or AUTO),
            serialize=bool(self._options.get("cache_serialize", False)),
            ignored_inputs=tuple(self._options.get("cache_ignore_input_vars", ())),
        )

    def resources(self) -> spec.Resources | None:
        both, requests, limits = (self.checked(n, Resources) for n in ("resources", "requests", "limits"))
        accelerator = self.accelerator()
        shared = self._options.get("shared_memory")
        if all(part is None for part in (both, requests, limits, accelerator, shared)):
            return None
        if both is not None and (requests is not None or limits is not None):
            raise self.wrong("resources= is given besides requests= or limits=. Use one of the two forms.")
        for name, given in (("requests", requests), ("limits", limits)):
            if given is not None and any(isinstance(v, tuple) for v in vars(given).values()):
                raise self.wrong(f"{name}= takes single values. Use resources=Resources(...) for pairs.")
        if both is not None:
            for name, value in vars(both).items():
                if isinstance(value, tuple) and len(value) != 2:
                    raise self.wrong(
                        f"{name}={shown(value)} must be one value, or a pair of request and limit."
                    )
        wanted, most = both or requests or Resources(), both or limits or Resources()
        self.check_quantities(wanted.side(0), most.side(1))
        return spec.Resources(
            requests=wanted.side(0),
            limits=most.side(1),
            accelerator=accelerator.device if accelerator is not None else "",
            accelerator_partition=accelerator.partition if accelerator is not None else "",
            shared_memory="auto" if shared is True else str(shared or ""),
        )

    def check_quantities(self, requests: spec.ResourceValues, limits: spec.ResourceValues) -> None:
        for name in spec.ResourceValues.model_fields:
            least, most = (self._amount(name, getattr(side, name)) for side in (requests, limits))
            if least is not None and most is not None and least > most:
                raise self.wrong(
                    f"{name}: the request {getattr(requests, name)} is larger than the limit {getattr(limits, name)}."
                )

    def _amount(self, name: str, text: str) -> float | None:
        if not text:
            return None
        found = amount(text)
        if found is None:
            raise self.wrong(f"{name}={text!r} is not a quantity. Write for example 2, '500m', '1.5', '2Gi'.")
        return found


def _article(kind: type[Any]) -> str:
    return {"bool": "True or False", "str": "a text", "dict": "a dict"}.get(
        kind.__name__, f"a {kind.__name__}(...)"
    )


def _text(value: Quantity | None) -> str:
    return "" if value is None else str(value)
