# The image in which tasks run: Python, the base install of flyte-temporal, what reaches S3 and GCS, and nothing of the
# platform.
#
# `tools/task_image.py` (`make task-image`) makes the folder that this is built from, and calls the builder:
#   dist/             the wheel of flyte-temporal
#   requirements.txt  what it needs, and what was asked for besides; constraints.txt has the versions
#   wheels/           those packages where they were fetched beforehand; else empty, and pip asks the index
#
# Your own image needs only `pip install 'flyte-temporal[s3,gcs]'` in the first `python` of its PATH; see docs/images.md.
ARG PYTHON=docker.io/library/python:3.11-slim
FROM ${PYTHON}
# 1 = take packages from wheels/ only.
ARG PIP_NO_INDEX=
COPY requirements.txt constraints.txt /opt/task/
RUN --mount=type=bind,source=wheels,target=/wheels \
    python3 -m venv /opt/task/venv \
    && /opt/task/venv/bin/pip install --no-cache-dir --disable-pip-version-check --find-links /wheels \
       -r /opt/task/requirements.txt -c /opt/task/constraints.txt
COPY dist/ /opt/task/dist/
RUN /opt/task/venv/bin/pip install --no-cache-dir --disable-pip-version-check --no-index --no-deps \
    /opt/task/dist/*.whl \
    && rm -r /opt/task/dist \
    && /opt/task/venv/bin/python -m compileall -q /opt/task/venv/lib
ENV PATH=/opt/task/venv/bin:/usr/local/bin:/usr/bin:/bin HOME=/tmp PYTHONUNBUFFERED=1
WORKDIR /tmp
# A number, so that Kubernetes can see that it is not root.
USER 10001:10001
CMD ["python", "-P", "-m", "flyte_temporal.runtime", "--help"]
