"""Processes that end by SIGTERM deliver their last calls, and end as they always do."""

import signal
import socket
import sys
import time

import pytest

from instrumentation.tests.otlp_capture import Capture
from instrumentation.tests.programs import CLIENT, COMMAND, INSTRUMENT, Run, calls_by_instance

SIGNALLED = """
import signal, subprocess, time
def sleep_until_killed(signals=1):
    subprocess.Popen(["sh", "-c", f"sleep 0.1; for _ in $(seq {signals}); do kill {os.getpid()}; done"])
    time.sleep(60)
"""
PROGRAM = CLIENT + SIGNALLED


def test_a_script_delivers_its_last_call(run: Run, capture: Capture) -> None:
    done = run(sys.executable, "app.py", program=PROGRAM + INSTRUMENT + "ask(); sleep_until_killed()")
    assert (done.returncode, done.stderr) == (-signal.SIGTERM, "")
    assert len(capture.spans) == 1
    assert sum(calls_by_instance(capture).values()) == 1
    assert len(capture.records) == 1


def test_a_second_signal_does_not_cut_the_delivery_short(run: Run, capture: Capture) -> None:
    done = run(COMMAND, "run", sys.executable, "app.py", program=PROGRAM + "ask(); sleep_until_killed(signals=5)")
    assert done.returncode == -signal.SIGTERM
    assert len(capture.spans) == 1


def test_a_collector_that_hangs_delays_the_end_by_two_seconds_at_most(run: Run) -> None:
    program = PROGRAM + "ask(); print(time.time(), flush=True); os.kill(os.getpid(), signal.SIGTERM)"
    with socket.create_server(("127.0.0.1", 0)) as hanging:
        endpoint = f"http://127.0.0.1:{hanging.getsockname()[1]}"
        done = run(COMMAND, "run", sys.executable, "app.py", program=program, OTEL_EXPORTER_OTLP_ENDPOINT=endpoint)
    assert done.returncode == -signal.SIGTERM
    assert 1.9 < time.time() - float(done.stdout) < 3


def test_nothing_to_deliver_delays_nothing(run: Run) -> None:
    program = PROGRAM + INSTRUMENT + "print(time.time(), flush=True); os.kill(os.getpid(), signal.SIGTERM)"
    with socket.create_server(("127.0.0.1", 0)) as hanging:
        endpoint = f"http://127.0.0.1:{hanging.getsockname()[1]}"
        done = run(sys.executable, "app.py", program=program, OTEL_EXPORTER_OTLP_ENDPOINT=endpoint)
    assert done.returncode == -signal.SIGTERM
    assert time.time() - float(done.stdout) < 1


def test_a_signal_during_a_flush_of_the_application_delivers_too(run: Run, capture: Capture) -> None:
    """The interrupted thread may hold whatever lock flushing needs."""
    program = PROGRAM + INSTRUMENT + "ask(); time.sleep = lambda _: [handle.force_flush() for _ in iter(int, 1)]\n"
    done = run(sys.executable, "app.py", program=program + "sleep_until_killed()")
    assert done.returncode == -signal.SIGTERM
    assert len(capture.spans) == 1


def test_a_child_made_by_fork_delivers_its_own_calls(run: Run, capture: Capture) -> None:
    program = (
        PROGRAM
        + INSTRUMENT
        + (
            "import multiprocessing\n"
            "reading, writing = os.pipe()\n"
            "def work(): ask(); os.write(writing, b'done'); time.sleep(60)\n"
            "child = multiprocessing.get_context('fork').Process(target=work); child.start()\n"
            "ask(); os.read(reading, 4); child.terminate(); child.join(); print(child.exitcode)\n"
        )
    )
    done = run(sys.executable, "app.py", program=program)
    assert (done.returncode, done.stdout, done.stderr) == (0, "-15\n", "")
    assert sorted(calls_by_instance(capture).values()) == [1, 1]


