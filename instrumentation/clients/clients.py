"""Which clients are checked: a new one is a line here and a program in ``programs/``."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Final

from instrumentation.clients.providers import Simulated, anthropic_and_google, openai_compatible


@dataclass(frozen=True, slots=True, kw_only=True)
class Client:
    """One row of the table."""

    packages: tuple[str, ...]
    """What pip installs beside this project's package: the client first, then what instruments it."""
    program: str
    """The module that makes the known calls."""
    provider: Callable[[], AbstractContextManager[Simulated]] = openai_compatible
    environment: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The client's own package, without its extras."""
        return self.packages[0].partition("[")[0]


_PROGRAMS: Final = "instrumentation.clients.programs"

CLIENTS: Final = (
    Client(packages=("openai",), program=f"{_PROGRAMS}.openai"),
    Client(
        packages=("litellm",),
        program=f"{_PROGRAMS}.litellm",
        environment={"LITELLM_LOCAL_MODEL_COST_MAP": "True"},  # or it downloads a price list, which is not used here
    ),
    Client(
        packages=("langchain-openai", "langchain", "opentelemetry-instrumentation-genai-langchain"),
        program=f"{_PROGRAMS}.langchain",
    ),
    Client(
        packages=("openai-agents", "opentelemetry-instrumentation-genai-openai-agents"),
        program=f"{_PROGRAMS}.openai_agents",
    ),
    Client(packages=("pydantic-ai-slim[openai]",), program=f"{_PROGRAMS}.pydantic_ai"),
    Client(
        packages=("anthropic", "opentelemetry-instrumentation-genai-anthropic"),
        program=f"{_PROGRAMS}.anthropic",
        provider=anthropic_and_google,
    ),
    Client(
        packages=("google-genai", "opentelemetry-instrumentation-google-genai"),
        program=f"{_PROGRAMS}.google_genai",
        provider=anthropic_and_google,
    ),
)
