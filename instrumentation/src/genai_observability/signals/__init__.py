"""The catalogue of every signal this package emits: metrics, span attributes and log fields.

Dashboards, alert rules, documentation and contract tests are generated from it or checked against it, so a renamed
signal is one edit here. Names follow the OpenTelemetry semantic conventions for generative AI wherever one exists
(https://github.com/open-telemetry/semantic-conventions-genai); cost follows their open proposal; what no convention
covers lives under ``app.*`` (who the call is for) or ``genai_observability.*``.
"""

from genai_observability.signals.attributes import *
from genai_observability.signals.kinds import *
from genai_observability.signals.metrics import *
