"""What flags and configuration files are made of, as Go's components read them."""

from __future__ import annotations

import argparse
import ipaddress
import re
import ssl

from kybern.process.daemon import OperatorError

_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}
_PART = re.compile(r"(\d+(?:\.\d+)?)(h|ms|us|ns|m|s)")


def boolean(text: str) -> bool:
    """Go's spelling of a flag's truth. Raises ArgumentTypeError."""
    if text.lower() in ("true", "t", "1"):
        return True
    if text.lower() in ("false", "f", "0"):
        return False
    raise argparse.ArgumentTypeError(f'"{text}" is neither true nor false')


def duration(text: str) -> float:
    """Seconds of a Go duration: `40s`, `1m30s`, `500ms`, `0`. Raises ArgumentTypeError."""
    if text == "0":
        return 0.0
    parts = _PART.findall(text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise argparse.ArgumentTypeError(f'"{text}" is not a duration like 40s or 1m30s')
    return sum(float(number) * _UNITS[unit] for number, unit in parts)


def port(text: str) -> int:
    """A port; 0 too, which mostly means none. Raises ArgumentTypeError."""
    if not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f'"{text}" is not a port: a number up to 65535')
    return int(text)


def address(text: str) -> str:
    """An address of IPv4. Raises ArgumentTypeError."""
    try:
        return str(ipaddress.IPv4Address(text))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is no address of IPv4") from error


def network(text: str) -> str:
    """A range of addresses. Raises ArgumentTypeError."""
    try:
        if "/" not in text:
            raise ValueError("it has no /prefix")
        ipaddress.ip_network(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f'"{text}" is not a range like 10.244.0.0/16: {error}') from error
    return text


def server_tls(certificate: str | None, key: str | None, address: str = "127.0.0.1") -> ssl.SSLContext | None:
    """What a listener at `address` serves with. Without a certificate it is one of its own, or None where only this
    machine can connect. Raises OperatorError."""
    if not certificate and _is_loopback(address):
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2  # whatever the machine's OpenSSL is set to
    if not certificate:
        from kybern.process import selfsigned

        selfsigned.load_into(context)
        return context
    try:
        context.load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as error:
        raise OperatorError(f"--tls-cert-file {certificate}: {error}") from error
    return context


def _is_loopback(address: str) -> bool:
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address == "localhost"
