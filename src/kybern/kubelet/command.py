"""`kybern kubelet`: flags with upstream's names, a KubeletConfiguration file, and the kubelet made of them."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from kybern.client import kubeconfig
from kybern.client.rest import Client
from kybern.kubelet import config_file, settings
from kybern.kubelet.config import Config
from kybern.kubelet.kubelet import Kubelet
from kybern.process import features
from kybern.process.daemon import OperatorError, run_until_signalled
from kybern.process.zpages import flags_of


@dataclass(frozen=True, slots=True)
class Flag:
    """A flag, the setting it gives, and how its value is written."""

    name: str
    setting: str
    parse: Callable[[str], Any]
    metavar: str
    help: str


FLAGS = (
    Flag("kubeconfig", "kubeconfig", str, "FILE", "the API server and who we are; without it only manifests count"),
    Flag("bootstrap-kubeconfig", "bootstrap_kubeconfig", str, "FILE",
         "with what to ask for a client certificate, where --kubeconfig has none; it is written then"),
    Flag("rotate-certificates", "rotate_certificates", settings.boolean, "BOOL",
         "ask for a new client certificate before the old one expires (default false)"),
    Flag("rotate-server-certificates", "rotate_server_certificates", settings.boolean, "BOOL",
         "listen with certificates asked for from the cluster (default false)"),
    Flag("container-runtime-endpoint", "runtime_endpoint", str, "URL",
         "the runtime's socket (default unix:///run/containerd/containerd.sock)"),
    Flag("hostname-override", "hostname_override", str, "NAME", "the node's name (default: the machine's)"),
    Flag("node-ip", "node_ips", settings.words, "IP", "the node's address; one of each family, comma separated"),
    Flag("node-labels", "node_labels", settings.pairs, "K=V,...", "labels to register the node with"),
    Flag("register-with-taints", "node_taints", settings.taints, "K=V:EFFECT,...", "taints to register the node with"),
    Flag("register-node", "register_node", settings.boolean, "BOOL", "register the node (default true)"),
    Flag("cloud-provider", "cloud_provider", settings.cloud, "external",
         "leave the node to a cloud controller manager; empty for none"),
    Flag("provider-id", "provider_id", str, "ID", "what the cloud provider calls this machine"),
    Flag("address", "address", str, "IP", "where to listen (default 0.0.0.0)"),
    Flag("port", "port", int, "PORT", "the secure port (default 10250)"),
    Flag("read-only-port", "read_only_port", int, "0", "must be 0"),
    Flag("healthz-bind-address", "healthz_address", str, "IP", "where to answer /healthz (default 127.0.0.1)"),
    Flag("healthz-port", "healthz_port", int, "PORT", "its port; 0 for none (default 10248)"),
    Flag("client-ca-file", "client_ca_file", str, "FILE", "who signs the certificates of clients"),
    Flag("tls-cert-file", "tls_cert_file", str, "FILE", "our certificate; without one it is made in --cert-dir"),
    Flag("tls-private-key-file", "tls_key_file", str, "FILE", "its key"),
    Flag("cert-dir", "cert_dir", str, "DIR", "where a made certificate is kept (default ROOT-DIR/pki)"),
    Flag("anonymous-auth", "anonymous_auth", settings.boolean, "BOOL", "let in who says nothing (default true)"),
    Flag("authentication-token-webhook", "token_webhook", settings.boolean, "BOOL",
         "ask the API server about tokens (default false)"),
    Flag("authorization-mode", "authorization_mode", str, "MODE", "AlwaysAllow (default) or Webhook"),
    Flag("root-dir", "root_dir", str, "DIR", "where pods and volumes are kept (default /var/lib/kubelet)"),
    Flag("pod-log-dir", "pod_log_dir", str, "DIR", "where containers' logs are kept (default /var/log/pods)"),
    Flag("pod-manifest-path", "manifest_path", str, "PATH", "static pods: a directory of manifests, or one file"),
    Flag("manifest-url", "manifest_url", str, "URL", "static pods from a server"),
    Flag("manifest-url-header", "manifest_url_headers", settings.headers, "NAME:VALUE,...", "headers to ask it with"),
    Flag("http-check-frequency", "http_check_period", settings.seconds, "TIME", "how often to ask --manifest-url"),
    Flag("sync-frequency", "sync_period", settings.seconds, "TIME", "how often each pod is looked at (default 1m)"),
    Flag("cni-conf-dir", "cni_conf_dir", str, "DIR", "where to write the CNI configuration; without it another does"),
    Flag("cni-mtu", "cni_mtu", int, "BYTES",
         "size of pods' packets, 50 less than the nodes' where VXLAN joins them; with --cni-conf-dir"),
    Flag("non-masquerade-cidr", "non_masquerade_cidrs", settings.words, "CIDR,...",
         "where pods go by their own addresses; with --cni-conf-dir (default 10.0.0.0/8)"),
    Flag("pod-cidr", "pod_cidr", str, "CIDR", "addresses of pods; only without --kubeconfig"),
    Flag("cluster-dns", "cluster_dns", settings.words, "IP,...", "name servers of pods"),
    Flag("cluster-domain", "cluster_domain", str, "NAME", "the cluster's zone (default cluster.local)"),
    Flag("resolv-conf", "resolv_conf", str, "FILE", "what pods resolve other names with (default /etc/resolv.conf)"),
    Flag("cgroup-driver", "cgroup_driver", str, "cgroupfs", "must be cgroupfs"),
    Flag("cgroup-root", "cgroup_root", str, "PATH", "the group to put pods' groups in"),
    Flag("cgroups-per-qos", "cgroups_per_qos", settings.boolean, "BOOL", "a group per pod (default true)"),
    Flag("max-pods", "max_pods", int, "COUNT", "how many pods may be here (default 110)"),
    Flag("system-reserved", "system_reserved", settings.quantities, "R=Q,...", "what the system needs"),
    Flag("kube-reserved", "kube_reserved", settings.quantities, "R=Q,...", "what the node's daemons need"),
    Flag("eviction-hard", "eviction", settings.eviction, "S<Q,...",
         "below what memory or disk is under pressure (default memory.available<100Mi,nodefs.available<10%%)"),
    Flag("container-log-max-files", "container_log_max_files", int, "COUNT", "logs kept per container (default 5)"),
    Flag("node-status-update-frequency", "status_period", settings.seconds, "TIME",
         "how often to look for changes (default 10s)"),
    Flag("seccomp-default", "seccomp_default", settings.boolean, "BOOL", "RuntimeDefault where a pod doesn't say"),
    Flag("fail-swap-on", "fail_swap_on", settings.boolean, "BOOL", "refuse to start while swap is on (default true)"),
)  # fmt: skip


_GATES = ("ComponentFlagz", "ComponentStatusz")
"""The feature gates that are heeded here."""


def add_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--config", default="", metavar="FILE", help="a KubeletConfiguration; flags go before it")
    features.add_flag(parser)
    for flag in FLAGS:
        bare: dict[str, Any] = {"nargs": "?", "const": "true"} if flag.parse is settings.boolean else {}
        parser.add_argument(f"--{flag.name}", metavar=flag.metavar, help=flag.help, **bare)


async def run(args: argparse.Namespace) -> None:
    """Run until a signal. Raises OperatorError."""
    config = configure(args)
    if os.geteuid():
        raise OperatorError("the kubelet mounts volumes and makes cgroups for pods: run it as root")
    try:
        await run_until_signalled(serve(config))
    except* OperatorError as errors:
        raise errors.exceptions[0] from None


async def serve(config: Config) -> None:
    """Get a client certificate if there is none, then be a kubelet until cancelled. Raises OperatorError."""
    if config.bootstrap_kubeconfig:
        from kybern.kubelet import certificates

        await certificates.bootstrap(config)
    client = connect(config)
    try:
        await Kubelet(config, client).run()
    finally:
        if client:
            await client.close()


def configure(args: argparse.Namespace) -> Config:
    """Flags over the file over defaults. Raises OperatorError."""
    given: dict[str, Any] = config_file.read(args.config) if args.config else {}
    for flag in FLAGS:
        text = getattr(args, flag.name.replace("-", "_"))
        if text is None:
            continue
        try:
            value = flag.parse(text)
        except ValueError as error:
            raise OperatorError(f"--{flag.name}: {error}") from None
        given |= value if flag.setting == "eviction" else {flag.setting: value}
    features.start(args.feature_gates, _GATES, file=given.pop("feature_gates", None), prefixed=False)
    if given.get("authorization_mode", "AlwaysAllow") not in ("AlwaysAllow", "Webhook"):
        raise OperatorError(f"--authorization-mode {given['authorization_mode']} is neither AlwaysAllow nor Webhook")
    if given.get("bootstrap_kubeconfig") and not given.get("kubeconfig"):
        raise OperatorError("--bootstrap-kubeconfig needs --kubeconfig: where to write what it gets")
    return settings.to_config(given | {"flags": flags_of(args)})


def connect(config: Config) -> Client | None:
    """The client of the kubeconfig; None without one. Raises OperatorError for one that can't work."""
    if not config.kubeconfig:
        return None
    found = kubeconfig.load(config.kubeconfig)
    if config.rotate_certificates:
        from kybern.kubelet import certificates

        try:
            found = certificates.adopt(config, found)
        except OSError as error:
            raise OperatorError(f"can't keep certificates in --cert-dir {config.cert_dir}: {error.strerror}") from error
    return kubeconfig.connect(found, "kubelet")
