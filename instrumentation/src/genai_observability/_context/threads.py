"""A thread, and a function given to a pool of threads, works for whoever started it, as an ``asyncio`` task does.

Of the starter's context only what is ours goes along, and OpenTelemetry's: other context variables are as Python has
them. The threads of a pool outlive the request that made the pool start them, and belong to none: each function that
they run brings its own place, and takes it away again.

A thread works for its starter to its end, also beyond the end of the request, and daemon threads do likewise. Nothing
tells a long job of one request from a thread that a library starts during the first request and that serves all later
ones: most threads of web servers are daemons, and so are those that they start; and a job may outlive its request by
hours. Who starts a thread for all does it outside of every request, by ``contextvars.Context().run(thread.start)``.
"""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any, NamedTuple

from opentelemetry import context as opentelemetry_context
from opentelemetry.context import Context

from genai_observability._context.attribution import Scope, scope
from genai_observability._context.decoration import replace


class Place(NamedTuple):
    """The attribution in force, and OpenTelemetry's context with the current span and the baggage."""

    scope: Scope | None
    context: Context


NOWHERE = Place(None, Context())
"""Outside of every request."""


def here() -> Place:
    """Where the running code is."""
    return Place(scope.get(), opentelemetry_context.get_current())


def go_to(place: Place) -> None:
    """Be there from now on: until this task, or thread, goes elsewhere."""
    scope.set(place.scope)
    opentelemetry_context.attach(place.context)


_POOL = "multiprocessing.dummy"  # module of the threads of multiprocessing.pool.ThreadPool


def follow() -> Callable[[], None]:
    """From now on threads take their place from whoever starts them; returns what ends that."""
    undo = ExitStack()
    replace(threading.Thread, "start", _start, undo)
    replace(ThreadPoolExecutor, "submit", _submit, undo)
    return undo.close


def _start(start: Callable[..., None]) -> Callable[..., None]:
    def start_here(thread: threading.Thread) -> None:
        place = here()
        if place == NOWHERE or type(thread).__module__ == _POOL:
            return start(thread)
        attributes = vars(thread)
        own, run = attributes.get("run"), thread.run

        def forget() -> None:  # also because a thread that refers to itself would wait for the garbage collector
            if own is None:
                attributes.pop("run", None)
            else:
                attributes["run"] = own

        def run_there() -> None:
            forget()
            go_to(place)
            run()

        attributes["run"] = run_there  # and not the class's: subclasses have a run() of their own
        try:
            return start(thread)
        except BaseException:
            forget()
            raise

    return start_here


def _submit(submit: Callable[..., Any]) -> Callable[..., Any]:
    def submit_here(pool: ThreadPoolExecutor, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        place = here()
        if place == NOWHERE:
            return submit(pool, function, *args, **kwargs)
        go_to(NOWHERE)  # for a thread that the pool may start now
        try:
            return submit(pool, _from(place, function), *args, **kwargs)
        finally:
            go_to(place)

    return submit_here


def _from(place: Place, function: Callable[..., Any]) -> Callable[..., Any]:
    def run(*args: Any, **kwargs: Any) -> Any:
        before = here()
        go_to(place)
        try:
            return function(*args, **kwargs)
        finally:
            go_to(before)

    return run
