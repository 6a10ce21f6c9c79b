"""A call of the OpenAI client is a call of the provider whose server it goes to."""

import httpx2
import openai
import pytest
from genai_observability import signals
from genai_observability._capture.attributes import provider_name

from instrumentation.tests.recording import QUESTION, Recording
from tests.serving import free_port


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("api.openai.com", "openai"),
        ("eu.api.openai.com", "openai"),
        ("acme.openai.azure.com", "azure.ai.openai"),
        ("ACME.openai.azure.com.", "azure.ai.openai"),
        ("acme.services.ai.azure.com", "azure.ai.inference"),
        ("api.groq.com", "groq"),
        ("api.x.ai", "x_ai"),
        ("bedrock-runtime.eu-west-1.amazonaws.com", "aws.bedrock"),
        ("europe-west4-aiplatform.googleapis.com", "gcp.vertex_ai"),
        ("generativelanguage.googleapis.com", "gcp.gemini"),
        ("openrouter.ai", "openrouter"),
        ("vllm.internal", "openai"),
        ("notapi.x.ai", "openai"),
        ("api.groq.com.evil.example", "openai"),
    ],
)
def test_a_provider_is_known_by_the_address_of_its_server(address: str, name: str) -> None:
    attributes = {signals.PROVIDER.name: "openai", signals.SERVER_ADDRESS.name: address}
    assert provider_name(attributes) == name


def test_a_provider_that_another_wrapper_names_keeps_its_name() -> None:
    attributes = {signals.PROVIDER.name: "anthropic", signals.SERVER_ADDRESS.name: "api.groq.com"}
    assert provider_name(attributes) == "anthropic"
    assert provider_name({"gen_ai.system": "cohere"}) == "cohere"
    assert provider_name({}) == "_OTHER"


def test_a_call_of_azure_is_counted_and_logged_as_one(recording: Recording) -> None:
    nowhere = httpx2.Client(proxy=f"http://127.0.0.1:{free_port()}")  # nothing leaves this machine
    azure = openai.AzureOpenAI(
        azure_endpoint="https://acme.openai.azure.com",
        api_key="test",
        api_version="2024-10-21",
        max_retries=0,
        http_client=nowhere,
    )
    with azure, pytest.raises(openai.APIConnectionError):
        azure.chat.completions.create(model="gpt-4o-mini", messages=QUESTION)
    assert recording.record[signals.PROVIDER.name] == "azure.ai.openai"
    (point,) = recording.points(signals.CALL_DURATION.name)
    assert point.labels[signals.PROVIDER.name] == "azure.ai.openai"
