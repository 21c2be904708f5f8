"""The one command: `kybern COMPONENT [flags]`. Components are loaded only when asked for."""

from __future__ import annotations

import argparse
import gc
import importlib
import sys
from typing import NoReturn

COMMANDS: dict[str, tuple[str, str]] = {
    "up": ("kybern.cluster.up", "start a cluster on this machine"),
    "down": ("kybern.cluster.down", "stop it and leave nothing behind"),
    "supervise": ("kybern.cluster.supervisor", "keep the processes of a cluster running (`up` starts it)"),
    "status": ("kybern.cluster.status", "show what runs and whether it is well"),
    "doctor": ("kybern.cluster.doctor", "check what this machine has and lacks"),
    "kubeconfig": ("kybern.cluster.kubeconfig", "print the path of the admin kubeconfig, or the file itself"),
    "kubectl": ("kybern.cluster.kubectl", "run the machine's kubectl against this cluster"),
    "init": ("kybern.cluster.bootstrap.init", "make this machine a cluster's first control plane, as pods"),
    "join": ("kybern.cluster.bootstrap.join", "make this machine a node of a cluster that `init` made"),
    "reset": ("kybern.cluster.bootstrap.reset", "undo `init` or `join` on this machine"),
    "certs": ("kybern.cluster.bootstrap.certs", "check and renew the certificates of a control plane of `init`"),
    "token": ("kybern.cluster.token", "make, list and remove the tokens with which nodes join"),
    "node": ("kybern.cluster.node", "add, remove, stop, pause or cut off nodes made with `up --nodes`"),
    "image": ("kybern.cluster.image", "build and load container images"),
    "apiserver": ("kybern.apiserver.command", "run the API server"),
    "store": ("kybern.store.command", "move a cluster's state between a file and etcd"),
    "etcd": ("kybern.store.etcd_command", "look after etcd: snapshots, members, space, alarms"),
    "controller-manager": ("kybern.controllers.command", "run the controllers"),
    "cloud-controller-manager": ("kybern.cloud.command", "run the controllers that talk to a cloud"),
    "scheduler": ("kybern.scheduler.command", "run the scheduler"),
    "kubelet": ("kybern.kubelet.command", "run the node agent"),
    "proxy": ("kybern.proxy.command", "run the service proxy"),
    "network": ("kybern.network.command", "run the agent that keeps the routes between nodes' pods"),
    "dns": ("kybern.dns.command", "run the cluster DNS server"),
}
"""name -> (module with `add_flags(parser)` and `async run(args) -> int | None`, one line of help). A module that hands
arguments on to another program has `arrange(argv)` as well, which sets those apart with a `--`."""


class Parser(argparse.ArgumentParser):
    """Says in one line what is wrong with the flags; `--help` has the rest."""

    def error(self, message: str) -> NoReturn:
        self.exit(1, f"{self.prog}: {message}; `{self.prog} --help` lists what it takes\n")


def usage() -> str:
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {text}" for name, (_, text) in COMMANDS.items()]
    return "usage: kybern COMMAND [flags]\n\n" + "\n".join(lines) + "\n\n`kybern COMMAND --help` lists its flags.\n"


def main(argv: list[str] | None = None) -> int:
    argv = sys.argv[1:] if argv is None else argv
    if not argv or argv[0] in ("-h", "--help", "help"):
        sys.stdout.write(usage())
        return 0 if argv else 1
    name = argv[0]
    if name not in COMMANDS:
        sys.stderr.write(f'kybern: unknown command "{name}"; `kybern --help` lists them\n')
        return 1
    gc.disable()  # what is loaded stays; `launch` begins to collect
    module = importlib.import_module(COMMANDS[name][0])
    parser = Parser(prog=f"kybern {name}", description=COMMANDS[name][1], allow_abbrev=False)
    from kybern.process import logs
    from kybern.process.daemon import launch

    logs.add_flags(parser.add_argument)
    module.add_flags(parser)

    arrange = getattr(module, "arrange", list)
    args = parser.parse_args(arrange(argv[1:]))
    logs.set_up(args)
    return launch(module.run, args)


if __name__ == "__main__":
    sys.exit(main())
