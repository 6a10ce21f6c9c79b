"""What is compared: each variant, the environment that it needs, and the module whose import is timed."""

from dataclasses import dataclass
from typing import Final

CALLS: Final = ("plain", "streamed")
"""What is measured of each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Variant:
    """One row of the table."""

    name: str
    title: str
    environment: str
    """Its pinned packages are in ``requirements/``."""
    setup: str
    """The module in ``setups/`` that starts it."""
    module: str | None = None
    """What an application imports of it."""
    baseline: str = "none"
    """The variant without instrumentation that it is held against: with the same version of openai."""
    keeps_content: bool = False
    """Whether it records prompts and answers and has no switch for that."""


VARIANTS: Final = (
    Variant(name="none", title="no instrumentation", environment="none", setup="none"),
    Variant(
        name="upstream",
        title="opentelemetry-instrumentation-genai-openai",
        environment="upstream",
        setup="upstream",
        module="opentelemetry.instrumentation.genai.openai",
    ),
    Variant(
        name="floor",
        title="the same, its metrics off",
        environment="upstream",
        setup="floor",
        module="opentelemetry.instrumentation.genai.openai",
    ),
    Variant(
        name="ours",
        title="genai-observability, attribution set",
        environment="ours",
        setup="ours",
        module="genai_observability",
    ),
    Variant(
        name="ours-application",
        title="the same, the application's providers",
        environment="ours",
        setup="ours_application",
        module="genai_observability",
    ),
    Variant(
        name="openllmetry",
        title="OpenLLMetry",
        environment="openllmetry",
        setup="openllmetry",
        module="opentelemetry.instrumentation.openai",
    ),
    Variant(
        name="openinference",
        title="OpenInference",
        environment="openinference",
        setup="openinference",
        module="openinference.instrumentation.openai",
    ),
    Variant(name="langfuse", title="Langfuse", environment="langfuse", setup="langfuse", module="langfuse.openai"),
    Variant(
        name="logfire", title="Logfire", environment="logfire", setup="logfire", module="logfire", keeps_content=True
    ),
    Variant(
        name="none-openlit",
        title="no instrumentation, as OpenLIT",
        environment="openlit",
        setup="none",
        baseline="none-openlit",
    ),
    Variant(
        name="openlit",
        title="OpenLIT",
        environment="openlit",
        setup="openlit",
        module="openlit",
        baseline="none-openlit",
    ),
    Variant(
        name="none-agento11y",
        title="no instrumentation, as agento11y",
        environment="agento11y",
        setup="none",
        baseline="none-agento11y",
    ),
    Variant(
        name="agento11y",
        title="agento11y-openai",
        environment="agento11y",
        setup="agento11y",
        module="agento11y_openai",
        baseline="none-agento11y",
    ),
)  # fmt: skip

BY_NAME: Final = {variant.name: variant for variant in VARIANTS}


def chosen(names: list[str]) -> list[Variant]:
    """The variants of these names, all if there are none, each with its baseline.

    Raises:
        ValueError: a name is not known.
    """
    if unknown := [name for name in names if name not in BY_NAME]:
        raise ValueError(f"There is no variant {unknown[0]!r}; there are: {', '.join(BY_NAME)}.")
    wanted = set(names or BY_NAME)
    wanted |= {BY_NAME[name].baseline for name in wanted}
    return [variant for variant in VARIANTS if variant.name in wanted]
