"""`StorageConfig`: how the blob store is reached. It travels in every order, so nothing secret may be in it.

Apart from the orders because settings and clients make it too. Credentials come from where each cloud's own library looks
for them: environment, profile, service account, metadata server (docs/storage.md).
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Self
from urllib.parse import urlsplit

from pydantic import ConfigDict, JsonValue, model_validator

from flyte_temporal.spec import credentials
from flyte_temporal.spec.document import Document

_RULE = (
    "and this configuration is recorded with every attempt. Leave it out: credentials are found where the cloud's own tools find "
    "them (environment, profile, service account; docs/storage.md)"
)

GCS_WAYS = ("anon", "google_default", "cloud", "cache")
"""What gcsfs' option `token` may say without being a secret: the name of a way to find one."""


class StorageConfig(Document):
    """How to reach the blob store.

    Args:
        root: URI of the root folder: `file:///…`, `s3://bucket/prefix`, `gs://bucket/prefix`.
        options: Further options for fsspec's file system; no secrets, or it is refused.
        endpoint: Address of the service where it is not the cloud's own: `http://minio:9000`.
        region: Region of the bucket (S3).
        anonymous: Requests are not signed: public buckets, emulators.
        path_style: The bucket's name stands in the path of an address, not in its host (S3): what most other services need.
    """

    # What was given may be a secret that stands where none may stand.
    model_config = ConfigDict(hide_input_in_errors=True)

    root: str
    options: dict[str, JsonValue] = {}
    endpoint: str = ""
    region: str = ""
    anonymous: bool = False
    path_style: bool = False

    @model_validator(mode="after")
    def _holds_no_secrets(self) -> Self:
        check_no_secrets(self.root, self.endpoint, self.options)
        return self


def check_no_secrets(root: str, endpoint: str, options: dict[str, Any]) -> None:
    """Refuse a configuration that holds credentials; the message does not repeat them.

    Raises:
        ValueError: If the address of the root or the endpoint has a user or password, or an option is a credential.
    """
    for name, address in (("root", root), ("endpoint", endpoint)):
        if _has_credentials(address):
            raise ValueError(f"the {name} of the storage has credentials in its address, {_RULE}")
    found = _secret_in(options)
    if found:
        raise ValueError(f"the storage option {found!r} is a credential, or an address with one, {_RULE}")


@lru_cache(maxsize=256)
def _has_credentials(address: str) -> bool:
    """Kept, because the same two addresses are checked with the order of every attempt."""
    return "@" in urlsplit(address).netloc or credentials.in_option(address)


def _secret_in(options: Any, above: str = "") -> str:
    """Return where a credential is: an option whose name says so, or an address with a user or password."""
    if isinstance(options, str):
        return above if credentials.in_option(options) else ""
    if isinstance(options, list):
        return next((found for each in options if (found := _secret_in(each, above))), "")
    if not isinstance(options, dict):
        return ""
    for name, value in options.items():
        # An address may stand on this side too: proxies for single hosts.
        where = f"{above}.{name}" if above else str(name)
        if credentials.in_option(str(name)):
            return above or "options"
        if credentials.is_name(str(name)) and not (str(name).lower() == "token" and value in GCS_WAYS):
            return where
        if found := _secret_in(value, where):
            return found
    return ""
