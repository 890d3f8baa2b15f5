# Build: docker build -t wasmway .
# Run:   docker run -p 8080:8080 -p 127.0.0.1:8081:8081 -v wasmway:/var/lib/wasmway wasmway

FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
# Both caches outlive the layer, so that a second build compiles only what changed. They are not part of the image,
# which is why the binary is copied out of the target folder in the same step.
RUN --mount=type=cache,target=/usr/local/cargo/registry,sharing=locked \
    --mount=type=cache,target=/src/target,sharing=locked \
    cargo build --locked --profile dist -p wasmway \
 && cp target/dist/wasmway /usr/local/bin/wasmway

FROM debian:bookworm-slim
LABEL org.opencontainers.image.title="Wasmway" \
      org.opencontainers.image.description="A serverless platform for WebAssembly components over HTTP" \
      org.opencontainers.image.licenses="Apache-2.0"
# A number, so that Kubernetes can check runAsNonRoot. The data directory holds the token and the artifacts.
RUN groupadd --gid 10001 wasmway \
 && useradd --uid 10001 --gid wasmway --no-create-home --home-dir /var/lib/wasmway --shell /usr/sbin/nologin wasmway \
 && install -d -m 0700 -o wasmway -g wasmway /var/lib/wasmway
COPY --from=build /usr/local/bin/wasmway /usr/local/bin/wasmway
USER 10001:10001
# The data directory for every `wasmway` that runs in the container, `docker exec` included.
ENV WASMWAY_DATA_DIR=/var/lib/wasmway
VOLUME /var/lib/wasmway
# 8080: the data plane, for everybody. 8081: the control plane, for those who deploy.
EXPOSE 8080 8081
# The image has no HTTP client, and needs none for one status line.
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s --retries=3 \
  CMD ["bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/8081 && printf 'GET /readyz HTTP/1.1\\r\\nHost: localhost\\r\\nConnection: close\\r\\n\\r\\n' >&3 && read -r _ status _ <&3 && [ \"$status\" = 200 ]"]
ENTRYPOINT ["wasmway"]
CMD ["up", "--listen", "0.0.0.0:8080", "--control", "0.0.0.0:8081", "--data-dir", "/var/lib/wasmway"]
