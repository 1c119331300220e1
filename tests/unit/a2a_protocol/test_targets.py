from __future__ import annotations

import pytest

from agentcore.a2a_protocol.errors import InvalidParams
from agentcore.a2a_protocol.push.targets import check_url, is_outside

INSIDE = [
    "127.0.0.1", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1",
    "0.0.0.0", "255.255.255.255", "224.0.0.1", "240.0.0.1", "::1", "::", "fe80::1", "fe80::1%eth0",
    "fc00::1", "ff02::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::",
    "2001:0:4136:e378:8000:63bf:3fff:fdd2", "::127.0.0.1", "::ffff:0:127.0.0.1", "fec0::1",
    "192.0.0.8",
]  # fmt: skip


@pytest.mark.parametrize("address", INSIDE)
def test_addresses_inside(address: str) -> None:
    assert not is_outside(address)


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8"])
def test_addresses_outside(address: str) -> None:
    assert is_outside(address)


@pytest.mark.parametrize(
    "url",
    [
        "", "x", "/path", "file:///etc/passwd", "ftp://example.com/", "gopher://example.com",
        "http://", "http:///x", "http://user:pw@example.com/", "http://[::1", "http://a:99999/",
        "http://localhost/", "http://LOCALHOST./", "http://x.localhost/", "http://db.internal/",
        "http://127.0.0.1/", "http://127.1/", "http://2130706433/", "http://0x7f.1/",
        "http://0177.0.0.1/", "http://[::1]:80/", "http://①②⑦.⓪.⓪.①/",
        "http://\uff11\uff12\uff17.0.0.1/",
        "http://127。0。0。1/", "http://ⓛⓞⓒⓐⓛⓗⓞⓢⓣ/", "http://[::127.0.0.1]/", "http://a\\@b/",
        "http://169.254.169.254/latest/meta-data",
        f"https://example.com/{'x' * 3000}",
    ],
)  # fmt: skip
def test_what_no_webhook_can_be(url: str) -> None:
    with pytest.raises(InvalidParams, match="cannot be a webhook"):
        check_url(url, anywhere=False)


def test_webhooks() -> None:
    for url in ("https://example.com/hook?a=b", "http://8.8.8.8:8080/", "https://[2606:4700::1]/"):
        check_url(url, anywhere=False)
    check_url("http://127.0.0.1:1/", anywhere=True)
    with pytest.raises(InvalidParams):
        check_url("file:///etc/passwd", anywhere=True)
