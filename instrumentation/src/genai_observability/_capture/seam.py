"""The one place through which every request of the OpenAI client goes: ``request()`` of the client object.

Methods of resources, ``client.post(...)``, raw and streamed answers and other libraries all end there, in every version
from 1.26 on. A request that is the call of a model, which its path says, begins a span here, unless the wrapper of
another instrumentation has begun one for the same call; that one then goes on, and is told what it lacks.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from time import time_ns
from typing import Any, Final, Self

from opentelemetry.context import attach, detach
from opentelemetry.trace import SpanKind, Tracer, set_span_in_context
from opentelemetry.trace.status import Status, StatusCode

from genai_observability import signals
from genai_observability._budgets.budget import BudgetExceeded
from genai_observability._call import unicode
from genai_observability._capture import answers, deferred, requests, streams
from genai_observability._capture.apis import FETCH, Api, api_of, request_attributes
from genai_observability._capture.deferred import BatchFiles
from genai_observability._capture.open_calls import OTHER_REQUEST, OpenCall, OpenCalls, current, failure
from genai_observability._capture.requests import asking_for_usage

_logger = logging.getLogger("genai_observability")

_HTTPS: Final = 443
_NO_BODY: Final[Mapping[str, Any]] = {}


@dataclass(slots=True, kw_only=True)
class Seam:
    """What is done with each request."""

    tracer: Tracer  # makes the spans of calls
    open_calls: OpenCalls
    batches: BatchFiles  # gets the answers in which batches and their results may be
    admit: Callable[[], Any] | None  # asks the budgets for a call's place in them; raises where there is none
    content: Any  # keeps what is asked and answered in its room, where content is looked at
    unseen: Callable[[], bool]  # whether nobody else looks at the spans: then they need not have what the answer says
    disclose: bool  # whether OpenAI is told of the attribution, and of the environment
    environment: str  # "" for none
    active: bool = True

    def end(self) -> None:
        """Let every request pass from now on."""
        self.active = False

    def request(self, original: Callable[..., Any]) -> Callable[..., Any]:
        """In the place of the client's ``request``."""

        def request(client: Any, cast_to: Any, options: Any, *args: Any, **kwargs: Any) -> Any:
            if not self.active:
                return original(client, cast_to, options, *args, **kwargs)
            with _UnderWay(self, client, options) as under_way:
                return under_way.answered(original(client, cast_to, under_way.options, *args, **kwargs))

        return request

    def request_async(self, original: Callable[..., Any]) -> Callable[..., Any]:
        """In the place of the asynchronous client's."""

        async def request(client: Any, cast_to: Any, options: Any, *args: Any, **kwargs: Any) -> Any:
            if not self.active:
                return await original(client, cast_to, options, *args, **kwargs)
            with _UnderWay(self, client, options) as under_way:
                return under_way.answered(await original(client, cast_to, under_way.options, *args, **kwargs))

        return request


