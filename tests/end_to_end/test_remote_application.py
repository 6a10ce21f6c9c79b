"""An application on another host, as docs/production.md has it: over TLS, with a token, through a real proxy."""

import os
import re
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import certifi
import httpx
import pytest

from stack.clients import Where, log_store
from stack.settings import Settings
from tests.end_to_end.live import ROOT, eventually, without_otel
from tests.serving import free_port

GUIDE = (ROOT / "docs/production.md").read_text(encoding="utf-8")
TOKEN = "0123456789abcdef" * 4
PROGRAM = """
import genai_observability, openai
genai_observability.instrument()
openai.OpenAI(max_retries=0).embeddings.create(model="text-embedding-3-small", input="a")
"""


class Proxy:
    """The guide's Caddy in front of a Collector, with names and ports of this machine."""

    def __init__(self, stack: Settings, folder: Path) -> None:
        self.port = free_port()
        self.token = folder / "otlp-token"
        self.token.write_text(f"{TOKEN}\n")
        self.root = folder / "caddy/pki/authorities/local/root.crt"
        (folder / "Caddyfile").write_text(self._caddyfile(stack))
        self.log = folder / "log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [Path(sys.executable).with_name("caddy"), "run", "--config", folder / "Caddyfile"],
                env={"PATH": os.environ["PATH"], "HOME": str(folder), "XDG_DATA_HOME": str(folder)},
                stderr=log,
            )

    def _caddyfile(self, stack: Settings) -> str:
        sites, options = re.findall(r"```caddyfile\n(.*?)```", GUIDE, re.DOTALL)
        local = f"admin off\n\tauto_https disable_redirects\n\thttps_port {self.port}\n\tdefault_bind 127.0.0.1\n}}"
        text: str = options.replace("}", local) + sites
        for guide, here in {
            "otlp.example.com": "localhost",
            "127.0.0.1:4318": f"127.0.0.1:{stack.collector_http_port}",
            "127.0.0.1:8093": f"127.0.0.1:{stack.inbox_port}",
            "127.0.0.1:3000": f"127.0.0.1:{stack.inbox_port}",  # another page: there is no Grafana here
            "/etc/caddy/otlp-token": str(self.token),
        }.items():
            assert guide in text
            text = text.replace(guide, here)
        return text

    def status(self, **headers: str) -> int:
        """How an empty export with these headers is answered."""
        with self._client() as client:
            sent = {"content-type": "application/x-protobuf", **headers}
            return client.post(f"https://localhost:{self.port}/v1/traces", headers=sent).status_code

    def page(self, name: str, path: str = "/", *, method: str = "GET") -> httpx.Response:
        """A page under a name."""
        with self._client() as client:
            url = f"https://localhost:{self.port}{path}"
            return client.request(method, url, headers={"host": name}, extensions={"sni_hostname": name})

    def _client(self) -> httpx.Client:
        return httpx.Client(verify=ssl.create_default_context(cafile=self.root), trust_env=False)

    def wait(self) -> None:
        """Until it has made the certificates of all names."""
        deadline = time.monotonic() + 20
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                self.status()
                self.page("grafana.example.com")
                self.page("status.example.com")
            except (OSError, httpx.TransportError):
                time.sleep(0.05)
            else:
                return
        raise AssertionError(self.log.read_text())

    def end(self) -> None:
        self.process.terminate()
        self.process.wait(10)


@pytest.fixture
def proxy(stack: Settings, tmp_path: Path) -> Iterator[Proxy]:
    """The running proxy."""
    started = Proxy(stack, tmp_path)
    try:
        started.wait()
        yield started
    finally:
        started.end()


def run(proxy: Proxy, provider: str, *, service: str, token: str, **more: str) -> str:
    """Runs an application with the variables of the guide; what it complains about."""
    (text,) = re.findall(r"```sh\n(.*?)```", GUIDE, re.DOTALL)
    text = text.replace("otlp.example.com", f"localhost:{proxy.port}").replace("TOKEN", token)
    text = text.replace("/etc/ssl/caddy-root.crt", str(proxy.root))
    guide = dict(line.split("=", 1) for line in text.splitlines())
    variables = {"OPENAI_BASE_URL": f"{provider}/v1", "OPENAI_API_KEY": "test", "OTEL_SERVICE_NAME": service}
    environment = without_otel(**variables, **guide)
    for bundle in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        environment.pop(bundle, None)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM],
        env=environment | more, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stderr


def lines(stack: Settings, service: str) -> int:
    end = datetime.now(UTC) + timedelta(seconds=5)
    window = {"start": end - timedelta(minutes=5), "end": end}
    return log_store(stack).count(Where("service.name", "=", service), **window)


def test_calls_of_an_application_with_the_token_arrive_and_those_without_do_not(
    stack: Settings, proxy: Proxy, provider: str
) -> None:
    assert "401" in run(proxy, provider, service="stranger", token="f" * 64)
    assert run(proxy, provider, service="remote", token=TOKEN) == ""
    assert eventually(lambda: lines(stack, "remote")) == 1
    assert lines(stack, "stranger") == 0


def test_a_bundle_of_certificates_in_the_environment_counts_more_than_the_variable_of_the_guide(
    proxy: Proxy, provider: str
) -> None:
    assert run(
        proxy, provider, service="bundled", token=TOKEN,
        REQUESTS_CA_BUNDLE=str(proxy.root), OTEL_EXPORTER_OTLP_CERTIFICATE=certifi.where(),
    ) == ""  # fmt: skip


def test_only_the_whole_token_is_let_through(proxy: Proxy) -> None:
    assert proxy.status(authorization=f"Bearer {TOKEN}") == 200
    for refused in ("", "Bearer", f"Bearer {TOKEN[:-1]}", f"Bearer {TOKEN}0", TOKEN):
        assert proxy.status(authorization=refused) == 401, refused
    assert proxy.status() == 401


def test_without_the_file_of_the_token_or_with_a_poor_one_nobody_is_let_through(proxy: Proxy) -> None:
    for poor in ("", "x"):
        proxy.token.write_text(poor)
        for refused in ("Bearer", f"Bearer {poor}".strip(), f"Bearer {TOKEN}"):
            assert proxy.status(authorization=refused) == 401, refused
    proxy.token.unlink()
    assert proxy.status(authorization=f"Bearer {TOKEN}") == 401


def test_the_other_name_leads_to_the_page_behind_it(proxy: Proxy) -> None:
    assert '<p class="banner' in proxy.page("grafana.example.com", "/status").text
    assert "is not known by this name" in proxy.page("grafana.example.com", "/").text  # the inbox's word, not Caddy's


def test_the_status_page_is_all_that_the_proxy_shows_of_the_inbox(proxy: Proxy) -> None:
    name = "status.example.com"
    assert '<p class="banner' in proxy.page(name, "/status").text  # whatever state the shared stack is in
    for path in ("/status.json", "/status/style.css"):
        assert proxy.page(name, path).status_code == 200
    assert proxy.page(name, "/").headers["location"] == "/status"
    for path in ("/incidents", "/incidents/1", "/report", "/api/incidents", "/api/notifications", "/metrics",
                 "/runbooks", "/style.css", "/status/", "/status/../metrics", "/status%2f..%2fmetrics"):  # fmt: skip
        assert proxy.page(name, path).status_code == 404, path
    assert proxy.page(name, "/alerts", method="POST").status_code == 404
    assert proxy.page(name, "/status", method="POST").status_code == 405
