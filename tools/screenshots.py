"""`make screenshots`: takes the pictures of docs/operations/temporal-ui.md from the UI of a stack of its own.

Needs Node.js with npm, and Chromium (Debian: apt-get install nodejs npm chromium); Playwright's core is installed beside the
environments. Each picture is reduced to a palette, so that it stays small.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from PIL import Image

from flyte_temporal.client import Client
from flyte_temporal.sdk.loader import find_entity, load_file

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs/operations/temporal-ui.md"
PICTURES = ROOT / "docs/images/temporal-ui"
PLAYWRIGHT = "playwright-core@1.65.1"
MODULES = ROOT / ".screenshots"
MAX_BYTES = 150_000

FAILED = {"top": "Activity Task Failed", "height": 600}

WAITING = """
import time
from flyte_temporal import task, workflow

@task
def extract(seconds: int) -> int:
    time.sleep(seconds)
    return seconds

@task
def train(seconds: int) -> int:
    time.sleep(seconds)
    return seconds

@workflow
def weekly(seconds: int) -> tuple[int, int]:
    return extract(seconds=seconds), train(seconds=seconds)
"""


@dataclass(frozen=True)
class Job:
    """A picture.

    Args:
        file: Where it goes.
        url: Page of the UI.
        awaits: Text that shows that the page is there.
        click: Texts to click, in order.
        top: Text that is to be at the top; empty for the top of the page.
        height: Height of the picture in pixels.
    """

    file: str
    url: str
    awaits: str
    click: tuple[str, ...] = ()
    top: str = ""
    height: int = 720


def tools() -> tuple[str, str]:
    """Return Node.js and Chromium; ends the program with what to install if they are not there."""
    node = shutil.which("node")
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if not (node and shutil.which("npm") and browser):
        sys.exit("Node.js with npm, and Chromium, are needed. Debian: apt-get install nodejs npm chromium")
    if not (MODULES / "node_modules/playwright-core").is_dir():
        MODULES.mkdir(exist_ok=True)
        npm = ["npm", "install", "--silent", "--no-audit", "--no-fund", "--prefix", str(MODULES), PLAYWRIGHT]
        subprocess.run(npm, check=True)
    return node, browser


def until(holds: Callable[[], Any]) -> Any:
    """Wait for something and return it."""
    deadline = time.monotonic() + 120
    while not (found := holds()):
        if time.monotonic() > deadline:
            sys.exit("The runs of the pictures did not come to where they should.")
        time.sleep(0.1)
    return found


def run_id(ui: str, execution: str) -> str:
    """Return the id of an execution's run, as the UI's own addresses have it."""
    address = f"{ui}/api/v1/namespaces/default/workflows/{execution}"
    with urllib.request.urlopen(address) as answer:  # noqa: S310 - of our own server
        return str(json.load(answer)["workflowExecutionInfo"]["execution"]["runId"])


def jobs(ui: str, failed: str, waiting: str, aborted: str) -> list[Job]:
    """Return all pictures, by the executions that they are of."""
    workflows = f"{ui}/namespaces/default/workflows"

    def of(name: str, execution: str, tab: str, awaits: str, **given: Any) -> Job:
        url = f"{workflows}/{execution}/{run_id(ui, execution)}/{tab}"
        return Job(str(PICTURES / f"{name}.png"), url, awaits, **given)

    query = quote('FtPhase="FAILED" AND FtProject="default"')
    summary = {"top": "Summary"}
    return [
        Job(str(PICTURES / "list.png"), f"{workflows}?query={query}", failed, height=330),
        of("details", failed, "user-metadata", "load_prices failed", height=640, **summary),
        of("attempts", failed, "timeline", "load_prices attempt 3", top="Hide idle time", height=480),
        of("failure", failed, "timeline", "Activity Task Failed", click=("load_prices attempt 3",), **FAILED),
        of("call-stack", waiting, "call-stack", "train", top="Call Stack", height=600),
        of("relationships", failed, "relationships", "n0", click=("Expand All",), height=560),
        of("aborted", aborted, "user-metadata", "ABORTED:", height=420, **summary),
    ]


def take(client: Client, folder: Path, node: str, browser: str) -> None:
    """Make the runs, and take the pictures of them."""
    found = re.search(r"```python\n# file: night\.py\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    if found is None:
        sys.exit(f"{PAGE} has no program any more")
    for name, text in (("night", found[1]), ("waiting", WAITING)):
        (folder / f"{name}.py").write_text(text, encoding="utf-8")
    night = find_entity(load_file(folder / "night.py"), "nightly")
    weekly = find_entity(load_file(folder / "waiting.py"), "weekly")
    failed = client.run(night, day="2026-11-25")
    failed.wait()
    aborted = client.run(weekly, seconds=600)
    until(lambda: all(n.phase.value == "RUNNING" for n in aborted.nodes()))
    aborted.abort("the input of tonight is not complete")
    aborted.wait()
    waiting = client.run(weekly, seconds=600)
    until(lambda: all(n.phase.value == "RUNNING" for n in waiting.nodes()))
    PICTURES.mkdir(parents=True, exist_ok=True)
    wanted = jobs(client.status().ui_url, failed.id, waiting.id, aborted.id)
    plan = folder / "jobs.json"
    plan.write_text(json.dumps([asdict(job) for job in wanted]), encoding="utf-8")
    script = [node, str(ROOT / "tools/screenshots.mjs"), str(MODULES), browser, str(plan)]
    subprocess.run(script, check=True, timeout=600)
    waiting.abort("the pictures are taken")
    waiting.wait()
    for job in wanted:
        reduce(Path(job.file))


def reduce(picture: Path) -> None:
    """Make a picture small; ends the program if it stays too large."""
    with Image.open(picture) as image:
        image.convert("RGB").quantize(96).save(picture, optimize=True)
    if picture.stat().st_size > MAX_BYTES:
        sys.exit(f"{picture} has {picture.stat().st_size} bytes, more than {MAX_BYTES}")


def main() -> None:
    """Take all pictures on a stack of their own."""
    node, browser = tools()
    os.environ.update(FLYTE_TEMPORAL_OWNER="ada")
    with tempfile.TemporaryDirectory(prefix="ft-") as folder:
        client = Client.local(Path(folder) / "home")
        try:
            take(client, Path(folder), node, browser)
        finally:
            client.down()


if __name__ == "__main__":
    main()
    sys.stdout.flush()
    os._exit(0)
