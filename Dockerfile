# Targets: registry; driver-filesystem, driver-memory; driver-s3, driver-azure, driver-gcs; driver-redis, driver-dynamodb,
# driver-lmdb; driver-mirror, driver-shard, driver-cache; driver-bolt, driver-opendal; conformance (the kit); outrigger (the
# whole command without vendors' SDKs; the default).
#   docker build -t outrigger/registry --target registry .
ARG BASE=node:24-slim
ARG GO_BASE=golang:1.26
ARG PYTHON_BASE=python:3.11-slim

FROM ${BASE} AS build
WORKDIR /src
COPY package.json package-lock.json ./
RUN npm ci --ignore-scripts --no-audit --no-fund
COPY . .
RUN node scripts/build.mjs \
 && npm prune --omit=dev --ignore-scripts --no-audit --no-fund \
 && node scripts/trim-modules.mjs \
 && for modules in drivers/*/node_modules; do node scripts/trim-modules.mjs "$modules"; done

# Compiled JavaScript and what it needs at run time. Nothing in it is written to: run it with a read-only root filesystem.
FROM ${BASE} AS common
ENV NODE_ENV=production \
    HOME=/tmp \
    OUTRIGGER_LOG_LEVEL=info
COPY --from=build /src/package.json /src/LICENSE /app/
COPY --from=build /src/node_modules /app/node_modules
COPY --from=build /src/dist /app/dist
# Made here so that a new named volume takes their owner: core and driver share the socket through the group.
RUN ln -s /app/dist/cli/main.js /usr/local/bin/outrigger \
 && mkdir -p /run/outrigger /data \
 && chown 65532:65532 /run/outrigger /data \
 && chmod 2770 /run/outrigger \
 && chmod 0750 /data
LABEL org.opencontainers.image.title="outrigger" \
      org.opencontainers.image.description="A container registry whose bytes live in another process" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.source="https://github.com/outrigger-registry/outrigger"
WORKDIR /tmp
USER 65532:65532
STOPSIGNAL SIGTERM

FROM common AS driver-filesystem
# Syncs to disk wait in the thread pool; four at once are few.
ENV OUTRIGGER_LISTEN=unix:///run/outrigger/driver.sock \
    UV_THREADPOOL_SIZE=16
VOLUME ["/data", "/run/outrigger"]
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s CMD ["outrigger", "health"]
ENTRYPOINT ["outrigger", "driver", "filesystem", "--root", "/data"]

FROM common AS driver-memory
ENV OUTRIGGER_LISTEN=unix:///run/outrigger/driver.sock
VOLUME ["/run/outrigger"]
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s CMD ["outrigger", "health"]
ENTRYPOINT ["outrigger", "driver", "memory"]

# Each with its vendor's SDK and no other's. Their data lies elsewhere: they need no volume but the socket's, and their
# settings come as OUTRIGGER_* variables.
FROM common AS driver-s3
COPY --from=build /src/drivers/s3/node_modules /app/dist/drivers/s3/node_modules
ENV OUTRIGGER_LISTEN=unix:///run/outrigger/driver.sock
VOLUME ["/run/outrigger"]
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s CMD ["outrigger", "health"]
ENTRYPOINT ["outrigger", "driver", "s3"]

FROM common AS driver-azure
COPY --from=build /src/drivers/azure/node_modules /app/dist/drivers/azure/node_modules
ENV OUTRIGGER_LISTEN=unix:///run/outrigger/driver.sock
VOLUME ["/run/outrigger"]
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s CMD ["outrigger", "health"]
ENTRYPOINT ["outrigger", "driver", "azure"]

FROM common AS driver-gcs
COPY --from=build /src/drivers/gcs/node_modules /app/dist/drivers/gcs/node_modules
ENV OUTRIGGER_LISTEN=unix:///run/outrigger/driver.sock
VOLUME ["/run/outrigger"]
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s CMD ["outrigger", "health"]
ENTRYPOINT ["outrigger", "driver", "gcs"]

FROM common AS driver-redis
COPY --from=build /src/drivers/redis/node_modules /app/dist/drivers/redis/node_modules
ENV OUTRIGGER_LISTEN=unix:///run/outrigger/driver.sock
VOLUME ["/run/outrigger"]
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s CMD ["outrigger", "health"]
ENTRYPOINT ["outrigger", "driver", "redis"]

FROM common AS driver-dynamodb
COPY --from=build /src/drivers/dynamodb/node_modules /app/dist/drivers/dynamodb/node_modules
ENV OUTRIGGER_LISTEN=unix:///run/outrigger/driver.sock
VOLUME ["/run/outrigger"]
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s CMD ["outrigger", "health"]
ENTRYPOINT ["outrigger", "driver", "dynamodb"]

FROM common AS driver-lmdb
COPY --from=build /src/drivers/lmdb/node_modules /app/dist/drivers/lmdb/node_modules
ENV OUTRIGGER_LISTEN=unix:///run/outrigger/driver.sock
VOLUME ["/data", "/run/outrigger"]
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s CMD ["outrigger", "health"]
ENTRYPOINT ["outrigger", "driver", "lmdb", "--folder", "/data"]

# Over other drivers.
FROM common AS driver-mirror
ENV OUTRIGGER_LISTEN=unix:///run/outrigger/driver.sock
VOLUME ["/run/outrigger"]
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s CMD ["outrigger", "health"]
ENTRYPOINT ["outrigger", "driver", "mirror"]

FROM common AS driver-shard
ENV OUTRIGGER_LISTEN=unix:///run/outrigger/driver.sock
VOLUME ["/run/outrigger"]
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s CMD ["outrigger", "health"]
ENTRYPOINT ["outrigger", "driver", "shard"]

FROM common AS driver-cache
ENV OUTRIGGER_LISTEN=unix:///run/outrigger/driver.sock
VOLUME ["/run/outrigger"]
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s CMD ["outrigger", "health"]
ENTRYPOINT ["outrigger", "driver", "cache"]

FROM ${GO_BASE} AS driver-bolt-build
WORKDIR /src
COPY drivers/bolt/go.mod drivers/bolt/go.sum ./
RUN go mod download
COPY drivers/bolt ./
RUN CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags "-s -w" -o /bin/outrigger-driver-bolt ./cmd/outrigger-driver-bolt \
 && mkdir -p -m 0750 /volumes/data \
 && mkdir -p -m 2770 /volumes/run/outrigger

# A static binary and nothing else.
FROM scratch AS driver-bolt
COPY --from=driver-bolt-build /bin/outrigger-driver-bolt /bin/outrigger-driver-bolt
COPY LICENSE /
COPY --from=driver-bolt-build --chown=65532:65532 /volumes /
ENV PATH=/bin \
    OUTRIGGER_FILE=/data/meta.db \
    OUTRIGGER_LISTEN=unix:///run/outrigger/meta.sock
LABEL org.opencontainers.image.title="outrigger driver bolt" \
      org.opencontainers.image.description="An Outrigger meta store in a bbolt file" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.source="https://github.com/outrigger-registry/outrigger"
VOLUME ["/data", "/run/outrigger"]
USER 65532:65532
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s CMD ["outrigger-driver-bolt", "health"]
ENTRYPOINT ["outrigger-driver-bolt"]

FROM ${PYTHON_BASE} AS driver-opendal-build
COPY drivers/opendal/requirements.txt /
RUN pip install --no-cache-dir --disable-pip-version-check --no-compile --target /packages -r /requirements.txt \
 && mkdir -p -m 0750 /volumes/data \
 && mkdir -p -m 2770 /volumes/run/outrigger

FROM ${PYTHON_BASE} AS driver-opendal
COPY LICENSE /app/
COPY --from=driver-opendal-build /packages /app/packages
COPY drivers/opendal/outrigger_opendal /app/outrigger_opendal
COPY --from=driver-opendal-build --chown=65532:65532 /volumes /
ENV PYTHONPATH=/app:/app/packages \
    PYTHONDONTWRITEBYTECODE=1 \
    OUTRIGGER_LISTEN=unix:///run/outrigger/driver.sock
LABEL org.opencontainers.image.title="outrigger driver opendal" \
      org.opencontainers.image.description="An Outrigger blob store over any OpenDAL service" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.source="https://github.com/outrigger-registry/outrigger"
VOLUME ["/data", "/run/outrigger"]
USER 65532:65532
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s CMD ["python", "-m", "outrigger_opendal", "health"]
ENTRYPOINT ["python", "-m", "outrigger_opendal"]

FROM common AS registry
ENV OUTRIGGER_HTTP_LISTEN=0.0.0.0:5000
EXPOSE 5000
HEALTHCHECK --interval=10s --timeout=5s --start-period=20s CMD ["outrigger", "health", "http://127.0.0.1:5000"]
ENTRYPOINT ["outrigger", "registry"]
CMD ["--blobs", "unix:///run/outrigger/driver.sock"]

# The kit, for authors without Node: beside a running driver, its socket mounted; or as the base of an image that holds a
# driver, for --start. Reports: mount a folder at /report that uid 65532 may write, and give --report /report.
FROM common AS conformance
ENTRYPOINT ["outrigger", "conformance"]

FROM common AS outrigger
ENTRYPOINT ["outrigger"]
