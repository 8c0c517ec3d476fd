FROM python:3.13-slim AS build

WORKDIR /build
COPY requirements requirements
# The image runs what the first file pins; the second has the build backend too.
RUN python -m venv --without-pip /opt/kplus \
    && python -m venv --without-pip /opt/builder \
    && pip --python /opt/kplus/bin/python install --no-cache-dir --require-hashes -r requirements/runtime.txt \
    && pip --python /opt/builder/bin/python install --no-cache-dir --require-hashes -r requirements/demo.txt
COPY LICENSE README.md pyproject.toml ./
COPY migrations migrations
COPY worker worker
# The wheel holds the migrations: `kplus-cancel db upgrade` works in the image as it stands.
RUN /opt/builder/bin/python -m hatchling build -t wheel -d dist \
    && pip --python /opt/kplus/bin/python install --no-cache-dir --no-deps dist/*.whl


FROM python:3.13-slim

# Numbers, not names: Kubernetes checks runAsNonRoot by number.
RUN groupadd --system --gid 10001 kplus \
    && useradd --system --uid 10001 --gid 10001 --home-dir /nonexistent --no-create-home kplus
COPY --from=build /opt/kplus /opt/kplus
ENV PATH=/opt/kplus/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    KPLUS_HOME=/tmp/kplus-cancel
USER 10001:10001
WORKDIR /tmp
# No shell in between: SIGTERM reaches the worker, which then finishes the calls it has begun.
ENTRYPOINT ["kplus-cancel"]
CMD ["worker"]
