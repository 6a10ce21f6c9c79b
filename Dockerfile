# The image of what is written in this repository: the alert inbox, the usage service, and the provider, application and load of the demo.
# What is copied is what .dockerignore lets through.

FROM python:3.11.14-slim-bookworm AS build
# Where pip finds packages, in networks that have a mirror of their own; empty: where it always does.
ARG PIP_INDEX_URL
WORKDIR /app
COPY pyproject.toml constraints.txt ./
COPY instrumentation/pyproject.toml instrumentation/README.md instrumentation/
COPY instrumentation/src instrumentation/src
COPY stack stack
COPY demo demo
# Editable, as in .venv: templates and documents are read from beside the code.
RUN python -m venv /app/.venv \
 && /app/.venv/bin/python -m pip install --no-cache-dir --disable-pip-version-check \
    -c constraints.txt -e "./instrumentation[openai]" -e .
COPY docs/runbooks docs/runbooks
COPY postgres postgres
# A clone made with a strict umask has files that only their owner can read.
RUN chmod -R go+rX /app

FROM python:3.11.14-slim-bookworm
WORKDIR /app
COPY --from=build /app /app
# Nothing below /app is written at run time; /data is the volume.
ENV PATH=/app/.venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    GENAI_STACK_DIR=/data
USER 10001:10001
CMD ["python", "-m", "stack.inbox"]