@pytest.mark.parametrize("early", [True, False])
def test_a_handler_of_the_application_is_the_only_one_that_runs(run: Run, early: bool) -> None:
    setting = "import signal, sys; print(repr(signal.signal(signal.SIGTERM, lambda *_: sys.exit(7))))\n"
    program = (setting + PROGRAM if early else PROGRAM + setting) + "ask(); sleep_until_killed()"
    done = run(COMMAND, "run", sys.executable, "app.py", program=program)
    assert (done.returncode, done.stdout, done.stderr) == (7, "<Handlers.SIG_DFL: 0>\n", "")


def test_a_handler_that_is_taken_away_again_leaves_the_default_which_delivers(run: Run, capture: Capture) -> None:
    """As a server does that imports the application under a handler of its own."""
    before = "import signal; before = signal.signal(signal.SIGTERM, print)\n"
    after = "ask(); signal.signal(signal.SIGTERM, before); sleep_until_killed()"
    done = run(COMMAND, "run", sys.executable, "app.py", program=before + PROGRAM + after)
    assert (done.returncode, done.stdout) == (-signal.SIGTERM, "")
    assert len(capture.spans) == 1


def test_an_ignored_signal_stays_ignored(run: Run) -> None:
    program = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + PROGRAM
    program += "ask(); os.kill(os.getpid(), signal.SIGTERM); print('alive')"
    done = run(COMMAND, "run", sys.executable, "app.py", program=program)
    assert (done.returncode, done.stdout) == (0, "alive\n")


def test_recording_that_starts_in_another_thread_sets_no_handler_and_raises_nothing(run: Run) -> None:
    start = "thread = threading.Thread(target=lambda: exec(instrument)); thread.start(); thread.join()\n"
    program = f"{PROGRAM}import _signal, threading\ninstrument = {INSTRUMENT!r}\n{start}"
    program += "print(_signal.getsignal(signal.SIGTERM) == signal.SIG_DFL)"
    done = run(sys.executable, "app.py", program=program)
    assert (done.returncode, done.stdout, done.stderr) == (0, "True\n", "")


def test_shutdown_leaves_the_signal_at_its_default(run: Run) -> None:
    program = PROGRAM + (
        "import _signal\n"
        "def at_default(): return _signal.getsignal(signal.SIGTERM) == signal.SIG_DFL\n"
        + INSTRUMENT
        + "print(at_default()); handle.shutdown(); print(at_default())\n"
        "signal.signal(signal.SIGTERM, signal.SIG_DFL); print(at_default())\n"
    )
    done = run(sys.executable, "app.py", program=program)
    assert (done.returncode, done.stdout.split(), done.stderr) == (0, ["False", "True", "True"], "")


def test_without_delivery_on_sigterm_the_functions_of_signal_are_untouched(run: Run) -> None:
    program = PROGRAM + (
        "before = dict(vars(signal))\n"
        "import genai_observability\n"
        "handle = genai_observability.instrument(service_name='shop', deliver_on_sigterm=False)\n"
        "print(handle.recording, dict(vars(signal)) == before, signal.getsignal(signal.SIGTERM) == signal.SIG_DFL)\n"
        "handle.shutdown(); print(dict(vars(signal)) == before)"
    )
    done = run(sys.executable, "app.py", program=program)
    assert (done.returncode, done.stdout.split(), done.stderr) == (0, ["True"] * 4, "")


def test_what_another_library_put_around_the_function_stays(run: Run) -> None:
    program = PROGRAM + (
        "import genai_observability\n"
        "original = signal.signal\n"
        "def patched(*given): print('patched'); return original(*given)\n"
        "signal.signal = patched\n" + INSTRUMENT + "signal.signal(signal.SIGTERM, print)"
    )
    done = run(sys.executable, "app.py", program=program)
    assert (done.returncode, done.stdout.split()[-1], done.stderr) == (0, "patched", "")
