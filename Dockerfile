# The product's two static programs on an empty image, as a user without rights.
FROM golang:1.26.10-bookworm AS build
WORKDIR /src
ENV CGO_ENABLED=0 GOFLAGS="-trimpath -buildvcs=false"
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION=unknown
RUN go build -ldflags "-s -w -X github.com/identitymesh/okta-connector/internal/app.Version=${VERSION}" -o /out/ ./worker ./starter

FROM gcr.io/distroless/static-debian12:nonroot
COPY --from=build /out/worker /out/starter /usr/local/bin/
USER 65532:65532
CMD ["worker"]
