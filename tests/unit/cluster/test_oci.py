"""Image archives: readable by other software's rules, the same bytes for the same content."""

from __future__ import annotations

import hashlib
import json
import tarfile
from pathlib import Path

from kybern.cluster.oci import Layer, write_archive, write_layer


def read(archive: Path, name: str) -> bytes:
    with tarfile.open(archive) as tar:
        member = tar.extractfile(name)
        assert member
        return member.read()


def test_an_archive_is_an_oci_layout(tmp_path: Path) -> None:
    (tmp_path / "program").write_bytes(b"#!/bin/sh\n")
    (tmp_path / "program").chmod(0o755)
    layer = Layer(files={"bin/program": tmp_path / "program"}, texts={"etc/x": b"x"}, links={"bin/p": "program"})
    blob = write_layer(lambda: layer, tmp_path, "stamp")
    target = tmp_path / "image.tar"
    write_archive(target, ["example.test/a:1", "example.test/b:2"], [blob], {"Cmd": ["/bin/program"]})

    assert json.loads(read(target, "oci-layout"))["imageLayoutVersion"] == "1.0.0"
    manifests = json.loads(read(target, "index.json"))["manifests"]
    names = [m["annotations"]["io.containerd.image.name"] for m in manifests]
    assert names == ["example.test/a:1", "example.test/b:2"]
    manifest = json.loads(read(target, "blobs/sha256/" + manifests[0]["digest"].split(":")[1]))
    for descriptor in [manifest["config"], *manifest["layers"], manifests[0]]:
        data = read(target, "blobs/sha256/" + descriptor["digest"].split(":")[1])
        assert hashlib.sha256(data).hexdigest() == descriptor["digest"].split(":")[1]
        assert len(data) == descriptor["size"]
    config = json.loads(read(target, "blobs/sha256/" + manifest["config"]["digest"].split(":")[1]))
    assert config["rootfs"]["diff_ids"] == [manifest["layers"][0]["digest"]]
    assert config["config"] == {"Cmd": ["/bin/program"]}


def test_a_layer_keeps_modes_links_and_times(tmp_path: Path) -> None:
    source = tmp_path / "program"
    source.write_bytes(b"x")
    source.chmod(0o755)
    layer = Layer(files={"a/b/program": source}, links={"a/l": "b/program"}, directories={"tmp": 0o1777})
    with tarfile.open(write_layer(lambda: layer, tmp_path, "s")) as tar:
        found = {member.name: member for member in tar}
    assert list(found) == ["tmp", "a", "a/b", "a/b/program", "a/l"]
    assert (found["tmp"].mode, found["a/b/program"].mode) == (0o1777, 0o755)
    assert found["a/b/program"].mtime == int(source.stat().st_mtime)
    assert found["a/l"].linkname == "b/program"


def test_a_layer_is_made_once_per_stamp(tmp_path: Path) -> None:
    made = []

    def make() -> Layer:
        made.append(1)
        return Layer(texts={"x": b"1"})

    assert write_layer(make, tmp_path, "one") == write_layer(make, tmp_path, "one")
    other = write_layer(make, tmp_path, "two")
    assert len(made) == 2
    assert other.name.split(".")[1] == write_layer(make, tmp_path, "one").name.split(".")[1]
