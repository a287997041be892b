# One image for every role: webserver, daemon, code server, runs, Spark Connect and its executors. Target `demo` adds
# the embedded servers, for k8s/overlays/demo and compose.yaml.
#
#   docker build --tag clickstream-assets:0.1.0 .
#   docker build --tag clickstream-assets:0.1.0-demo --target demo .
#
# The GeoIP database is part of the image, for every Spark worker must have the same one. A newer one comes in under a
# new tag, by
#   docker build --build-context geoip=FOLDER …          (FOLDER holds GeoLite2-City.mmdb)

# For all platforms; Python 3.11.16 of 2026-08-25. docs/deployment.md says how a newer one is chosen.
ARG PYTHON_IMAGE=python:3.11-slim-bookworm@sha256:0bee7276f83efd4a1ee05bbbf4281d95ed28e079220a9457f25a93e3f1e3c31b

FROM ${PYTHON_IMAGE} AS build
WORKDIR /src
COPY pyproject.toml requirements.lock README.md ./
COPY clickstream_assets clickstream_assets
# uv checks what it installs by the hashes of its constraints; it is checked itself by pip, which cannot do the former. What
# wheels are built with, ours and those of pyspark and happybase, is locked too. This wheel is the last that needs no
# package of its own.
RUN awk '/^uv==/,/[^\\]$/' requirements.lock > uv.lock && pip install --no-cache-dir --require-hashes --requirement uv.lock \
    && python -m venv --without-pip /opt/venv \
    && printf '%s\n' setuptools==84.2.1 wheel==0.45.1 > build-constraints.txt \
    && uv pip install --python /opt/venv/bin/python --no-cache --constraint requirements.lock \
       --build-constraint build-constraints.txt '.[k8s,local,postgres]'
# A `java` that takes the flags of Spark's launcher, and a `python` for Spark's workers
RUN mkdir /opt/spark && /opt/venv/bin/python -c "from pathlib import Path; \
    from clickstream_assets.stores.java import write_java_home; from clickstream_assets.local.stack.spark_server import write_python; \
    write_java_home(Path('/opt/java')); write_python(Path('/opt/spark/python'))"

FROM build AS servers
ENV CLICKSTREAM_CACHE=/opt/clickstream
RUN /opt/venv/bin/python -c "from clickstream_assets.settings import settings; \
    from clickstream_assets.local.stack.downloads import ensure_downloads; from clickstream_assets.local.stack.steps import Steps; \
    ensure_downloads(settings(), Steps())"

FROM scratch AS geoip
COPY --from=servers /opt/clickstream/geoip/GeoLite2-City.mmdb /

FROM ${PYTHON_IMAGE} AS runtime
RUN pip uninstall --yes --root-user-action=ignore pip setuptools wheel \
    && useradd --uid 10001 --user-group --no-create-home --home-dir /tmp clickstream \
    && mkdir -p /opt/dagster/home \
    && install --directory --owner=clickstream --group=clickstream /var/lib/clickstream
COPY --from=build /opt/venv /opt/venv
COPY --from=build /opt/java /opt/java
COPY --from=build /opt/spark /opt/spark
# For making tables with their regions
COPY --from=servers /opt/clickstream/hbase-2.6.4 /opt/clickstream/hbase-2.6.4
COPY --from=geoip GeoLite2-City.mmdb /opt/geoip/GeoLite2-City.mmdb
COPY LICENSE NOTICE /licenses/
# MALLOC_ARENA_MAX: glibc keeps a memory arena for each thread otherwise
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    JAVA_HOME=/opt/java \
    SPARK_HOME=/opt/venv/lib/python3.11/site-packages/pyspark \
    CLICKSTREAM_CACHE=/opt/clickstream \
    CLICKSTREAM_HBASE_JARS=/opt/clickstream/hbase-2.6.4 \
    CLICKSTREAM_GEOIP_DATABASE=/opt/geoip/GeoLite2-City.mmdb \
    MALLOC_ARENA_MAX=2
WORKDIR /tmp
USER 10001:10001

FROM runtime AS demo
COPY --from=servers /opt/clickstream/kafka-4.1.2 /opt/clickstream/kafka-4.1.2
COPY --from=servers /opt/clickstream/elasticsearch-8.17.10 /opt/clickstream/elasticsearch-8.17.10

FROM runtime
