"""The catalogue of every signal this package emits: metrics, span attributes and log fields.

Dashboards, alert rules, documentation and contract tests are generated from it or checked against it, so a renamed
signal is one edit here. Names follow the OpenTelemetry semantic conventions for generative AI wherever one exists
(https://github.com/open-telemetry/semantic-conventions-genai); cost follows their open proposal; what no convention
covers lives under ``app.*`` (who the call is for) or ``genai_observability.*``.
"""

from genai_observability.signals.attributes import *
from genai_observability.signals.attributes import (
    CALL_FIELDS,
    CONTENT,
    EVALUATION_FIELDS,
    FLAG_FIELDS,
    SECURITY_FIELDS,
    SPAN_FIELDS,
    STEP_FIELDS,
)
from genai_observability.signals.kinds import *
from genai_observability.signals.kinds import Attribute
from genai_observability.signals.metrics import *
from genai_observability.signals.metrics import emitted


def attributes() -> tuple[Attribute, ...]:
    """Every attribute of the catalogue, once, ordered by name."""
    fields = (CALL_FIELDS, SPAN_FIELDS, STEP_FIELDS, EVALUATION_FIELDS, SECURITY_FIELDS, FLAG_FIELDS, CONTENT)
    labels = [label for metric in emitted("old", "new") for label in metric.labels]
    found = {attribute.name: attribute for attribute in (*(each for group in fields for each in group), *labels)}
    return tuple(found[name] for name in sorted(found))
