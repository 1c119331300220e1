"""A running service takes on what its file says now."""

from __future__ import annotations

import os
import signal

from tests.fakes.deployment import Deployment, used_home, wait_until

PROVIDER = """
[[llm_gateway.providers]]
name = "{name}"
kind = "compatible"
base_url = "http://127.0.0.1:9/v1"
models = {{ "{model}" = "theirs" }}
"""


def test_a_running_service_follows_its_file() -> None:
    with used_home() as home:
        file = home / "agentcore.toml"
        file.write_text(PROVIDER.format(name="one", model="small"))
        service = Deployment(home, {"AGENTCORE_CONFIG": str(file)})
        service.start()
        assert service.process is not None
        with service.client() as http:

            def models() -> list[str]:
                return [each["id"] for each in http.get("/v1/models").json()["data"]]

            assert models() == ["small"]
            file.write_text(PROVIDER.format(name="two", model="big"))
            os.kill(service.process.pid, signal.SIGHUP)
            wait_until(lambda: models() == ["big"], "the new models are served")
            file.write_text("[llm_gateway]\nprovders = []\n")
            refused = http.post("/internal/routing/reload")
            assert refused.status_code == 422, refused.text
            assert "provders" in refused.json()["detail"]
            os.kill(service.process.pid, signal.SIGHUP)
            wait_until(lambda: "nothing was changed" in service.log.read_text(), "it is said")
            assert models() == ["big"]
            file.write_text(PROVIDER.format(name="two", model="big"))
            told = http.post("/internal/routing/reload").json()
            assert told == {"added": [], "changed": [], "removed": [], "ignored": []}
        assert service.stop() == 0
