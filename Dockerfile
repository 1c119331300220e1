# The service without the embedded servers: give it a PostgreSQL and a Redis by URL
# (docker-compose.yml does). Slim, not Alpine: some wheels need glibc.

FROM python:3.13-slim AS build
WORKDIR /build
COPY devtools/bootstrap.lock devtools/
RUN pip install --no-cache-dir --require-hashes -r devtools/bootstrap.lock \
    && uv venv /app
COPY pyproject.toml requirements.lock ./
# Of the lock only what the service itself needs, with the lock's own versions and hashes.
RUN cp requirements.lock service.lock \
    && uv pip compile --quiet --generate-hashes pyproject.toml --output-file service.lock \
    && uv pip sync --python /app/bin/python --compile-bytecode --require-hashes service.lock
COPY README.md ./
COPY alembic alembic
COPY src src
RUN uv build --wheel --build-constraint requirements.lock --out-dir dist \
    && uv pip install --python /app/bin/python --compile-bytecode --no-deps dist/*.whl

FROM python:3.13-slim
RUN useradd --system --uid 10001 --create-home --home-dir /var/lib/agentcore agentcore
COPY --from=build /app /app
ENV PATH=/app/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    AGENTCORE_HOME=/var/lib/agentcore/home \
    AGENTCORE_SERVER__HOST=0.0.0.0
USER 10001
WORKDIR /var/lib/agentcore
EXPOSE 8001
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8001/health/live', timeout=3)"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["agentcore"]
CMD ["serve"]