@dataclass(slots=True)
class _UnderWay:
    """One request, from its beginning to its answer; that of a stream is read later. A fault in here breaks no call."""

    _seam: Seam
    _client: Any
    options: Any
    _call: OpenCall | None = None
    _span: Any = None
    _token: Any = None
    _url: tuple[str, str] = ("", "")
    _api: Api | None = None
    _before: Any = None

    def __enter__(self) -> Self:
        self._before = current.get()
        try:
            self._url = (str(self.options.method), str(self.options.url))
            self._api = api_of(*self._url)
        except Exception:  # options of an unforeseen shape
            _logger.debug("A request could not be recognised", exc_info=True)
        if self._api is not None:
            self._admit_and_begin(self._api)
        current.set(self._call or OTHER_REQUEST)
        return self

    def _admit_and_begin(self, api: Api) -> None:
        admit = self._seam.admit
        reservation = self._admitted(admit) if admit is not None and api.operation != FETCH else None
        try:
            self._begin(api, reservation)
        except Exception:
            _logger.debug("A call could not be begun", exc_info=True)

    def _admitted(self, admit: Callable[[], Any]) -> Any:
        try:
            return admit()
        except BudgetExceeded:  # of a call that another instrumentation has begun: it was never made
            if (wrapped := self._seam.open_calls.begun_by_wrapper()) is not None:
                wrapped.counted = False
            raise
        except Exception:
            _logger.debug("A call could not be checked against its budgets", exc_info=True)
            return None

    def _begin(self, api: Api, reservation: Any) -> None:
        body = self.options.json_data if isinstance(self.options.json_data, dict) else _NO_BODY
        call = self._seam.open_calls.begun_by_wrapper()
        if call is None:
            attributes = self._attributes(api, body)
            name = f"{api.operation} {attributes.get(signals.REQUEST_MODEL.name, '')}".rstrip()
            self._span = self._seam.tracer.start_span(name, kind=SpanKind.CLIENT, attributes=attributes)
            self._token = attach(set_span_in_context(self._span))
            call = self._seam.open_calls.of(self._span)
            if call is None:  # a fetched response, or a span that nobody records
                return
            call.end_span = self._end_span
        call.api, call.reservation, call.streams = api, reservation, body.get("stream") is True
        if call.streams:
            call.prompt = body.get("messages") or body.get("input") or body.get("prompt")
            self.options = asking_for_usage(self._client, self.options, call)
        if self._seam.disclose:
            self.options = requests.attributed(self._client, self.options, call.attribution, self._seam.environment)
        if self._seam.content.room is not None and api.content is not None:
            call.dialogue = self._seam.content.room.hold(api.content, body)
        self._call = call

    def _attributes(self, api: Api, body: Mapping[str, Any]) -> dict[str, Any]:
        url, model = self._client.base_url, body.get("model")
        attributes = request_attributes(api, body)
        attributes[signals.OPERATION.name] = api.operation
        attributes[signals.PROVIDER.name] = "openai"
        if isinstance(model, str):
            attributes[signals.REQUEST_MODEL.name] = unicode(model)
        if host := url.host:
            attributes[signals.SERVER_ADDRESS.name] = host
        if (port := url.port) not in (None, _HTTPS):
            attributes["server.port"] = port
        if body.get("stream") is True:
            attributes[signals.STREAM.name] = True
        return attributes

    def answered(self, answer: Any) -> Any:
        """The client returns this."""
        try:
            if self._call is not None:
                self._answered(self._call, answer)
            elif self._api is not None and self._span is not None:
                self._span.set_attributes(deferred.fetched(answers.plain(answer)))
                self._span.end()
            elif self._api is None:
                self._seam.batches.look(self._client, *self._url, answer)
        except Exception:
            _logger.debug("An answer could not be noted", exc_info=True)
        return answer

    def _answered(self, call: OpenCall, answer: Any) -> None:
        if call.streams and hasattr(answer, "http_response"):  # whose stream the application makes by parsing it
            streams.end_when_closed(answer.http_response, call)
            return
        if call.streams and hasattr(answer, "__stream__"):
            return
        said, api = answers.plain(answer), call.api
        if call.dialogue is not None:
            call.dialogue.answer = said
        if api is not None:
            call.end(lambda: {**api.read(said), **deferred.submitted(said, call.attribution)})

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: Any) -> None:
        current.set(self._before)
        try:
            if self._token is not None:
                detach(self._token)
            if error is not None and self._call is not None:
                self._call.fail(error)
            elif error is not None and self._span is not None:
                self._span.set_status(failure(error))
                self._span.end()
        except Exception:
            _logger.debug("The end of a call could not be noted", exc_info=True)

    def _end_span(self, said: Mapping[str, Any]) -> None:
        try:
            if signals.ERROR_TYPE.name in said and self._span.status.status_code is not StatusCode.ERROR:
                self._span.set_status(Status(StatusCode.ERROR))
            if not self._seam.unseen():
                self._span.set_attributes(said)
        finally:
            self._span.end()


def attempt(original: Callable[..., Any]) -> Callable[..., Any]:
    """In the place of ``_build_request``, which runs once an attempt."""

    def build(*args: Any, **kwargs: Any) -> Any:
        request = original(*args, **kwargs)
        if isinstance(call := current.get(), OpenCall):
            call.sent += (time_ns(),)
        return request

    return build


def refusal(original: Callable[..., Any]) -> Callable[..., Any]:
    """In the place of ``_should_retry``, which runs for each attempt that is refused and may be made again."""

    def should_retry(client: Any, response: Any) -> Any:
        again = original(client, response)
        if isinstance(call := current.get(), OpenCall):
            if again:
                call.refusals += (response.status_code,)
            call.headers = response.headers
        return again

    return should_retry


def answer(original: Callable[..., Any]) -> Callable[..., Any]:
    """In the place of ``_process_response``, which makes what the client returns of the answer."""

    def process(client: Any, *args: Any, **kwargs: Any) -> Any:
        response = kwargs.get("response")
        if response is not None and isinstance(call := current.get(), OpenCall):
            call.answered = time_ns()
            call.headers = response.headers
            if call.streams:
                response.extensions[streams.KEY] = call
        return original(client, *args, **kwargs)

    return process
