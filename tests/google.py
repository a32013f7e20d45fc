"""Google's side of credentials as the tests play it: a service account with a key of its own, and who issues tokens for it."""

from __future__ import annotations

import json
import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path


@dataclass
class Account:
    """A service account.

    Args:
        file: What GOOGLE_APPLICATION_CREDENTIALS is to name.
        key: Its private key, in PEM; nobody else may see it.
        token: What is issued for it; likewise.
        issued: How often.
    """

    file: Path
    key: str
    token: str = field(default_factory=lambda: f"ya29.{secrets.token_hex(16)}")
    issued: int = 0


@contextmanager
def service_account(folder: Path) -> Iterator[Account]:
    """Make a service account, and issue tokens for it inside of the block."""
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import rsa

    pem = rsa.generate_private_key(public_exponent=65537, key_size=2048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    account = Account(folder / "account.json", pem.decode())

    class Issuer(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            account.issued += 1
            answer = {"access_token": account.token, "expires_in": 3600, "token_type": "Bearer"}
            data = json.dumps(answer).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *args: object) -> None:
            """Keep quiet."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Issuer)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    written = {
        "type": "service_account",
        "project_id": "p",
        "private_key_id": "k1",
        "private_key": account.key,
        "client_email": "runner@p.iam.gserviceaccount.com",
        "client_id": "1",
        "token_uri": f"http://127.0.0.1:{server.server_address[1]}/token",
    }
    account.file.write_text(json.dumps(written))
    account.file.chmod(0o600)
    try:
        yield account
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
