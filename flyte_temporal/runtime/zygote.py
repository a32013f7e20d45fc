"""`python -m flyte_temporal.runtime.zygote`: the fork server of the warm pool.

It imports the user's modules once and forks processes that share them. It stays single-threaded, so that a fork is
safe: everything that may start threads (a remote store) happens in short-lived helper processes. It talks to the
launcher in lines of JSON over a socket:

    → {"fork": id} with a descriptor    make a process with this channel
    → {"stop": id, "grace": seconds}    SIGTERM to its group, SIGKILL after the grace
    ← {"ready": true, "preloaded": …}
    ← {"forked": id, "pid": …, "started": …}
    ← {"gone": id, "code": …, "name": …}    it ended; what it worked on has been buried

When the launcher is gone, processes without work end by themselves, and the zygote ends after the last one.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import json
import os
import signal
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from flyte_temporal.errors import FlyteTemporalError
from flyte_temporal.runtime import attempt
from flyte_temporal.runtime.brood import Brood
from flyte_temporal.runtime.threads import fork_is_safe
from flyte_temporal.runtime.warm import WarmSettings
from flyte_temporal.runtime.wire import Wire
from flyte_temporal.spec.attempt import StorageConfig
from flyte_temporal.spec.execution import BundleRef
from flyte_temporal.storage.blobs import open_store
from flyte_temporal.storage.bundles import unpack
from flyte_temporal.storage.unpacked import hold


def main() -> int:
    """Serve one launcher until it is gone and the last process has ended."""
    parser = argparse.ArgumentParser(prog="python -m flyte_temporal.runtime.zygote")
    parser.add_argument("--control", type=int, required=True, metavar="FD")
    parser.add_argument("--settings", required=True, metavar="JSON")
    parser.add_argument("--no-preload", action="store_true")
    arguments = parser.parse_args()
    serve(arguments.control, json.loads(arguments.settings), preload=not arguments.no_preload)
    return 0


def serve(control: int, given: dict[str, Any], *, preload: bool) -> None:
    """Be a zygote, until its launcher is gone and its last process has ended.

    Args:
        control: Descriptor of the connection to the launcher.
        given: Settings, as the launcher writes them.
        preload: Whether the user's module is imported ahead.
    """
    # The Python of the user's code may count threads of C libraries (OpenBLAS) that are known to survive a fork.
    warnings.filterwarnings("ignore", category=DeprecationWarning, message=".*multi-threaded.*fork")
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    wire = Wire(control)
    settings = _settings(given)
    attempt.enter_code(settings.root)
    preloaded = preload and _preload(given["module"])
    if preload and not fork_is_safe():
        # The user's module starts threads when it is imported. So the processes import it themselves, each after
        # its fork.
        _start_again(control, given)
    gc.collect()
    gc.freeze()
    wire.say({"ready": True, "preloaded": preloaded})
    Brood(wire, settings).serve()


def _settings(given: dict[str, Any]) -> WarmSettings:
    cache = Path(given["cache"])
    bundle = BundleRef.model_validate(given["bundle"]) if given["bundle"] else None
    root = _unpack(StorageConfig.model_validate(given["storage"]), bundle, cache) if bundle else None
    return WarmSettings(
        attempts=Path(given["attempts"]),
        folders=Path(given["folders"]),
        cache=cache,
        # If the bundle cannot be had, each attempt tries again and reports why.
        bundle=bundle.sha256 if bundle and root else "",
        root=root,
        max_tasks=given["max_tasks"],
        max_growth_bytes=given["max_growth_bytes"],
    )


def _unpack(storage: StorageConfig, bundle: BundleRef, cache: Path) -> Path | None:
    root = cache / bundle.sha256
    if hold(root):
        return root
    # The helper's hold ends with it; ours lasts, and the processes that we fork inherit it.
    if in_helper(lambda: unpack(open_store(storage), bundle, cache)) != 0 or not hold(root):
        return None
    return root


def in_helper(action: Callable[[], object]) -> int:
    """Do something in a forked process, because it may start threads, and return its exit code."""
    helper = os.fork()
    if helper == 0:
        _help(action)
    _, status = os.waitpid(helper, 0)
    return os.waitstatus_to_exitcode(status)


def _help(action: Callable[[], object]) -> NoReturn:
    code = 1
    try:
        action()
        code = 0
    except FlyteTemporalError as error:
        sys.stderr.write(f"flyte-temporal: {error}\n")
        sys.stderr.flush()
    finally:
        os._exit(code)


def _preload(module: str) -> bool:
    """Import the user's module; whatever goes wrong happens again, and is reported, in the attempt itself."""
    if not module:
        return False
    try:
        importlib.import_module(module)
    except BaseException as error:  # noqa: BLE001 - SystemExit too: user code must not end the zygote
        sys.stderr.write(f"flyte-temporal: importing {module} failed: {type(error).__name__}: {error}\n")
        return False
    return True


def _start_again(control: int, given: dict[str, Any]) -> NoReturn:
    os.set_inheritable(control, True)  # noqa: FBT003 - positional by signature
    sys.stdout.flush()
    sys.stderr.flush()
    arguments = ["-P", "-m", "flyte_temporal.runtime.zygote", "--no-preload"]
    arguments += ["--control", str(control), "--settings", json.dumps(given)]
    os.execv(sys.executable, [sys.executable, *arguments])  # noqa: S606 - our own interpreter, our own arguments


if __name__ == "__main__":
    sys.exit(main())
