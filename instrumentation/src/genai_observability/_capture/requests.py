"""What is added to a request: the question for a stream's usage, and the attribution where OpenAI is to know it.

Without ``stream_options={"include_usage": true}`` a stream of chat completions ends without usage, and its price is
anybody's guess: https://platform.openai.com/docs/api-reference/chat/create#chat-create-stream_options. The chunk that
then comes in addition is kept from the application (see ``streams``). The responses API always reports usage. A server
that does not know the option may refuse the call, so only servers that are known to know it are asked.

Where the application asks for it, OpenAI's own dashboard can tell calls apart as ours does, by ``safety_identifier``
and ``metadata``: https://platform.openai.com/docs/api-reference/responses/create. Only OpenAI itself is told, and only
what the application has not said itself.
"""

import os
from collections.abc import Mapping
from typing import Any, Final

from genai_observability import signals
from genai_observability._call import Value
from genai_observability._capture.open_calls import OpenCall
from genai_observability._context.attribution import NAMES

_PATHS: Final = ("/chat/completions", "/responses")
_TOLD: Final = {name: NAMES[name] for name in NAMES if name not in ("endpoint", "user", "user_tier")}
_MOST_PAIRS: Final = 16  # that OpenAI takes
_LONGEST_IDENTIFIER: Final = 64


def attributed(client: Any, options: Any, attribution: Mapping[str, Value], environment: str) -> Any:
    """The options of a request to OpenAI, with the attribution of its call and the environment that it is made in."""
    try:
        url, body = options.url, options.json_data
        if not _is_openai(client.base_url.host) or not isinstance(body, dict) or not url.endswith(_PATHS):
            return options
        told = options.model_copy()
        told.json_data = {**body, **_identifier(body, attribution)}
        if url.endswith("/responses") or body.get("store") is True:  # chat takes metadata of stored answers only
            told.json_data.update(_metadata(body, attribution, environment))
    except Exception:  # whatever shape the options of this client's version have: the call goes on without
        return options
    return told


def _identifier(body: Mapping[str, Any], attribution: Mapping[str, Any]) -> dict[str, Any]:
    user = attribution.get(signals.USER_HASH.name)
    told = user is None or "safety_identifier" in body
    return {} if told else {"safety_identifier": str(user)[:_LONGEST_IDENTIFIER]}


def _metadata(body: Mapping[str, Any], attribution: Mapping[str, Any], environment: str) -> dict[str, Any]:
    theirs = body.get("metadata", {})
    if not isinstance(theirs, dict):
        return {}
    ours = {key: str(attribution[name]) for key, name in _TOLD.items() if name in attribution}
    if environment:
        ours["environment"] = environment
    pairs = [*theirs.items(), *((key, value) for key, value in ours.items() if key not in theirs)]
    return {"metadata": dict(pairs[:_MOST_PAIRS])} if pairs else {}


_VARIABLE: Final = "GENAI_OBSERVABILITY_STREAM_USAGE"
"""Whether streams that do not ask for their usage are made to: ``always``, ``never``, or by default at OpenAI and Azure
alone: ``docs/streams.md``."""
_RAW_RESPONSE: Final = "x-stainless-raw-response"
"""The client's own header of calls for raw answers: ``stream`` where the application reads the body itself. Others are
parsed, as LiteLLM does, into chunks."""
_AZURE_SINCE: Final = "2024-09-01"  # the first api-version of Azure that knows stream_options


def asking_for_usage(client: Any, options: Any, call: OpenCall) -> Any:
    """The options of a request for a stream: with the question for usage where it has to be added, else as they are."""
    try:
        if not _is_silent_chat(options) or not _may_ask(client):
            return options
        asking = options.model_copy()
        asking.json_data = {**options.json_data, "stream_options": {"include_usage": True}}
    except Exception:  # whatever shape the options of this client's version have: the call goes on without
        return options
    call.usage_is_ours = True
    return asking


def _is_silent_chat(options: Any) -> bool:
    """Whether a chat answer is to come without usage, and only parsed chunks of it reach the application."""
    body, headers = options.json_data, (options.headers or {}).items()
    return (
        options.url.endswith("/chat/completions")
        and not isinstance(body.get("stream_options"), dict)
        and "stream_options" not in (options.extra_json or {})
        and not any(name.lower() == _RAW_RESPONSE and value == "stream" for name, value in headers)
    )


def _is_openai(host: str) -> bool:
    return host == "api.openai.com" or host.endswith(".api.openai.com")


def _may_ask(client: Any) -> bool:
    asked = os.environ.get(_VARIABLE, "").strip().lower()
    if asked in ("always", "never"):
        return asked == "always"
    host = client.base_url.host
    if _is_openai(host):
        return True
    if host.endswith(".openai.azure.com"):
        version = getattr(client, "_api_version", None)
        return version >= _AZURE_SINCE if isinstance(version, str) else "/openai/v1" in client.base_url.path
    return False
