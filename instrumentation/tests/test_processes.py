"""Programs that were not changed, and processes that others make by fork: each records its own calls."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from instrumentation.tests.otlp_capture import Capture, values
from instrumentation.tests.programs import CLIENT, COMMAND, INSTRUMENT, OPENTELEMETRY, Run, calls_by_instance
from tests.serving import free_port

SERVED = """
import time
def wsgi(environ, start_response):
    ask()
    time.sleep(0.1)  # so that both workers get some of the requests
    start_response("200 OK", [])
    return [str(os.getpid()).encode()]
async def asgi(scope, receive, send):
    if scope["type"] == "http":
        answer = wsgi({}, lambda *_: None)[0]
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": answer})
"""
DRIVE = """
import concurrent.futures, os, shutil, signal, subprocess, sys, time, urllib.request
from pathlib import Path
program, *arguments = os.environ["SERVER"].split()
server = subprocess.Popen([str(Path(sys.executable).with_name(program)), *arguments])
def get(_=None):
    with urllib.request.urlopen("http://127.0.0.1:" + os.environ["PORT"], timeout=10) as answer:
        return answer.read()
workers = set()
deadline = time.monotonic() + 30
while True:
    try:
        workers.add(get()); break
    except OSError:
        assert time.monotonic() < deadline
        time.sleep(0.1)
with concurrent.futures.ThreadPoolExecutor(6) as pool:
    workers |= set(pool.map(get, range(11)))
server.send_signal(signal.SIGTERM)
code = server.wait()
print(len(workers))
sys.exit(code)
"""


@pytest.fixture(scope="module")
def distro(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the package opentelemetry-distro, whose newest version asks for an older patch of the others."""
    folder = tmp_path_factory.mktemp("distro")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--disable-pip-version-check"]
    subprocess.run([*pip, "--target", folder, "opentelemetry-distro==0.66b1"], check=True)
    return folder


def test_an_unchanged_script_that_ends_at_once_delivers_its_call(run: Run, capture: Capture) -> None:
    done = run(COMMAND, "run", sys.executable, "app.py", program=CLIENT + "ask()")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert len(capture.spans) == 1
    assert {resource["service.name"] for resource in capture.resources} == {"app"}


def test_the_service_is_named_by_the_environment(run: Run, capture: Capture) -> None:
    run(COMMAND, "run", "--", sys.executable, "app.py", program=CLIENT + "ask()", OTEL_SERVICE_NAME="shop")
    assert {resource["service.name"] for resource in capture.resources} == {"shop"}


def test_the_program_is_the_process_that_was_started_with_its_own_code_stdin_and_path(run: Run, tmp_path: Path) -> None:
    program = CLIENT + "ask(); print(os.getppid(), sys.stdin.read(), sys.path[1]); sys.exit(7)"
    done = run(COMMAND, "run", sys.executable, "app.py", program=program, stdin="hello", PYTHONPATH="/mine")
    assert (done.returncode, done.stdout) == (7, f"{os.getpid()} hello /mine\n"), done.stderr


def test_a_signal_reaches_the_program(run: Run) -> None:
    program = CLIENT + "import signal; os.kill(os.getpid(), signal.SIGTERM)"
    done = run(COMMAND, "run", sys.executable, "app.py", program=program)
    assert done.returncode == -signal.SIGTERM


def test_child_python_processes_record_their_calls(run: Run, capture: Capture) -> None:
    child = "import subprocess, sys; sys.exit(subprocess.run([sys.executable, 'child.py']).returncode)"
    program = f"from pathlib import Path\nPath('child.py').write_text({CLIENT + 'ask()'!r})\n" + child
    done = run(COMMAND, "run", sys.executable, "app.py", program=program)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(capture.spans) == 1


