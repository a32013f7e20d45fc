"""`python -m flyte_temporal.local`: runs the stack of a home in this process. Started by `connection`, or by hand."""

from __future__ import annotations

import argparse
import logging
import os
import sys
import time
from pathlib import Path

from flyte_temporal.config.home import home_directory
from flyte_temporal.local.supervisor import Report, configure_log, run


def main() -> int:
    """Parse the command line and run."""
    parser = argparse.ArgumentParser(prog="python -m flyte_temporal.local", description=__doc__)
    parser.add_argument(
        "--home", type=Path, default=None, help="default: FLYTE_TEMPORAL_HOME or ~/.flyte-temporal"
    )
    parser.add_argument(
        "--report-fd", type=int, default=None, help="pipe that is told when the stack is ready"
    )
    parser.add_argument(
        "--began", type=float, default=time.time(), help="when it was asked for, seconds since 1970"
    )
    given = parser.parse_args()
    configure_log(foreground=given.report_fd is None)
    home = given.home.resolve() if given.home else home_directory()
    return run(home, Report(given.report_fd), given.began)


if __name__ == "__main__":
    code = main()
    # Processes that used temporalio may crash at interpreter exit (temporal.md §0.10).
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
