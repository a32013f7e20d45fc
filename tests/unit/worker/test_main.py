"""The worker's process, before there is a Temporal to work for."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

FOREVER_S = "600"


def test_a_worker_that_waits_for_temporal_stops_when_told_to(tmp_path: Path) -> None:
    """A listener that never answers: the worker has reached it, and would wait for ten minutes."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(60)
        environment = {
            **os.environ,
            "FLYTE_TEMPORAL_HOME": str(tmp_path),
            "FLYTE_TEMPORAL_TEMPORAL__ADDRESS": f"127.0.0.1:{listener.getsockname()[1]}",
            "FLYTE_TEMPORAL_TEMPORAL__CONNECT_TIMEOUT_S": FOREVER_S,
        }
        worker = subprocess.Popen([sys.executable, "-m", "flyte_temporal.worker"], env=environment)
        try:
            connection, _ = listener.accept()
            worker.send_signal(signal.SIGTERM)
            assert worker.wait(timeout=60) == 0
            connection.close()
        finally:
            worker.kill()
            worker.wait()
