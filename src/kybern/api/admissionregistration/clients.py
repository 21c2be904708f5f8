"""How a webhook is reached: the rules of WebhookClientConfig, which CRDs have too.

Source: API reference, WebhookClientConfig v1 admissionregistration.k8s.io.
"""

from __future__ import annotations

import base64
import binascii
import re
from urllib.parse import urlsplit

from kybern.api import names
from kybern.api.field import Errors
from kybern.api.types import Object

_FORM = "; desired format: https://host[/path]"
_CERTIFICATE = re.compile(rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.S)


def default(client: Object | None) -> None:
    """Fill in the Service's port."""
    service = (client or {}).get("service")
    if isinstance(service, dict):
        service["port"] = service.get("port") or 443


def validate(client: Object, path: str, errors: Errors) -> None:
    """The rules of a clientConfig."""
    url, service = client.get("url"), client.get("service")
    if (url is None) == (service is None):
        errors.required(path, "exactly one of url or service is required")
    elif url is not None:
        _validate_url(url, f"{path}.url", errors)
    elif service is not None:
        _validate_service(service, f"{path}.service", errors)


def validate_bundle(client: Object, path: str, errors: Errors) -> None:
    """A caBundle holds certificates that can be used."""
    bundle = client.get("caBundle")
    if not bundle:
        return
    from cryptography import x509

    try:
        found = _CERTIFICATE.findall(base64.b64decode(bundle))
        for pem in found:
            x509.load_pem_x509_certificate(pem)
        problem = "" if found else "data does not contain any valid RSA or ECDSA certificates"
    except (ValueError, binascii.Error) as error:
        problem = str(error)
    if problem:
        errors.invalid(f"{path}.caBundle", bundle, f"unable to load root certificates: {problem}")


def _validate_url(text: str, path: str, errors: Errors) -> None:
    try:
        url = urlsplit(text)
        url.port  # noqa: B018 - raises where it is none
    except ValueError as error:
        errors.required(path, f"url must be a valid URL: {error}{_FORM}")
        return
    if url.scheme != "https":
        errors.invalid(path, url.scheme, f"'https' is the only allowed URL scheme{_FORM}")
    user, _, host = url.netloc.rpartition("@")
    if not host:
        errors.invalid(path, host, f"host must be provided{_FORM}")
    if user:
        errors.invalid(path, user, "user information is not permitted in the URL")
    if url.fragment:
        errors.invalid(path, url.fragment, "fragments are not permitted in the URL")
    if url.query:
        errors.invalid(path, url.query, "query parameters are not permitted in the URL")


def _validate_service(service: Object, path: str, errors: Errors) -> None:
    for field in ("name", "namespace"):
        if not service.get(field):
            errors.required(f"{path}.{field}", f"service {field} is required")
    port = service.get("port") or 0
    if problems := names.port_number(port):
        errors.invalid(f"{path}.port", port, f"port is not valid: {', '.join(problems)}")
    where = service.get("path")
    if where in (None, "", "/"):
        return
    if where == "//":
        errors.invalid(f"{path}.path", where, "segment[0] may not be empty")
        return
    if not where.startswith("/"):
        errors.invalid(f"{path}.path", where, "must start with a '/'")
    for index, step in enumerate(where[1:].removesuffix("/").split("/")):
        problems = names.dns_subdomain(step) if step else ["may not be empty"]
        for problem in problems:
            between = ": " if step else " "
            errors.invalid(f"{path}.path", where, f"segment[{index}]{between}{problem}")
