"""Signed addresses: what they allow is in the signature, so that only these bytes go, only there, and not for long.

moto and fake-gcs-server do not look at signatures. So the tests compute them: S3's anew from the secret, Google's by the public
key. That AWS and Google hold to them is for a test on the real clouds.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from pathlib import Path
from urllib.parse import parse_qsl, quote, urlsplit

import pytest
from pydantic import ValidationError

from flyte_temporal.errors import BadRequest, LimitExceeded, StorageError
from flyte_temporal.ports.blob_store import BlobStore
from flyte_temporal.spec import keys
from flyte_temporal.spec.uploads import LONGEST_S, Upload, UploadRequest
from flyte_temporal.storage.blobs import open_store
from flyte_temporal.storage.uploads import described, send
from tests.google import service_account
from tests.proxies import Fault, first, proxied

from .stores import CLOUDS, cloud_config, gcs_port, make_store, s3_port

__all__ = ["gcs_port", "s3_port"]

CONTENT = b"what is uploaded" * 1000


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(CONTENT)
    return path


def canonical(upload: Upload, signature: str) -> tuple[str, dict[str, str]]:
    """Return the canonical request that an address stands for (the same for AWS and Google), and its parameters."""
    asked = urlsplit(upload.url)
    query = dict(parse_qsl(asked.query))
    kept = sorted((name, value) for name, value in query.items() if name != signature)
    headers = {name.lower(): value for name, value in upload.headers.items()} | {"host": asked.netloc}
    prefix = signature.removesuffix("Signature")
    signed = query[f"{prefix}SignedHeaders"].split(";")
    lines = [
        "PUT",
        asked.path,
        "&".join(f"{quote(name, safe='-_.~')}={quote(value, safe='-_.~')}" for name, value in kept),
        *(f"{name}:{headers[name]}" for name in signed),
        "",
        ";".join(signed),
        "UNSIGNED-PAYLOAD",
    ]
    return "\n".join(lines), query


def to_sign(algorithm: str, date: str, scope: str, request: str) -> bytes:
    return f"{algorithm}\n{date}\n{scope}\n{hashlib.sha256(request.encode()).hexdigest()}".encode()


@pytest.mark.s3
def test_what_s3_signs(request: pytest.FixtureRequest, file: Path) -> None:
    config, _ = cloud_config("s3", request)
    wanted = described(file)
    upload = open_store(config.model_copy(update={"region": "eu-west-1"})).presign("a/b", wanted)
    assert upload is not None
    asked, query = canonical(upload, "X-Amz-Signature")
    assert urlsplit(upload.url).path.endswith("/some/prefix/a/b")
    assert query["X-Amz-Expires"] == str(LONGEST_S)
    assert query["X-Amz-SignedHeaders"] == "content-length;host;x-amz-checksum-sha256"
    assert upload.headers["Content-Length"] == str(len(CONTENT))
    assert base64.b64decode(upload.headers["x-amz-checksum-sha256"]).hex() == wanted.sha256
    key = b"AWS4test"
    scope = query["X-Amz-Credential"].split("/", 1)[1]
    assert scope.split("/")[1:] == ["eu-west-1", "s3", "aws4_request"]
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    text = to_sign("AWS4-HMAC-SHA256", query["X-Amz-Date"], scope, asked)
    assert hmac.digest(key, text, "sha256").hex() == query["X-Amz-Signature"]


@pytest.mark.gcs
def test_what_gcs_signs(
    request: pytest.FixtureRequest, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import padding, rsa

    config, _ = cloud_config("gcs", request)
    with service_account(tmp_path) as account:
        monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(account.file))
        store = open_store(config.model_copy(update={"anonymous": False}))
        upload = store.presign("a/b", described(file))
        assert upload is not None
        send(file, upload)
        assert store.get("a/b") == CONTENT
    asked, query = canonical(upload, "X-Goog-Signature")
    assert urlsplit(upload.url).path.endswith("/some/prefix/a/b")
    assert query["X-Goog-Expires"] == str(LONGEST_S)
    assert query["X-Goog-SignedHeaders"] == "content-md5;host;x-goog-content-length-range"
    assert upload.headers["x-goog-content-length-range"] == f"{len(CONTENT)},{len(CONTENT)}"
    assert base64.b64decode(upload.headers["Content-MD5"]).hex() == hashlib.md5(CONTENT).hexdigest()
    scope = query["X-Goog-Credential"].split("/", 1)[1]
    text = to_sign("GOOG4-RSA-SHA256", query["X-Goog-Date"], scope, asked)
    private = serialization.load_pem_private_key(account.key.encode(), None)
    assert isinstance(private, rsa.RSAPrivateKey)
    signature = bytes.fromhex(query["X-Goog-Signature"])
    private.public_key().verify(signature, text, padding.PKCS1v15(), hashes.SHA256())


@pytest.mark.s3
def test_an_upload_is_sent_again_until_it_arrives(request: pytest.FixtureRequest, file: Path) -> None:
    config, port = cloud_config("s3", request)
    for fault in (Fault("drop"), Fault("cut"), Fault("status", 503), Fault("reset")):
        with proxied(port, first(2, "PUT", fault)) as proxy:
            through = config.model_copy(update={"endpoint": f"http://127.0.0.1:{proxy.server_address[1]}"})
            wanted = described(file)
            upload = open_store(through).presign(keys.blob(wanted.sha256), wanted)
            assert upload is not None
            send(file, upload, pause_s=0.01)
            assert proxy.count("PUT") == 3
    assert open_store(config).get(keys.blob(wanted.sha256)) == CONTENT


@pytest.mark.s3
def test_an_upload_that_is_refused_is_not_repeated_and_its_address_not_told(
    request: pytest.FixtureRequest, file: Path
) -> None:
    _, port = cloud_config("s3", request)
    with proxied(port, lambda _: Fault("status", 403)) as proxy:
        address = f"http://127.0.0.1:{proxy.server_address[1]}/bucket/key?X-Amz-Signature=hidden"
        with pytest.raises(StorageError, match="403") as raised:
            send(file, Upload(url=address))
        assert proxy.count("PUT") == 1
    assert "hidden" not in str(raised.value)
    with pytest.raises(StorageError, match="none to upload to"):
        send(file, Upload(url="file:///etc/passwd"))


@pytest.mark.parametrize("kind", ["memory", "local", *CLOUDS])
def test_a_store_that_cannot_sign_says_nothing(
    kind: str, request: pytest.FixtureRequest, file: Path, tmp_path: Path
) -> None:
    store: BlobStore
    if kind == "s3":
        store = open_store(cloud_config("s3", request)[0].model_copy(update={"anonymous": True}))
    else:
        store = make_store(kind, request, tmp_path)  # GCS: anonymous anyway
    assert store.presign("a/b", described(file)) is None


@pytest.mark.s3
def test_more_than_s3_takes_at_once(request: pytest.FixtureRequest) -> None:
    store = open_store(cloud_config("s3", request)[0])
    wanted = UploadRequest(sha256="0" * 64, md5="0" * 32, size=5 * 1024**3 + 1)
    with pytest.raises(LimitExceeded, match="5 GiB"):
        store.presign("a/b", wanted)


def test_what_cannot_be_asked_for(tmp_path: Path) -> None:
    with pytest.raises(ValidationError):
        UploadRequest(sha256="0" * 64, md5="0" * 32, size=1, expires_s=LONGEST_S + 1)
    with pytest.raises(ValidationError):
        UploadRequest(sha256="../../etc", md5="0" * 32, size=1)
    with pytest.raises(BadRequest, match="No such file"):
        described(tmp_path / "none")
