"""The environment that ``opentelemetry-instrument`` starts a program in; it loads this module beforehand.

The distribution ``opentelemetry-distro`` asks for export over gRPC. Where only the exporter over HTTP is installed,
which this package brings, that fails, and with it everything that was to be set up.
"""

import os

from genai_observability._capture.clients import is_installed

if is_installed("opentelemetry.distro") and not is_installed("opentelemetry.exporter.otlp.proto.grpc"):
    os.environ.setdefault("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")
