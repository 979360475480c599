# syntax=docker/dockerfile:1

FROM --platform=$BUILDPLATFORM golang:1.26-bookworm AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG TARGETOS TARGETARCH VERSION=dev
# The compiler runs on the machine that builds, whatever it builds for.
# Without the demo, which would bring the stand-in of Azure DevOps with it.
RUN CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH \
    go build -trimpath -tags nodemo \
    -ldflags "-s -w -X github.com/ado-agent-orchestrator/ado-agent-orchestrator/cmd/internal/version.set=$VERSION" \
    -o /out/ado-agent-orchestrator ./cmd/ado-agent-orchestrator

FROM gcr.io/distroless/static-debian12:nonroot
ARG VERSION=dev
LABEL org.opencontainers.image.title="ado-agent-orchestrator" \
      org.opencontainers.image.description="Agents on demand for Azure DevOps Pipelines on Kubernetes" \
      org.opencontainers.image.source="https://github.com/ado-agent-orchestrator/ado-agent-orchestrator" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="$VERSION"
COPY --from=build /out/ado-agent-orchestrator /usr/local/bin/ado-agent-orchestrator
USER 65532:65532
EXPOSE 9090 8080
ENTRYPOINT ["ado-agent-orchestrator"]
