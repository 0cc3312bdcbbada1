# Belfry and its demo upstream server in one small image.
#   docker build -t belfry .
FROM debian:bookworm-slim AS build
WORKDIR /src
# What is to be installed changes seldom: a layer of its own.
COPY scripts/setup scripts/
COPY web/package.json web/package-lock.json web/
COPY tests/e2e/package.json tests/e2e/package-lock.json tests/e2e/
RUN scripts/setup build
COPY . .
RUN cmake --preset release -DBUILD_TESTING=OFF \
    && cmake --build --preset release \
    && strip build/release/belfry build/release/belfry-upstream

FROM debian:bookworm-slim
# libwebsockets loads its libuv event loop (evlib-uv) at run time.
RUN apt-get update \
    && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends \
       ca-certificates libwebsockets17 libwebsockets-evlib-uv libuv1 libjansson4 libsqlite3-0 \
       libcurl4 libssl3 libpcre2-8-0 libncursesw6 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 10001 --no-create-home --shell /usr/sbin/nologin belfry \
    && install --directory --owner belfry --group belfry /var/lib/belfry
COPY --from=build /src/build/release/belfry /src/build/release/belfry-upstream /usr/local/bin/
COPY scripts/healthcheck /usr/local/bin/belfry-healthcheck
COPY examples/docker.json /etc/belfry/belfry.json
USER belfry
WORKDIR /var/lib/belfry
VOLUME /var/lib/belfry
EXPOSE 8000
# It answers within a tenth of a second, and is asked often until then (Docker 25 and later).
HEALTHCHECK --interval=10s --timeout=3s --start-period=10s --start-interval=200ms \
    CMD ["belfry-healthcheck", "8000"]
CMD ["belfry", "serve", "--config", "/etc/belfry/belfry.json"]