def test_a_program_without_the_client_is_told_so_and_loads_nothing_of_ours(run: Run, capture: Capture) -> None:
    program = "import sys, threading; print('opentelemetry' in sys.modules, threading.active_count())"
    done = run(COMMAND, "run", sys.executable, "app.py", program=program)
    assert (done.returncode, done.stdout) == (0, "False 1\n")
    assert done.stderr == (
        "genai-observability: nothing was recorded and nothing changed: the program imported none of: openai.\n"
    )
    assert capture.bodies == {}


def test_a_wrong_command_ends_with_a_sentence_and_127(run: Run) -> None:
    done = run(COMMAND, "run", "no-such-program")
    assert (done.returncode, done.stdout) == (127, "")
    assert done.stderr == "Error: there is no program no-such-program to run: check its name, and PATH.\n"


@pytest.mark.parametrize("options", [["-I"], ["-uE"], ["-W", "ignore", "-S"]])
def test_an_option_that_keeps_recording_out_is_said_and_the_program_runs(run: Run, options: list[str]) -> None:
    done = run(COMMAND, "run", sys.executable, *options, "app.py", "-x", program="import sys; print(sys.argv[1:])")
    assert (done.returncode, done.stdout) == (0, "['-x']\n")
    assert done.stderr.startswith(f"Model calls are not recorded: with -{options[-1][-1]}, Python loads nothing")
    assert len(done.stderr.splitlines()) == 1


def test_a_script_whose_first_line_keeps_recording_out_is_said(run: Run, tmp_path: Path) -> None:
    script = tmp_path / "shop"
    script.write_text(f"#!{sys.executable} -sI\nprint('done')\n")
    script.chmod(0o755)
    done = run(COMMAND, "run", str(script))
    assert (done.returncode, done.stdout) == (0, "done\n")
    assert "with -I, Python loads nothing" in done.stderr


def test_options_of_the_program_and_those_that_let_recording_in_are_not_taken_for_such(
    run: Run, capture: Capture
) -> None:
    done = run(COMMAND, "run", sys.executable, "-sPm", "app", "-I", program=CLIENT + "ask()", PYTHONPATH=".")
    assert (done.returncode, done.stderr) == (0, "")
    assert len(capture.spans) == 1


def test_a_package_that_cannot_be_loaded_is_said_once_and_the_program_runs(run: Run, tmp_path: Path) -> None:
    (tmp_path / "genai_observability.py").write_text("raise RuntimeError('broken')")
    program = CLIENT + "print(ask().object)"
    done = run(COMMAND, "run", sys.executable, "app.py", program=program)
    assert (done.returncode, done.stdout) == (0, "chat.completion\n")
    assert done.stderr.startswith("Model calls are not recorded: genai-observability cannot be loaded into ")
    assert len(done.stderr.splitlines()) == 1


