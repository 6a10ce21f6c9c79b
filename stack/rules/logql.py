"""Pieces of LogQL in which every field comes from the catalogue."""

from genai_observability.signals import CALL_EVENT, CALL_FIELDS, EVENT_NAME, Attribute

SERVICE = ("service_name", "deployment_environment_name")
"""Labels that Loki gives every line of an application."""
TRACE = "trace_id"
"""Which OTLP gives a line of a call, beside the fields of the catalogue."""


def calls(*conditions: str) -> str:
    """The request log: one line a model call, of all applications, that meets every condition."""
    pipeline = " | ".join((f'{EVENT_NAME.label}="{CALL_EVENT}"', *conditions))
    return f'{{service_name=~".+"}} | {pipeline}'


def field(attribute: Attribute) -> str:
    """The name of a field of the request log.

    Raises:
        ValueError: the request log does not have it.
    """
    if attribute not in CALL_FIELDS:
        raise ValueError(f"the request log has no field {attribute.name}")
    return attribute.label


def by(*names: str | Attribute) -> str:
    """What to sum by: the service and these fields."""
    return ", ".join((*SERVICE, *(field(name) if isinstance(name, Attribute) else name for name in names)))
