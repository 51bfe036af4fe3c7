# The product's static binaries on an empty image, as a user without rights.
FROM golang:1.26.10-bookworm AS build
WORKDIR /src
COPY . .
ENV CGO_ENABLED=0
RUN make build && mkdir -p /out/state && cp bin/* /out/

FROM gcr.io/distroless/static-debian12:nonroot
COPY --from=build /out/worker /out/starter /out/oktasim /out/temporal-dev /usr/local/bin/
# An empty folder of the user's own: a new volume mounted here takes over its owner.
COPY --from=build --chown=nonroot:nonroot /out/state /state
ENV XDG_STATE_HOME=/state
CMD ["worker"]
