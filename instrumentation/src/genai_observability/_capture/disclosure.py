"""Has OpenAI's own dashboard tell calls apart as ours does, where the application asks for that.

The user's hash goes along as ``safety_identifier``, what the call is for as ``metadata``:
https://platform.openai.com/docs/api-reference/responses/create. Only OpenAI itself is told, and only what the
application has not said itself. Without being asked nothing is added to any request.
"""

from collections.abc import Mapping
from typing import Any, Final

from genai_observability import signals
from genai_observability._calls.call import Value

_HOST: Final = "api.openai.com"
_PATHS: Final = ("/chat/completions", "/responses")
_TOLD: Final = {
    "feature": signals.FEATURE,
    "team": signals.TEAM,
    "tenant": signals.TENANT,
    "session": signals.SESSION,
    "conversation": signals.CONVERSATION,
    "request": signals.REQUEST,
    "prompt_name": signals.PROMPT_NAME,
    "prompt_version": signals.PROMPT_VERSION,
    "variant": signals.VARIANT,
    "experiment": signals.EXPERIMENT,
}
_MOST_PAIRS: Final = 16  # that OpenAI takes
_LONGEST_IDENTIFIER: Final = 64


def attributed(client: Any, options: Any, attribution: Mapping[str, Value], environment: str) -> Any:
    """The options of a request to OpenAI, with the attribution of its call and the environment that it is made in."""
    try:
        host, body = client.base_url.host, options.json_data
        known = host == _HOST or host.endswith(f".{_HOST}")
        if not known or not isinstance(body, dict) or not options.url.endswith(_PATHS):
            return options
        told = options.model_copy()
        told.json_data = {**body, **_identifier(body, attribution)}
        if (
            options.url.endswith("/responses") or body.get("store") is True
        ):  # chat takes metadata of stored answers only
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
    ours = {key: str(attribution[each.name]) for key, each in _TOLD.items() if each.name in attribution}
    if environment:
        ours["environment"] = environment
    pairs = [*theirs.items(), *((key, value) for key, value in ours.items() if key not in theirs)]
    return {"metadata": dict(pairs[:_MOST_PAIRS])} if pairs else {}
