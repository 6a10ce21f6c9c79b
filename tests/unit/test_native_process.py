"""Background processes: started, found again, ended, and never mistaken for another."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from stack.interrupts import interrupts_deferred
from stack.native import process
from stack.native.ports import free_ports, is_free
from stack.native.process import Program, StackError
from tests.serving import free_port


def _web_server(port: int) -> Program:
    command = (sys.executable, "-m", "http.server", "--bind", "127.0.0.1", str(port))
    return Program(name="web", command=command, health_url=f"http://127.0.0.1:{port}/", ports={"WEB_PORT": port})


def _script(text: str) -> Program:
    return Program(name="script", command=(sys.executable, "-c", text), health_url=f"http://127.0.0.1:{free_port()}/")


def test_a_started_process_is_found_ready_and_gone_after_stop(tmp_path: Path) -> None:
    program = _web_server(free_port())
    started = process.start(program, state=tmp_path, fingerprint="1")
    process.wait_until_ready({"web": started}, [program])
    assert process.find("web", state=tmp_path) == started
    assert process.find_all(state=tmp_path) == [started]
    assert process.memory_bytes(started) > 1_000_000
    process.stop(started, state=tmp_path)
    assert process.find("web", state=tmp_path) is None
    assert not psutil.pid_exists(started.pid)


def test_a_started_process_outlives_the_program_that_started_it(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from stack.native.process import Program, start\n"
        "command = (sys.executable, '-c', 'import time; time.sleep(60)')\n"
        f"start(Program(name='script', command=command, health_url=''), state=Path({str(tmp_path)!r}))"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    running = process.find("script", state=tmp_path)
    assert running is not None
    process.stop(running, state=tmp_path)
    assert not process.is_alive(running)


def test_a_pid_that_now_belongs_to_another_process_is_left_alone(tmp_path: Path) -> None:
    ours = process.start(_script("import time; time.sleep(60)"), state=tmp_path)
    process.stop(ours, state=tmp_path)
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"]) as stranger:
        record = {**ours.__dict__, "pid": stranger.pid}
        (tmp_path / "run" / "script.json").write_text(json.dumps(record))
        assert process.find("script", state=tmp_path) is None
        process.stop(process.Running(**record), state=tmp_path)
        assert stranger.poll() is None
        stranger.kill()


def _said(program: Program, word: str, *, state: Path) -> process.Running:
    running = process.start(program, state=state)
    deadline = time.monotonic() + 10
    while word not in process.last_lines(Path(running.log), 1):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return running


def test_a_process_that_ignores_termination_is_killed(tmp_path: Path) -> None:
    program = _script(
        "import signal, time; signal.signal(15, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)"
    )
    running = _said(program, "deaf", state=tmp_path)
    process.stop(running, state=tmp_path, grace=0.3)
    assert not psutil.pid_exists(running.pid)


@pytest.mark.parametrize("listens", [True, False])
def test_children_of_a_process_end_with_it_whether_or_not_it_listens_to_termination(
    tmp_path: Path, *, listens: bool
) -> None:
    # The child has a session of its own, as a worker of a database has, and does not listen either.
    deaf = "signal.signal(signal.SIGTERM, signal.SIG_IGN)"
    child_code = f"import os, signal, time; {deaf}; os.setsid(); print('begun', flush=True); time.sleep(60)"
    code = f"import signal, subprocess, sys, time; subprocess.Popen([sys.executable, '-c', {child_code!r}])"
    program = _script(f"{code}; {'' if listens else f'{deaf}; '}time.sleep(60)")
    running = _said(program, "begun", state=tmp_path)
    (child,) = psutil.Process(running.pid).children()
    process.stop(running, state=tmp_path, grace=0.3)
    _, alive = psutil.wait_procs([child], timeout=5)
    assert [each for each in alive if each.status() != psutil.STATUS_ZOMBIE] == []


@pytest.mark.skipif(sys.platform != "linux", reason="other systems do not tell what is shared")
def test_memory_that_processes_share_counts_once(tmp_path: Path) -> None:
    shared = 100_000_000
    forked = "all(os.fork() for _ in range(3)) and print('shared', flush=True)"
    code = f"import os, time; kept = b'x' * {shared}; {forked}; time.sleep(60)"
    running = _said(_script(code), "shared", state=tmp_path)
    family = [psutil.Process(running.pid), *psutil.Process(running.pid).children(recursive=True)]
    assert len(family) == 4
    assert sum(each.memory_info().rss for each in family) > 4 * shared
    assert shared < process.memory_bytes(running) < 1.6 * shared
    process.stop(running, state=tmp_path)


def test_a_process_that_dies_while_starting_shows_its_last_lines_and_its_log(tmp_path: Path) -> None:
    for text in ("an earlier start", "no such disk"):
        program = _script(f"import sys; print({text!r}); sys.exit(3)")
        running = process.start(program, state=tmp_path)
        with pytest.raises(StackError) as error:
            process.wait_until_ready({"script": running}, [program])
    assert str(error.value) == (
        f"script ended while starting (exit code 3).\n    no such disk\nWhole log: {tmp_path}/logs/script.log"
    )


def test_a_process_that_never_gets_ready_is_named_after_the_time_allowed(tmp_path: Path) -> None:
    program = _script("import time; print('thinking', flush=True); time.sleep(60)")
    running = process.start(program, state=tmp_path)
    with pytest.raises(StackError, match=r"^script is not ready after 1 seconds \(http://.*\)\.\n    thinking\n"):
        process.wait_until_ready({"script": running}, [program], timeout=1.0)
    process.stop(running, state=tmp_path)


def test_a_program_that_cannot_be_executed_is_named(tmp_path: Path) -> None:
    with pytest.raises(StackError, match=r"^ghost cannot be started: .*No such file"):
        process.start(Program(name="ghost", command=(str(tmp_path / "ghost"),), health_url=""), state=tmp_path)


def test_a_port_in_use_is_named_with_its_owner_and_the_variable_that_changes_it() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(StackError) as error:
            process.require_free_ports([_web_server(port)])
    owner = f"{psutil.Process().name()} (pid {os.getpid()})"
    assert str(error.value) == (
        f"Port {port} of web (WEB_PORT) is in use by {owner}.\n"
        "End what uses the port, or set the variable in brackets to another one, also in .env."
    )


def test_free_ports_are_accepted() -> None:
    process.require_free_ports([_web_server(free_port())])


def test_a_large_log_is_set_aside_at_the_next_start(tmp_path: Path) -> None:
    log = tmp_path / "logs" / "script.log"
    log.parent.mkdir()
    log.write_bytes(b"x" * 10_000_001)
    running = process.start(_script("import time; time.sleep(60)"), state=tmp_path)
    assert log.with_suffix(".log.1").stat().st_size == 10_000_001
    assert running.log_offset == 0
    process.stop(running, state=tmp_path)


def test_variables_that_a_program_must_not_inherit_are_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_SERVICE_NAME", "shop")
    code = "import os; print(os.environ.get('OTEL_SERVICE_NAME'), os.environ.get('GIVEN'))"
    program = Program(
        name="script",
        command=(sys.executable, "-c", code),
        health_url=f"http://127.0.0.1:{free_port()}/",
        environment={"GIVEN": "yes"},
        without=("OTEL_",),
    )
    running = process.start(program, state=tmp_path)
    with pytest.raises(StackError, match="None yes"):
        process.wait_until_ready({"script": running}, [program])


@pytest.mark.parametrize("leader", ["sys.exit(3)", "time.sleep(60)"])
def test_a_server_that_never_listens_leaves_no_child_behind(tmp_path: Path, leader: str) -> None:
    code = (
        "import subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        f"open({str(tmp_path / 'child')!r}, 'w').write(str(child.pid)); {leader}"
    )
    program = _script(code)
    running = process.start(program, state=tmp_path)
    with pytest.raises(StackError):
        process.wait_until_ready({"script": running}, [program], timeout=2.0)
    child = psutil.Process(int((tmp_path / "child").read_text()))
    assert child.is_running()
    process.stop(running, state=tmp_path)
    child.wait(5)


def test_ctrl_c_waits_until_the_block_is_left() -> None:
    reached = []

    def interrupted_block() -> None:
        with interrupts_deferred():
            signal.raise_signal(signal.SIGINT)
            reached.append("the end")

    with pytest.raises(KeyboardInterrupt):
        interrupted_block()
    assert reached == ["the end"]


def test_a_second_signal_to_end_does_not_break_off_the_tidying_up(tmp_path: Path) -> None:
    code = (
        "import os, time; from stack.interrupts import interrupt_on_termination; interrupt_on_termination()\n"
        "try: print('ready', flush=True); time.sleep(60)\n"
        "except KeyboardInterrupt: os.kill(os.getpid(), 15); os.kill(os.getpid(), 1); print('tidy')"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as command:
        assert command.stdout is not None
        assert command.stdout.readline() == "ready\n"
        command.terminate()
        assert command.communicate(timeout=20)[0] == "tidy\n"


def test_free_ports_are_told_that_no_outgoing_connection_takes_meanwhile() -> None:
    ports = free_ports(40)
    assert len(set(ports)) == 40
    with socket.create_server(("127.0.0.1", ports[0])), socket.create_server(("127.0.0.1", 0)) as given_by_the_system:
        assert not is_free(ports[0])
        assert is_free(ports[1])
        assert given_by_the_system.getsockname()[1] > max(ports)
