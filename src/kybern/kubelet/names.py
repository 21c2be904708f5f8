"""Name resolution inside a pod: its hostname, /etc/hosts and resolv.conf."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from kybern.api.types import Object
from kybern.kubelet.runtime._generated import cri_pb2 as cri

_MAX_SERVERS, _MAX_SEARCHES = 3, 32
_HEADER = "# Kubernetes-managed hosts file.\n"
_HOST_HEADER = "# Kubernetes-managed hosts file (host network).\n"
_LOCAL = (
    "127.0.0.1\tlocalhost\n"
    "::1\tlocalhost ip6-localhost ip6-loopback\n"
    "fe00::0\tip6-localnet\n"
    "fe00::0\tip6-mcastprefix\n"
    "fe00::1\tip6-allnodes\n"
    "fe00::2\tip6-allrouters\n"
)


@dataclass(frozen=True, slots=True)
class Resolver:
    """The content of a resolv.conf."""

    servers: tuple[str, ...] = ()
    searches: tuple[str, ...] = ()
    options: tuple[str, ...] = ()


def read_resolver(path: str = "/etc/resolv.conf") -> Resolver:
    """The host's resolver configuration; an empty one if there is no file."""
    servers: list[str] = []
    searches: list[str] = []
    options: list[str] = []
    try:
        lines = Path(path).read_text().splitlines()
    except OSError:
        return Resolver()
    for line in lines:
        words = line.split("#")[0].split(";")[0].split()
        if len(words) < 2:
            continue
        match words[0]:
            case "nameserver":
                servers.append(words[1])
            case "search" | "domain":
                searches = words[1:]
            case "options":
                options = words[1:]
    return Resolver(tuple(servers), tuple(searches), tuple(options))


@dataclass(frozen=True, slots=True)
class Names:
    """The cluster's naming, from flags."""

    cluster_dns: tuple[str, ...] = ()
    cluster_domain: str = "cluster.local"
    host: Resolver = field(default_factory=Resolver)

    def hostname(self, pod: Object) -> str:
        """At most 63 characters, as the kernel's limit is 64."""
        name: str = pod["spec"].get("hostname") or pod["metadata"]["name"]
        return name[:63].rstrip("-.")

    def domain(self, pod: Object) -> str:
        """The pod's domain; empty without a subdomain."""
        subdomain = pod["spec"].get("subdomain")
        return f"{subdomain}.{pod['metadata']['namespace']}.svc.{self.cluster_domain}" if subdomain else ""

    def resolver(self, pod: Object) -> Resolver:
        """What the pod's /etc/resolv.conf says."""
        spec = pod["spec"]
        policy, namespace = spec.get("dnsPolicy") or "ClusterFirst", pod["metadata"]["namespace"]
        cluster = policy == "ClusterFirstWithHostNet" or (policy == "ClusterFirst" and not spec.get("hostNetwork"))
        if policy == "None":
            base = Resolver()
        elif cluster and self.cluster_dns:
            domain = self.cluster_domain
            searches = (f"{namespace}.svc.{domain}", f"svc.{domain}", domain, *self.host.searches)
            base = Resolver(self.cluster_dns, searches if domain else self.host.searches, ("ndots:5",))
        else:
            base = self.host
        return _merge(base, spec.get("dnsConfig") or {})

    def dns_config(self, pod: Object) -> cri.DNSConfig:
        found = self.resolver(pod)
        return cri.DNSConfig(servers=found.servers, searches=found.searches, options=found.options)

    def hosts(self, pod: Object, ips: Sequence[str]) -> str:
        """The content of the pod's /etc/hosts."""
        if pod["spec"].get("hostNetwork"):
            try:
                text = _HOST_HEADER + Path("/etc/hosts").read_text()
            except OSError:
                text = _HOST_HEADER + _LOCAL
        else:
            name, domain = self.hostname(pod), self.domain(pod)
            own = f"{name}.{domain}\t{name}" if domain else name
            text = _HEADER + _LOCAL + "".join(f"{ip}\t{own}\n" for ip in ips)
        aliases = pod["spec"].get("hostAliases") or []
        if aliases:
            text += "\n# Entries added by HostAliases.\n"
            text += "".join("\t".join([alias["ip"], *(alias.get("hostnames") or [])]) + "\n" for alias in aliases)
        return text


def _merge(base: Resolver, extra: Object) -> Resolver:
    servers = dict.fromkeys([*base.servers, *(extra.get("nameservers") or [])])
    searches = dict.fromkeys([*base.searches, *(extra.get("searches") or [])])
    options = dict(_option(text) for text in base.options)
    for option in extra.get("options") or []:
        options[option["name"]] = option.get("value") or ""
    texts = tuple(f"{name}:{value}" if value else name for name, value in options.items())
    return Resolver(tuple(servers)[:_MAX_SERVERS], tuple(searches)[:_MAX_SEARCHES], texts)


def _option(text: str) -> tuple[str, str]:
    name, _, value = text.partition(":")
    return name, value
