"""What signers are called. Source: Kubernetes documentation, "Certificates and Certificate Signing Requests"."""

from __future__ import annotations

from kybern.api import names
from kybern.api.field import Errors

_DOMAIN_LENGTH, _PATH_LENGTH = 253, 317


def check_signer(name: str, errors: Errors, path: str = "spec.signerName") -> None:
    """`example.com/some.path`."""
    if not name:
        errors.required(path)
        return
    domain, slash, rest = name.partition("/")
    if not slash or "/" in rest:
        said = "must be a fully qualified domain and path of the form 'example.com/signer-name'"
        errors.invalid(path, name, said)
        return
    if len(domain) > _DOMAIN_LENGTH:
        errors.too_long(path, _DOMAIN_LENGTH)
    labels = domain.split(".")
    for label in labels:
        for problem in names.dns_label(label):
            errors.invalid(path, domain, f'validating label "{label}": {problem}')
    if len(labels) < 2:
        errors.invalid(path, domain, "should be a domain with at least two segments separated by dots")
    for label in rest.split("."):
        for problem in names.dns_subdomain(label):
            errors.invalid(path, rest, f'validating label "{label}": {problem}')
    if len(name) > _DOMAIN_LENGTH + 1 + _PATH_LENGTH:
        errors.too_long(path, _DOMAIN_LENGTH + 1 + _PATH_LENGTH)
