"""What differs between S3, GCS and other object storage: how fsspec's file system is made, and a few single requests.

Called by `remote`, which has all that is alike. Apart from it so that each cloud's habits stand in one place:

- S3 (s3fs): botocore's own time-outs and tries multiply with ours; `info` of what is not there is two requests.
- GCS (gcsfs): no time-outs; six tries of its own, up to a minute long, each logged as an error; `info` is two requests, one
  of them a listing; a refusal (403) is a plain `OSError`; without credentials it silently becomes anonymous.
"""

from __future__ import annotations

import asyncio
import base64
import inspect
import io
import random
from collections.abc import Callable
from functools import partial
from typing import Any

from flyte_temporal.errors import LimitExceeded, StorageError
from flyte_temporal.spec.storage import StorageConfig
from flyte_temporal.spec.uploads import Upload, UploadRequest

S3_TIMEOUTS = {"connect_timeout": 10, "read_timeout": 20}
"""Seconds for which S3 may be silent; botocore's own 60 s, times the tries of three layers, hold up a task for half an
hour. `options` of the storage may say others (`config_kwargs`)."""

GCS_TIMEOUTS = {"sock_connect": 10.0, "sock_read": 20.0}
"""The same for GCS, in words of aiohttp; `options` may say others (`requests_timeout`)."""

_GCS_TRIES = 3
"""Tries of one request to GCS, as botocore has them for S3: what is written in pieces cannot be begun anew by the store."""

_S3_PUT_BYTES = 5 * 1024**3
_SERVER_ERROR = 500
_LATER = {408, 429}

EXTRAS = {"s3": "s3", "s3a": "s3", "gs": "gcs", "gcs": "gcs"}
"""The extra of this package that brings the library for a scheme."""


class Cloud:
    """Object storage of which nothing else is known than that fsspec has a library for it.

    Args:
        config: How to reach it.
        pause_s: First pause between tries of one request, in seconds.

    Raises:
        StorageError: If the library is not installed, or no credentials are found.
    """

    def __init__(self, config: StorageConfig, pause_s: float) -> None:
        self.root = config.root.rstrip("/")
        self.pause_s = pause_s
        self.fs = self._made(config)

    def head(self, path: str) -> int | None:
        """Return the size of an object, or None; it is asked for by its exact name."""
        info = self.fs.info(path)
        return int(info["size"]) if info["type"] == "file" else None

    def refuses(self, error: BaseException) -> bool:
        """Return whether an error says that we are not allowed to: nothing to try again."""
        return isinstance(error, PermissionError)

    def passes(self, error: Exception) -> bool:
        """Return whether an error says that the service has a bad time, not that the request is wrong."""
        return isinstance(error, OSError)

    def presign(self, path: str, request: UploadRequest) -> Upload | None:
        """Return an address to which whoever has it may upload exactly what was asked for; None if there is no such thing."""
        del path, request
        return None

    def _made(self, config: StorageConfig) -> Any:
        import fsspec

        return fsspec.filesystem(config.root.partition("://")[0], **_own(connection(config)))


class S3(Cloud):
    """S3, and what speaks its language."""

    def head(self, path: str) -> int | None:
        """Return the size of an object; `info` would also list the folder of a name that is not there."""
        bucket, key, _ = self.fs.split_path(path)
        return int(self.fs.call_s3("head_object", Bucket=bucket, Key=key)["ContentLength"])

    def passes(self, error: Exception) -> bool:
        """Return whether an error says that the service has a bad time; s3fs keeps what botocore said as its cause."""
        from botocore.exceptions import ClientError

        said = error if isinstance(error, ClientError) else error.__cause__
        if not isinstance(said, ClientError):
            return True  # no answer at all
        status = said.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 500)
        return status >= _SERVER_ERROR or status in _LATER

    def presign(self, path: str, request: UploadRequest) -> Upload | None:
        """Return an address for one PUT of these very bytes: length and digest are signed with it."""
        if self.fs.anon:
            return None
        if request.size > _S3_PUT_BYTES:
            raise LimitExceeded(
                f"{request.size} bytes are more than S3 takes in one request, 5 GiB. Put the file into a bucket of your own by the "
                "cloud's tools, and give its address as the input."
            )
        checksum = base64.b64encode(bytes.fromhex(request.sha256)).decode()
        url = self.fs.url(
            path,
            expires=request.expires_s,
            client_method="put_object",
            ContentLength=request.size,
            ChecksumSHA256=checksum,
        )
        headers = {"Content-Length": str(request.size), "x-amz-checksum-sha256": checksum}
        return Upload(url=url, headers=headers)

    def _made(self, config: StorageConfig) -> Any:
        made = super()._made(config)
        # botocore tries again, and so does the store; a third layer only multiplies how long a stalled call takes.
        made.retries = 1
        return made


