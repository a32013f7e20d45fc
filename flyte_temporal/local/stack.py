"""The processes of one home, from start to stop. Standard library only: the children start before heavy imports."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from flyte_temporal._version import __version__
from flyte_temporal.config.home import child_environment, set_environment
from flyte_temporal.config.local import LocalSettings
from flyte_temporal.errors import PlatformUnavailable
from flyte_temporal.local import forking, spares, temporal_server
from flyte_temporal.local.children import Child, Program, rotate
from flyte_temporal.local.layout import Layout
from flyte_temporal.local.processes import end, identify, leftovers
from flyte_temporal.local.state import StackState, read_state, write_state
from flyte_temporal.local.version import PROTOCOL

_log = logging.getLogger(__name__)

HOME_LOST = 4
"""Exit code when the home was deleted, or replaced, under the running stack."""

_NAMED = ("METADATA__URL", "STORAGE__ROOT")
"""Settings without which an installation of others cannot be reached."""

_ORPHAN_GRACE_S = 2.0
_WORKER_GRACE_S = 5.0
_TEMPORAL_GRACE_S = 5.0


class Stack:
    """Temporal server and worker of one home. Made by the holder of the home's lock only.

    Args:
        layout: The home.
        settings: Of the local stack.
        lock: Descriptor of the home's lock; None where nobody else can come near the home (tests).
    """

    def __init__(self, layout: Layout, settings: LocalSettings, lock: int | None = None) -> None:
        self._lock = lock
        self.layout = layout
        self.settings = settings
        self.state = StackState()
        self.children: dict[str, Child] = {}

    @property
    def address(self) -> str:
        """Host and port of the Temporal server."""
        return self.settings.attach or f"{temporal_server.HOST}:{self.state.temporal_port}"

    @property
    def ui_url(self) -> str:
        """Address of the Temporal UI; empty if it is not ours."""
        return "" if self.settings.attach else f"http://{temporal_server.HOST}:{self.state.ui_port}"

    def start(self) -> None:
        """End what a killed predecessor left, and start the server.

        Raises:
            PlatformUnavailable: If the server's program is missing or a fixed port is taken.
        """
        attached = bool(self.settings.attach)
        program = "" if attached else temporal_server.find_program(self.settings.temporal_program)
        last = read_state(self.layout.state)
        end({*last.children.values(), *leftovers(self.layout.home)}, _ORPHAN_GRACE_S)
        self._remove_socket(last.socket)
        remembered = (last.temporal_port, last.ui_port)
        ports = remembered if attached else temporal_server.choose_ports(self.settings, remembered)
        self.state = StackState(
            protocol=PROTOCOL,
            version=__version__,
            python=sys.executable,
            supervisor=identify(os.getpid()),
            temporal_port=ports[0],
            ui_port=ports[1],
            socket=str(self.layout.socket()),
        )
        if attached:
            self._join()
            return
        set_environment(*self._environment())
        command = temporal_server.server_command(program, self.layout, ports, self.settings.durability)
        self._add("temporal", command, temporal_server.ENVIRONMENT).start()

    def _join(self) -> None:
        """Take the settings of the installation to which the stack belongs; only what is this machine's is decided here.

        Raises:
            PlatformUnavailable: If a part of it is not named.
        """
        own = {"HOME": str(self.layout.home), "TEMPORAL__ADDRESS": self.address, "WORKER__RECONCILE_S": "0"}
        missing = [name for name in _NAMED if not child_environment({}).get(f"FLYTE_TEMPORAL_{name}")]
        if missing:
            names = " and ".join(f"FLYTE_TEMPORAL_{name}" for name in missing)
            raise PlatformUnavailable(
                f"FLYTE_TEMPORAL_LOCAL__ATTACH={self.settings.attach} means an installation that others run, so {names} must name "
                "its stores: as its workers have them."
            )
        set_environment({f"FLYTE_TEMPORAL_{name}": value for name, value in own.items()}, {})
        self.write()

    def start_worker(self, private: Sequence[int]) -> None:
        """Load the libraries, and start the worker with them.

        Args:
            private: Descriptors that are for the supervisor alone.

        Raises:
            PlatformUnavailable: If a library is missing or broken.
        """
        try:
            forking.preload()
        except ImportError as error:
            raise PlatformUnavailable(
                f"The installation of {sys.executable} is not complete: {error}. `{sys.executable} -m pip install "
                "'flyte-temporal[local]'` brings what is missing."
            ) from error
        if self.settings.attach:
            return
        worker = self._add("worker", [sys.executable, "-P", "-m", "flyte_temporal.worker"], {})
        layout = self.layout
        log = layout.log("worker")
        if not forking.can_fork():
            worker.start()
            return
        worker.start(partial(forking.fork_worker, log, layout.home, private))
        worker.spare = spares.forked(log, layout.home, private)

    def _add(self, name: str, command: list[str], environment: dict[str, str]) -> Child:
        log, home = self.layout.log(name), self.layout.home
        spare = partial(spares.spawned, command, environment, log, home) if name == "worker" else None
        self.children[name] = Child(
            Program(name, command, environment, log, home), self.write, spare, self.check_home
        )
        return self.children[name]

    def _environment(self) -> tuple[dict[str, str], dict[str, str]]:
        """Return the settings of supervisor and worker: those that this home decides, and defaults for one machine."""
        layout = self.layout
        fixed = {
            "HOME": str(layout.home),
            "TEMPORAL__ADDRESS": self.address,
            "TEMPORAL__NAMESPACE": "default",
            "TEMPORAL__TASK_QUEUE": "flyte-temporal",
            "METADATA__URL": f"sqlite:///{layout.metadata_db}",
            "METADATA__DURABILITY": self.settings.durability,
            "WORKER__SCRATCH": str(layout.attempts),
            "WORKER__CACHE": str(layout.cache),
            # The supervisor does it, which has the use cases loaded anyway.
            "WORKER__RECONCILE_S": "0",
        }
        # A lost worker must be noticed within 2 s here; a false alarm is harmless, the attempt is adopted.
        defaults = {
            "TEMPORAL__TASK_TIMEOUT_S": "5",
            "WORKER__HEARTBEAT_TIMEOUT_S": "1.5",
            "WORKER__STICKY_TIMEOUT_S": "1",
            "WORKER__GRACEFUL_SHUTDOWN_S": "1",
            "WORKER__WEDGED_S": "20",
            "WORKER__POOL_AHEAD": "true",
            # Every pending activity heartbeats thrice a second; more than can run at once only cost.
            "LIMITS__PENDING": "100",
        }

        def ours(values: dict[str, str]) -> dict[str, str]:
            return {f"FLYTE_TEMPORAL_{name}": value for name, value in values.items()}

        return ours(fixed), ours(defaults)

    def write(self) -> None:
        """Write down who runs."""
        running = {name: child.identity for name, child in self.children.items() if child.identity}
        self.state = replace(self.state, children=running)
        write_state(self.layout.state, self.state)

    def problems(self) -> list[str]:
        """Return what is wrong with the processes now, in sentences."""
        return [child.problem for child in self.children.values() if child.problem]

    def check_home(self) -> None:
        """End this process and its children on the spot if the lock that it holds is not that of the home any more.

        Whoever deletes a home, or moves it away, frees its name: the next supervisor finds no lock and takes a new one.
        A child restarted now would open the other's databases. Killed, not stopped, and nothing is tidied up: SQLite
        removes journals by their path when it closes a file, and those of that path are not ours now.
        """
        if self._lock is None or self._holds(self._lock):
            return
        _log.error("The home %s was deleted or replaced: its stack ends at once.", self.layout.home)
        for child in self.children.values():
            child.kill()
        logging.shutdown()
        os._exit(HOME_LOST)

    def _holds(self, lock: int) -> bool:
        try:
            return os.path.samestat(os.fstat(lock), self.layout.lock.stat())
        except (FileNotFoundError, NotADirectoryError):
            return False

    def tend(self) -> None:
        """Do what is to be done every few seconds: look for the home; logs, and forgetting old deaths."""
        self.check_home()
        for child in self.children.values():
            child.rotate(self.settings.log_bytes)
            child.settle()
            child.keep_spare()
        rotate(self.layout.log("supervisor"), self.settings.log_bytes)

    async def stop(self) -> None:
        """Stop the worker, then what it left at work, then the server. Everything goes on at the next start."""
        self.check_home()
        if worker := self.children.get("worker"):
            await worker.stop(_WORKER_GRACE_S)
        # Imported here: it brings pydantic, and the children were to start without waiting for that.
        from flyte_temporal.local.attempts import end_attempts

        # In a thread: a task may take its grace time, and the supervisor goes on answering.
        await asyncio.to_thread(end_attempts, self.layout.attempts)
        if server := self.children.get("temporal"):
            await server.stop(_TEMPORAL_GRACE_S)
        self._remove_socket(self.state.socket)
        write_state(self.layout.state, self.state.stopped())

    def _remove_socket(self, path: str) -> None:
        if not path:
            return
        socket = Path(path)
        socket.unlink(missing_ok=True)
        if socket.parent != self.layout.home:
            # The private folder of a home with a long name; it holds nothing else.
            with contextlib.suppress(OSError):
                socket.parent.rmdir()
