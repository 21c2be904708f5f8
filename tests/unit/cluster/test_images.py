"""What is in kybern's own image is what its components need."""

from __future__ import annotations

import json
import subprocess
import sys

from kybern.cluster import images

LOAD = """
import importlib, importlib.abc, importlib.metadata, json, pkgutil, sys
there, left_out = map(set, json.loads(sys.argv[1]))
class OnlyThere(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        owners = [owner.lower().replace("_", "-") for owner in known.get(name, [])]
        if name in left_out or owners and not there & set(owners):
            raise ModuleNotFoundError(f"{name} of {owners} is not in the image", name=name)
known = importlib.metadata.packages_distributions()
sys.meta_path.insert(0, OnlyThere())
for part in ("apiserver", "cloud", "controllers", "dns", "network", "proxy", "scheduler", "store"):
    package = importlib.import_module(f"kybern.{part}")
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        if module.name not in ("kybern.cloud.providers.libcloud",):  # an extra
            importlib.import_module(module.name)
importlib.import_module("kybern.cluster.sample_app")
"""


def test_components_load_with_what_is_in_the_image() -> None:
    # dnspython asks the metadata of distributions whether idna is there, which this test can't take away.
    there = ["kybern", "idna", *images._distributions()]
    subprocess.run([sys.executable, "-c", LOAD, json.dumps([there, sorted(images._SKIP)])], check=True)
