"""What a call cost, from the open price table `genai-prices <https://github.com/pydantic/genai-prices>`_."""

import functools
from typing import TYPE_CHECKING, Protocol

from genai_observability._call import Call, Price

if TYPE_CHECKING:
    from genai_prices.types import ModelInfo, Provider


class Pricer(Protocol):
    """Anything that knows prices."""

    def price(self, call: Call) -> Price:
        """The price of a finished call."""
        ...


class PriceTable:
    """Prices by the table that ``genai-prices`` ships, for the day of the call."""

    def warm_up(self) -> None:
        """Load the table, which takes a fifth of a second, before the first call needs it."""
        _find("openai", "gpt-4o-mini")

    def price(self, call: Call) -> Price:
        """The price of a call by its answering model, else by the model that was asked for.

        An answer without usage, and a model that the table does not know, have no price: they are never free.
        """
        if not call.tokens.reported:
            return Price(unpriced="no_usage" if call.response_id else None)
        for model in (call.response_model, call.request_model):
            if model and (found := _find(call.provider, model)):
                return _calculate(*found, call)
        return Price(unpriced="unknown_model")


def _calculate(model: "ModelInfo", provider: "Provider", call: Call) -> Price:
    from genai_prices import Usage  # not above: see _find

    tokens = call.tokens
    try:
        usage = Usage(
            input_tokens=tokens.input or 0,
            output_tokens=tokens.output or 0,
            cache_read_tokens=tokens.cached,
            cache_write_tokens=tokens.cache_write,
        )
        return Price(amount=model.calc_price(usage, provider, genai_request_timestamp=call.started).total_price)
    except ValueError:  # counts that contradict each other, such as more cached tokens than input tokens
        return Price(unpriced="invalid_usage")


@functools.lru_cache(maxsize=1024)
def _find(provider: str, model: str) -> "tuple[ModelInfo, Provider] | None":
    """The table's entry of a model; looked up once, as matching names takes longer than the arithmetic."""
    from genai_prices.data_snapshot import get_snapshot  # slow to import: on the worker, not at start

    try:
        provider_entry, model_entry = get_snapshot().find_provider_model(model, None, provider, None)
    except LookupError:
        return None
    return model_entry, provider_entry