def test_a_sitecustomize_of_the_installation_still_runs(run: Run, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("import sys; print(sys.orig_argv[-1])")
    done = run(COMMAND, "run", sys.executable, "app.py", program=CLIENT, PYTHONPATH=str(tmp_path))
    assert (done.returncode, done.stdout, done.stderr) == (0, "app.py\napp.py\n", ""), (
        "in the command, then the program"
    )


def test_an_application_that_sets_up_opentelemetry_itself_later_keeps_its_own(run: Run, capture: Capture) -> None:
    program = CLIENT + (
        "from opentelemetry import trace\n"
        "from opentelemetry.sdk.trace import TracerProvider\n"
        "own = TracerProvider(); trace.set_tracer_provider(own); ask()\n"
        "print(trace.get_tracer_provider() is own)\n"
    )
    done = run(COMMAND, "run", sys.executable, "app.py", program=program)
    assert (done.returncode, done.stdout, done.stderr) == (0, "True\n", "")
    assert len(capture.spans) == 1


def test_an_application_that_is_instrumented_already_is_recorded_once_as_it_asks(run: Run, capture: Capture) -> None:
    done = run(COMMAND, "run", sys.executable, "app.py", program=CLIENT + INSTRUMENT + "ask()")
    assert (done.returncode, done.stderr) == (0, "")
    assert len(capture.spans) == 1
    assert {resource["service.name"] for resource in capture.resources} == {"shop"}


def test_workers_of_a_server_record_their_calls(run: Run, capture: Capture, tmp_path: Path) -> None:
    """Workers that the server starts, and workers that it forks once the application is loaded."""
    port = free_port()
    (tmp_path / "web.py").write_text(CLIENT + SERVED)
    for server in (
        ("uvicorn", "--port", str(port), "--workers", "2", "web:asgi"),
        ("gunicorn", "--bind", f"127.0.0.1:{port}", "--workers", "2", "web:wsgi"),
        ("gunicorn", "--bind", f"127.0.0.1:{port}", "--workers", "2", "--preload", "web:wsgi"),
    ):
        capture.bodies.clear()
        done = run(
            *(COMMAND, "run", sys.executable, "app.py"),
            program=DRIVE,
            SERVER=" ".join(server),
            PORT=str(port),
        )
        assert (done.returncode, len(capture.spans)) == (0, 12), (server, done.stderr)
        assert sum(calls_by_instance(capture).values()) == 12, server
        assert len(calls_by_instance(capture)) == int(done.stdout.split()[-1]), server
        assert "nothing was recorded" not in done.stderr, server


@pytest.mark.parametrize("asked", [True, False])
def test_under_opentelemetry_instrument_each_call_is_sent_once_and_each_record_where_it_is_asked_for(
    run: Run, capture: Capture, asked: bool
) -> None:
    program = CLIENT + "import logging; ask(); logging.getLogger('shop').warning('sold out')"
    settings = {"OTEL_PYTHON_LOG_AUTO_INSTRUMENTATION": "true"} if asked else {}
    done = run(OPENTELEMETRY, sys.executable, "app.py", program=program, OTEL_SERVICE_NAME="shop", **settings)
    assert (done.returncode, done.stderr) == (0, "sold out\n")
    assert len(capture.spans) == 1
    assert values(capture.spans[0].attributes)["gen_ai.usage.cost.amount"] > 0
    assert [record.body.string_value for record in capture.records].count("sold out") == asked
    assert calls_by_instance(capture).keys() == {capture.resources[0]["service.instance.id"]}
    assert list(calls_by_instance(capture).values()) == [1]


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"OTEL_PYTHON_LOGGING_AUTO_INSTRUMENTATION_ENABLED": "true"},
        {"OTEL_PYTHON_LOG_AUTO_INSTRUMENTATION": "true"},
    ],
    ids=["as shipped", "its own way", "asked for"],
)
def test_beside_opentelemetry_distro_each_call_and_record_is_sent_once(
    run: Run, capture: Capture, distro: Path, settings: dict[str, str]
) -> None:
    """It sets up providers of its own, over gRPC where that is installed, and sends the application's log, unasked."""
    program = CLIENT + "import logging; ask(); logging.getLogger('shop').warning('sold out')"
    done = run(OPENTELEMETRY, sys.executable, "app.py", program=program, PYTHONPATH=str(distro), **settings)
    assert done.returncode == 0
    assert "Failed" not in done.stderr
    assert "telemetry.auto.version" in capture.resources[0], "the resource is that of the distro"
    assert len(capture.spans) == 1
    bodies = [record.body.string_value for record in capture.records]
    assert (bodies.count("sold out"), sum(body.startswith("chat ") for body in bodies)) == (1, 1)
    assert list(calls_by_instance(capture).values()) == [1]


def test_forked_children_count_their_own_calls_under_names_of_their_own(run: Run, capture: Capture) -> None:
    program = (
        CLIENT
        + INSTRUMENT
        + (
            "ask(); ask(); handle.force_flush()\n"  # a connection to the Collector is open
            "children = []\n"
            "for _ in range(2):\n"
            "    if (child := os.fork()) == 0:\n"
            "        ask(); handle.force_flush(); sys.stdin.read(1); os._exit(0)\n"  # alive until both have a name
            "    children.append(child)\n"
            "ask(); print([os.waitpid(child, 0)[1] for child in children])\n"
        )
    )
    done = run(sys.executable, "app.py", program=program)
    assert (done.returncode, done.stdout, done.stderr) == (0, "[0, 0]\n", "")
    assert len(capture.spans) == 5
    assert sorted(calls_by_instance(capture).values()) == [1, 1, 3]
    assert {resource["service.instance.id"] for resource in capture.resources} == calls_by_instance(capture).keys()