class Gcs(Cloud):
    """Google Cloud Storage."""

    def head(self, path: str) -> int | None:
        """Return the size of an object, or None; `info` would also list the folder of the name."""
        bucket, key, _ = self.fs.split_path(path)
        return int(self.fs.call("GET", "b/{}/o/{}", bucket, key, json_out=True)["size"])

    def refuses(self, error: BaseException) -> bool:
        """Return whether an error says that we are not allowed to."""
        return super().refuses(error) or (type(error) is OSError and str(error).startswith("Forbidden"))

    def passes(self, error: Exception) -> bool:
        """Return whether an error says that the service has a bad time."""
        from google.auth.exceptions import TransportError  # who issues tokens did not answer

        return isinstance(error, TimeoutError | TransportError) or _transient(error)

    def presign(self, path: str, request: UploadRequest) -> Upload | None:
        """Return an address for one PUT of so many bytes with this MD5, where the credentials can sign."""
        found = self.fs.credentials.credentials
        if found is None:
            return None
        # With the key of a service account it is signed here; else the service that issues tokens signs for us.
        remote: dict[str, str] = {}
        if not hasattr(found, "sign_bytes"):
            account = getattr(found, "service_account_email", "")
            if not account:
                return None  # a person's own login: nobody can sign for it
            self.fs.credentials.maybe_refresh()
            remote = {"service_account_email": account, "access_token": found.token}
        headers = {
            "Content-MD5": base64.b64encode(bytes.fromhex(request.md5)).decode(),
            "x-goog-content-length-range": f"{request.size},{request.size}",
        }
        url = self.fs.sign(
            path, expiration=request.expires_s, version="v4", method="PUT", headers=dict(headers), **remote
        )
        return Upload(url=url, headers={"Content-Length": str(request.size), **headers})

    def _made(self, config: StorageConfig) -> Any:
        import aiohttp

        # Not the class that fsspec takes: that one asks another service first what kind of bucket it is (by gRPC, which no
        # emulator and few firewalls let through), and we need none of what it does with the answer.
        from gcsfs.core import GCSFileSystem
        from google.auth.exceptions import GoogleAuthError

        options = connection(config)
        options.setdefault("requests_timeout", GCS_TIMEOUTS)
        if isinstance(options["requests_timeout"], dict):
            options["requests_timeout"] = aiohttp.ClientTimeout(total=None, **options["requests_timeout"])
        try:
            made = GCSFileSystem(**_own(options))
        except GoogleAuthError as error:
            raise StorageError(
                f"No credentials for {config.root} were found ({type(error).__name__}). `gcloud auth application-default login`, "
                "GOOGLE_APPLICATION_CREDENTIALS or a service account of the machine gives them; for a public bucket or an "
                "emulator set FLYTE_TEMPORAL_STORAGE__ANONYMOUS=true."
            ) from error
        for name in ("_request", "_get_file_request", "_get_file_concurrent"):
            plain = inspect.unwrap(getattr(type(made), name))
            setattr(
                made, name, self._tried(partial(plain, made)) if name == "_request" else partial(plain, made)
            )
        return made

    def _tried(self, request: Callable[..., Any]) -> Callable[..., Any]:
        """Return a request of gcsfs that is tried a few times, quickly, but not when it was silent for long."""

        async def asked(*args: Any, data: Any = None, **kwargs: Any) -> Any:
            for number in range(1, _GCS_TRIES + 1):
                # As a stream, because aiohttp sends large bytes in one go and warns of it. A new one each time: it closes them.
                body = io.BytesIO(data) if isinstance(data, bytes | bytearray | memoryview) else data
                try:
                    return await request(*args, data=body, **kwargs)
                except Exception as error:
                    if number == _GCS_TRIES or not _transient(error):
                        raise
                    await asyncio.sleep(self.pause_s * 2 ** (number - 1) * (1 + random.random()))  # noqa: S311 - spreads
            raise AssertionError

        return asked


def cloud(config: StorageConfig, pause_s: float) -> Cloud:
    """Return the object storage of a configuration.

    Raises:
        StorageError: If its library is not installed, its scheme is not known, or no credentials are found.
    """
    scheme = config.root.partition("://")[0]
    extra = EXTRAS.get(scheme)
    try:
        return {"s3": S3, "gcs": Gcs}.get(extra or "", Cloud)(config, pause_s)
    except ImportError as error:
        remedy = (
            f"pip install 'flyte-temporal[{extra}]'" if extra else f"install fsspec's library for {scheme}://"
        )
        raise StorageError(
            f"The storage root {config.root} needs a library that is not installed: {remedy}."
        ) from error
    except ValueError as error:
        raise StorageError(
            f"The storage root {config.root} has a scheme that is not supported, or options that its library refuses: {error}."
        ) from error


def connection(config: StorageConfig) -> dict[str, Any]:
    """Return the options of fsspec's file system for a configuration, also for other addresses of the same cloud."""
    options: dict[str, Any] = dict(config.options)
    match EXTRAS.get(config.root.partition("://")[0]):
        case "s3":
            given = options.get("config_kwargs", {})
            # s3v4 by name: with an endpoint of one's own, addresses would else be signed the old way (reliability.md §4.1).
            signed = {} if config.anonymous else {"signature_version": "s3v4"}
            style = {"s3": {"addressing_style": "path"}} if config.path_style else {}
            options["config_kwargs"] = {**S3_TIMEOUTS, **signed, **style, **given}
            if config.region:
                options["client_kwargs"] = {"region_name": config.region, **options.get("client_kwargs", {})}
            if config.anonymous:
                options["anon"] = True
        case "gcs":
            options.setdefault("token", "anon" if config.anonymous else "google_default")
            options.setdefault("consistency", "md5")
        case _:
            pass
    if config.endpoint:
        options["endpoint_url"] = config.endpoint
    return options


def share(config: StorageConfig) -> None:
    """Make the way to the store the default of fsspec for all addresses of its cloud in this process."""
    import fsspec.config

    scheme = config.root.partition("://")[0]
    for name, extra in EXTRAS.items():
        if extra == EXTRAS.get(scheme):
            fsspec.config.conf[name] = {**connection(config), **fsspec.config.conf.get(name, {})}


def _own(options: dict[str, Any]) -> dict[str, Any]:
    """Return options for a file system of our own.

    No listing cache, or a deleted or new object is seen wrongly; no shared instance, so that nobody else's settings leak in,
    and so that a forked process never inherits another's event loop.
    """
    return {"use_listings_cache": False, "skip_instance_cache": True, **options}


def _transient(error: Exception) -> bool:
    from gcsfs.retry import is_retriable

    return not isinstance(error, TimeoutError) and bool(is_retriable(error))
