from __future__ import annotations

import pytest
from pydantic import ValidationError

from agentcore.training.openenv.runtimes.kubernetes_objects import (
    ClientIP,
    IngressRule,
    IpBlock,
    ObjectMeta,
    Peer,
    Secret,
    Selector,
    SessionAffinity,
)


def test_members_are_named_as_the_api_names_them() -> None:
    assert Secret(metadata=ObjectMeta(name="a"), string_data={}).document() == {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "a"},
        "type": "Opaque",
        "stringData": {},
    }
    affinity = SessionAffinity(client_ip=ClientIP(timeout_seconds=5))
    assert affinity.model_dump(by_alias=True) == {"clientIP": {"timeoutSeconds": 5}}
    rule = IngressRule(from_=(Peer(pod_selector=Selector()),), ports=())
    assert set(rule.model_dump(by_alias=True)) == {"from", "ports"}
    block = IpBlock(cidr="0.0.0.0/0", except_=("10.0.0.0/8",)).model_dump(by_alias=True)
    assert block == {"cidr": "0.0.0.0/0", "except": ("10.0.0.0/8",)}


def test_a_misspelt_member_is_refused_and_a_secret_is_not_shown() -> None:
    with pytest.raises(ValidationError):
        ObjectMeta.model_validate({"name": "a", "labls": {}})
    assert "hush" not in repr(Secret(metadata=ObjectMeta(name="a"), string_data={"k": "hush"}))