def test_children_of_a_configured_instance_are_told_apart(run: Run, capture: Capture) -> None:
    program = (
        CLIENT
        + INSTRUMENT
        + ("if (child := os.fork()) == 0:\n    ask(); handle.force_flush(); os._exit(0)\nos.waitpid(child, 0); ask()\n")
    )
    run(sys.executable, "app.py", program=program, OTEL_RESOURCE_ATTRIBUTES="service.instance.id=pod-7")
    assert calls_by_instance(capture) == {"pod-7": 1, "pod-7:0": 1}


def test_a_child_forked_while_other_threads_record_goes_on(run: Run, capture: Capture) -> None:
    program = (
        CLIENT
        + INSTRUMENT
        + (
            "import threading\n"
            "threads = [threading.Thread(target=lambda: [ask() for _ in range(15)]) for _ in range(4)]\n"
            "[thread.start() for thread in threads]\n"
            "children = []\n"
            "for _ in range(8):\n"
            "    if (child := os.fork()) == 0:\n"
            "        handle.force_flush(5) or os._exit(1); os._exit(0)\n"
            "    children.append(child)\n"
            "[thread.join() for thread in threads]\n"
            "print({os.waitpid(child, 0)[1] for child in children})\n"
        )
    )
    done = run(sys.executable, "app.py", program=program)
    assert (done.returncode, done.stdout, done.stderr) == (0, "{0}\n", "")
    assert sum(calls_by_instance(capture).values()) == 60


def test_workers_of_multiprocessing_deliver_calls_made_just_before_they_end(run: Run, capture: Capture) -> None:
    program = (
        CLIENT
        + INSTRUMENT
        + (
            "import multiprocessing\n"
            "workers = [multiprocessing.get_context('fork').Process(target=ask) for _ in range(2)]\n"
            "[worker.start() for worker in workers]\n"
            "[worker.join() for worker in workers]\n"
            "print([worker.exitcode for worker in workers])\n"
        )
    )
    done = run(sys.executable, "app.py", program=program)
    assert (done.returncode, done.stdout, done.stderr) == (0, "[0, 0]\n", "")
    assert sum(calls_by_instance(capture).values()) == 2


def test_a_worker_that_reads_a_program_with_instrument_in_it_delivers_too(run: Run, capture: Capture) -> None:
    program = (
        CLIENT
        + INSTRUMENT
        + (
            "import multiprocessing\n"
            "if __name__ == '__main__':\n"
            "    for method in ('fork', 'forkserver', 'spawn'):\n"
            "        worker = multiprocessing.get_context(method).Process(target=ask)\n"
            "        worker.start(); worker.join()\n"
        )
    )
    done = run(sys.executable, "-W", "error", "-W", "ignore::DeprecationWarning", "app.py", program=program)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(capture.spans) == 3


def test_workers_of_multiprocessing_that_begin_to_record_themselves_deliver_too(
    run: Run, capture: Capture, tmp_path: Path
) -> None:
    (tmp_path / "client.py").write_text(CLIENT)
    program = (
        "import multiprocessing\n"
        "def work():\n    import client; client.ask()\n"
        "if __name__ == '__main__':\n"
        "    for method in ('fork', 'forkserver', 'spawn'):\n"
        "        worker = multiprocessing.get_context(method).Process(target=work)\n"
        "        worker.start(); worker.join()\n"
    )
    done = run(COMMAND, "run", sys.executable, "app.py", program=program)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(capture.spans) == 3
