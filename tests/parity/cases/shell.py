"""Shell scripts as tasks: values of every kind stay values, files go in and out, a failure tells what was said."""

from pathlib import Path

from flyte_temporal import FlyteFile, OutputLocation, ShellTask, kwtypes, task, workflow

Csv = FlyteFile["csv"]  # type: ignore[name-defined]

quoted = ShellTask(
    name="parity.shell.quoted",
    script="""
# it's a comment with a quote
printf '%s|' {inputs.x} "{inputs.x}" '<{inputs.x}>' "$(printf %s {inputs.x})" > {outputs.said}
cat <<END >> {outputs.said}
doc: {inputs.x}
END
""",
    inputs=kwtypes(x=str),
    output_locs=[OutputLocation("said", FlyteFile, "out/said.txt")],
)

count = ShellTask(
    name="parity.shell.count",
    script="""
set -euo pipefail
wc -l < {inputs.table} | tr -d ' ' > {outputs.lines}
awk -F, '{ n += $2 } END { print n * ENVIRON["BY"] }' {inputs.table} > {outputs.total}
sort {inputs.table} > {outputs.ordered}
""",
    inputs=kwtypes(table=Csv),
    output_locs=[
        OutputLocation(var="lines", var_type=int, location="lines"),
        OutputLocation(var="total", var_type=float, location="total"),
        OutputLocation(var="ordered", var_type=Csv, location="{inputs.table.name}.sorted"),
    ],
    environment={"BY": "0.5"},
)

failing = ShellTask(
    name="parity.shell.failing", script="echo fine\necho first >&2\necho 'the last words' >&2\nexit 7\n"
)


@task
def read(file: FlyteFile) -> str:
    return Path(file).read_text()


@task
def table() -> Csv:
    Path("t.csv").write_text("b,2\na,1\n")
    return FlyteFile("t.csv")


@workflow
def values(x: str) -> str:
    return read(file=quoted(x=x))


@workflow
def files() -> tuple[int, float, str]:
    counted = count(table=table())
    return counted.lines, counted.total, read(file=counted.ordered)


@workflow
def fails() -> None:
    failing()
