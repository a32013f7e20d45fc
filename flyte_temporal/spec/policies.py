"""How a task may be run: resources, retries, time-outs, cache, secrets. All of it data; who acts on it is named."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, JsonValue

from flyte_temporal.errors import CredentialStored, InvalidIdentifier
from flyte_temporal.spec import credentials
from flyte_temporal.spec.document import Document
from flyte_temporal.spec.identifiers import ImageName, SecretPart


def image_declaration(value: dict[str, JsonValue]) -> dict[str, JsonValue]:
    """Check the declaration of an image, which is stored with every version and is in the image's own layers.

    Raises:
        CredentialStored: If an address in it has a user or password; says where they belong.
    """
    if place := credentials.place_in(value):
        raise CredentialStored(
            f"ImageSpec({place}=...) has credentials in an address, and would be stored with the task and in the image. "
            'Leave them out of the address and give pip a file that has them: pip_secret_mounts=[("pip.conf", '
            '"/etc/pip.conf")], or ("netrc", "/root/.netrc").'
        )
    return value


ImageDeclaration = Annotated[dict[str, JsonValue], AfterValidator(image_declaration)]


class ResourceValues(Document):
    """Kubernetes quantities (`500m`, `2Gi`); empty = the platform's default."""

    cpu: str = ""
    mem: str = ""
    gpu: str = ""
    ephemeral_storage: str = ""


class Resources(Document):
    """What an attempt asks for, and what it may use at most."""

    requests: ResourceValues = ResourceValues()
    limits: ResourceValues = ResourceValues()
    accelerator: str = ""
    accelerator_partition: str = ""
    shared_memory: str = ""

    def changed_by(self, other: Resources) -> Resources:
        """Return these, with each part that the other says instead of what stands here."""
        said = {
            side: values.model_copy(update={n: v for n, v in getattr(other, side) if v})
            for side, values in (("requests", self.requests), ("limits", self.limits))
        }
        return Resources(
            **said,
            accelerator=other.accelerator or self.accelerator,
            accelerator_partition=(other if other.accelerator else self).accelerator_partition,
            shared_memory=other.shared_memory or self.shared_memory,
        )


class Backoff(Document):
    """Pause before a user retry: `initial_s * factor ** (n - 1)`, at most `max_s`, varied by ±`jitter` (a fraction)."""

    initial_s: float = 0.0
    factor: float = 2.0
    max_s: float = 300.0
    jitter: float = 0.0


class RetryPolicy(Document):
    """The user's budget; the platform's own budget for lost attempts is a setting.

    Args:
        count: Further attempts after a failure of the user's code.
        backoff: Pause before each.
        on: Names of exception types that are retried; empty = all.
        not_on: Names of exception types that are never retried.
        oom_memory_factor: Memory of the next attempt after an out-of-memory kill, as a multiple; 0 = unchanged.
        oom_memory_max: Upper bound for it, as a quantity.
    """

    count: int = 0
    backoff: Backoff = Backoff()
    on: tuple[str, ...] = ()
    not_on: tuple[str, ...] = ()
    oom_memory_factor: float = 0.0
    oom_memory_max: str = ""


class Timeouts(Document):
    """Limits in seconds; 0 = none."""

    run_s: float = 0.0
    queued_s: float = 0.0
    total_s: float = 0.0


COMPUTED_VERSION = "auto-"
"""With what the version of a cache begins that was made from the code, because its author gave none."""


class CacheSettings(Document):
    """Memoization of a task's outputs.

    Args:
        enabled: Whether to look up and store.
        version: The user's version; a part of the key.
        serialize: Whether equal calls at the same time wait for one of them.
        ignored_inputs: Inputs left out of the key.
        salt: Further part of the key.
    """

    enabled: bool = False
    version: str = ""
    serialize: bool = False
    ignored_inputs: tuple[str, ...] = ()
    salt: str = ""


class SecretRequest(Document):
    """A secret that the task may read; never its value. It names a group, a key or both."""

    group: SecretPart
    key: SecretPart
    version: SecretPart = ""
    mount: Literal["any", "env", "file"] = "any"
    env_var: str = ""

    def model_post_init(self, _context: object) -> None:
        """Refuse a request of everything: where secrets are looked for, it would name the folder of all of them."""
        if not self.group and not self.key:
            raise InvalidIdentifier("A request of a secret names neither its group nor its key.")


class PodTemplate(Document):
    """A pod's specification as Kubernetes writes it, and the container in it that runs the task."""

    pod_spec: dict[str, JsonValue] = {}
    primary_container: str = "primary"
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}


class TaskPolicy(Document):
    """Everything about running a task that is not its code; a node may override any part.

    Args:
        image: The image; for a declared one its name and tag.
        image_spec: The declaration of the image, for its builder; empty if the image is given by name.
        pod_template: Name of a template that the cluster has.
        pod: A template of the task's own; it wins over the named one.
        deck: Whether a deck is kept with each attempt.
        deck_fields: The deck's automatic tabs; `default` = the usual ones.
        short: Whether attempts are so short that several may travel together; None = as measured.
        safe_to_force: Whether a copy of an attempt that lives on unseen does no harm, so that a pod whose end nobody confirms
            may be given up.
    """

    resources: Resources = Resources()
    retries: RetryPolicy = RetryPolicy()
    timeouts: Timeouts = Timeouts()
    cache: CacheSettings = CacheSettings()
    interruptible: bool | None = None
    image: ImageName = ""
    image_spec: ImageDeclaration = {}
    env: dict[str, str] = {}
    secrets: tuple[SecretRequest, ...] = ()
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    pod_template: str = ""
    pod: PodTemplate | None = None
    deprecated: str = ""
    deck: bool = False
    deck_fields: tuple[str, ...] = ("default",)
    short: bool | None = None
    safe_to_force: bool = False


class Overrides(Document):
    """Parts of a task's policy that a node sets anew (`with_overrides`); None = as the task says.

    Of resources, each quantity is a part of its own; everything else is replaced as a whole. `config` is laid over the
    task's own configuration (`TaskSpec.overridden`).
    """

    resources: Resources | None = None
    retries: RetryPolicy | None = None
    timeouts: Timeouts | None = None
    cache: CacheSettings | None = None
    interruptible: bool | None = None
    image: ImageName | None = None
    image_spec: ImageDeclaration | None = None
    env: dict[str, str] | None = None
    secrets: tuple[SecretRequest, ...] | None = None
    labels: dict[str, str] | None = None
    annotations: dict[str, str] | None = None
    pod_template: str | None = None
    config: dict[str, JsonValue] | None = None
    pod: PodTemplate | None = None
    short: bool | None = None
    safe_to_force: bool | None = None

    def apply(self, policy: TaskPolicy) -> TaskPolicy:
        """Return the policy with the parts that are set here."""
        changed = {
            name: value
            for name in type(self).model_fields
            if name != "config" and (value := getattr(self, name)) is not None
        }
        if self.resources is not None:
            changed["resources"] = policy.resources.changed_by(self.resources)
        return policy.model_copy(update=changed) if changed else policy

    def then(self, later: Overrides) -> Overrides:
        """Return both, the later ones winning part by part: to apply that is to apply one after the other."""
        changed = {name: value for name, value in later if value is not None}
        if self.resources is not None and later.resources is not None:
            changed["resources"] = self.resources.changed_by(later.resources)
        if self.config is not None and later.config is not None:
            changed["config"] = {**self.config, **later.config}
        return self.model_copy(update=changed)
