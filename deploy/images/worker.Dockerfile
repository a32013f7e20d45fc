# The worker (and the job that prepares an installation): docker build --file deploy/images/worker.Dockerfile --tag flyte-temporal/worker:dev .
# BASE needs Python 3.11 to 3.13 and a shell. constraints.txt pins every version.
ARG BASE=python:3.12-slim-bookworm
FROM ${BASE} AS build
COPY pyproject.toml README.md LICENSE constraints.txt overrides.txt /src/
COPY flyte_temporal /src/flyte_temporal
# uv, because pip cannot override what a package asks for (docs/decisions/0053).
RUN python3 -m venv /opt/flyte-temporal /opt/build \
 && /opt/build/bin/pip install --quiet --no-cache-dir --constraint /src/constraints.txt uv \
 && VIRTUAL_ENV=/opt/flyte-temporal /opt/build/bin/uv pip install --quiet --no-cache \
      --constraint /src/constraints.txt --override /src/overrides.txt '/src[server,k8s,s3,gcs]'

FROM ${BASE}
COPY --from=build /opt/flyte-temporal /opt/flyte-temporal
ENV PATH=/opt/flyte-temporal/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    PYTHONUNBUFFERED=1 \
    FLYTE_TEMPORAL_HOME=/var/lib/flyte-temporal
# By number, so that Kubernetes sees that it is not root.
USER 65532:65532
ENTRYPOINT ["python", "-P", "-m", "flyte_temporal.worker"]
