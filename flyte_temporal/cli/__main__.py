"""`python -m flyte_temporal.cli`, the same as the command `flyte-temporal`."""

from flyte_temporal.cli import main

main()
