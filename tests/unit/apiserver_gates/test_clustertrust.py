from __future__ import annotations

import json
from pathlib import Path

from kybern.api.scheme import builtin
from kybern.apiserver.authn.requestheader import FrontProxyOptions
from kybern.apiserver.clustertrust import AUTHENTICATION, NAMESPACE, ClusterTrust, merged
from kybern.apiserver.registry import Registry
from kybern.store.memory import MemoryStore


async def test_what_servers_behind_this_one_need(tmp_path: Path) -> None:
    ours, theirs = tmp_path / "ca.crt", tmp_path / "front.crt"
    ours.write_text("CA\n")
    theirs.write_text("FRONT\n")
    store = MemoryStore()
    registry = Registry(builtin(), store)
    proxy = FrontProxyOptions(theirs, ["front"], ["X-Remote-User"], ["X-Remote-Uid"], ["X-Remote-Group"], ["X-Extra-"])
    trust = ClusterTrust(registry, ours, proxy)
    await trust.start()
    maps = registry.scheme.resource("", "configmaps")
    assert maps is not None
    data = (await registry.get(maps, NAMESPACE, AUTHENTICATION))["data"]
    assert data == {
        "client-ca-file": "CA\n",
        "requestheader-client-ca-file": "FRONT\n",
        "requestheader-allowed-names": '["front"]',
        "requestheader-username-headers": '["X-Remote-User"]',
        "requestheader-uid-headers": '["X-Remote-Uid"]',
        "requestheader-group-headers": '["X-Remote-Group"]',
        "requestheader-extra-headers-prefix": '["X-Extra-"]',
    }
    await trust.stop()
    await registry.close()
    await store.close()


def test_servers_with_other_authorities_add_theirs() -> None:
    held = {"client-ca-file": "ONE\n", "requestheader-allowed-names": '["a"]', "other": "kept"}
    found = merged(held, {"client-ca-file": "TWO\n", "requestheader-allowed-names": '["b", "a"]'})
    assert found["client-ca-file"] == "ONE\nTWO\n"
    assert json.loads(found["requestheader-allowed-names"]) == ["a", "b"]
    assert found["other"] == "kept"
    assert merged(found, {"client-ca-file": "TWO\n"})["client-ca-file"] == "ONE\nTWO\n"
