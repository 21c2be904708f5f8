"""Rules of projected and downward API volumes, and of the items and modes that file-like volumes share.

Source: API reference, ProjectedVolumeSource v1, DownwardAPIVolumeSource v1; KEP-3257 (trust bundles), KEP-4317 (pod
certificates).
"""

from __future__ import annotations

from kybern.api import names, selectors
from kybern.api.core.env_validation import validate_field_ref, validate_resource_ref
from kybern.api.core.podspec_checks import all_set, follows, unreserved
from kybern.api.field import Errors
from kybern.api.types import Object

_FIELDS = ("metadata.annotations", "metadata.labels", "metadata.name", "metadata.namespace", "metadata.uid")
_KINDS = ("secret", "configMap", "downwardAPI", "serviceAccountToken", "clusterTrustBundle", "podCertificate")
_CERTIFICATE_PATHS = ("credentialBundlePath", "keyPath", "certificateChainPath")
_KEY_TYPES = ("ECDSAP256", "ECDSAP384", "ECDSAP521", "ED25519", "RSA3072", "RSA4096")
_TOKEN_SECONDS = (10 * 60, 2**32)
_CERTIFICATE_SECONDS = 3600
_LONGEST_CERTIFICATE, _LONGEST_BUILT_IN_CERTIFICATE = 91 * 86400, 86400
_BUILT_IN_SIGNERS = "kubernetes.io/"
_MODE = 0o777


def validate_mode(mode: int | None, path: str, errors: Errors) -> None:
    """A file mode, or absent."""
    if mode is not None and not 0 <= mode <= _MODE:
        errors.invalid(path, mode, "must be a number between 0 and 0777 (octal), both inclusive")


def validate_items(source: Object, path: str, errors: Errors) -> None:
    """`items` of a secret or config map: keys and the files they become."""
    for index, item in enumerate(source.get("items") or ()):
        here = f"{path}.items[{index}]"
        all_set(item, ("key", "path"), here, errors)
        unreserved(item.get("path") or "", f"{here}.path", errors)
        validate_mode(item.get("mode"), f"{here}.mode", errors)


def validate_downward(source: Object, path: str, errors: Errors) -> None:
    """A downward API volume."""
    validate_mode(source.get("defaultMode"), f"{path}.defaultMode", errors)
    for item in source.get("items") or ():
        _downward_file(item, path, errors)


def validate_projected(source: Object, path: str, errors: Errors) -> None:
    """A projected volume: several sources whose files may not collide."""
    validate_mode(source.get("defaultMode"), f"{path}.defaultMode", errors)
    taken: set[str] = set()
    for index, projection in enumerate(source.get("sources") or ()):
        here = f"{path}.sources[{index}]"
        given = [kind for kind in _KINDS if projection.get(kind) is not None]
        for kind in given:
            _projection(kind, projection[kind], path, here, taken, errors)
        if len(given) > 1:
            errors.forbidden(here, "may not specify more than 1 volume type per source")


def _projection(kind: str, source: Object, path: str, here: str, taken: set[str], errors: Errors) -> None:
    """`path` is the volume's, `here` the source's: upstream reports some problems at the former."""
    place = f"{here}.{kind}"
    if kind in ("secret", "configMap"):
        all_set(source, ("name",), place, errors)
        validate_items(source, place, errors)
        for item in source.get("items") or ():
            _take(item.get("path"), taken, path, errors, source.get("name") or "")
    elif kind == "downwardAPI":
        for item in source.get("items") or ():
            _downward_file(item, place, errors)
            _take(item.get("path"), taken, path, errors)
    elif kind == "serviceAccountToken":
        _token(source, path, place, errors)
    elif kind == "clusterTrustBundle":
        _trust_bundle(source, place, errors)
        _take(source.get("path"), taken, path, errors)
    else:
        _certificate(source, place, errors)
        for key in _CERTIFICATE_PATHS:
            _take(source.get(key), taken, path, errors)


def _take(file: str | None, taken: set[str], path: str, errors: Errors, shown: str | None = None) -> None:
    if file in taken:
        errors.invalid(path, file if shown is None else shown, "conflicting duplicate paths")
    elif file:
        taken.add(file)


def _downward_file(item: Object, path: str, errors: Errors) -> None:
    all_set(item, ("path",), path, errors)
    unreserved(item.get("path") or "", f"{path}.path", errors)
    field, resource = item.get("fieldRef"), item.get("resourceFieldRef")
    if field is not None:
        validate_field_ref(field, _FIELDS, f"{path}.fieldRef", errors)
        if resource is not None:
            detail = "fieldRef and resourceFieldRef can not be specified simultaneously"
            errors.invalid(path, "resource", detail)
    elif resource is not None:
        validate_resource_ref(resource, f"{path}.resourceFieldRef", errors, volume=True)
    else:
        errors.required(path, "one of fieldRef and resourceFieldRef is required")
    validate_mode(item.get("mode"), f"{path}.mode", errors)


def _token(source: Object, path: str, place: str, errors: Errors) -> None:
    seconds, (shortest, longest) = source.get("expirationSeconds") or 0, _TOKEN_SECONDS
    if seconds < shortest:
        errors.invalid(f"{place}.expirationSeconds", seconds, "may not specify a duration less than 10 minutes")
    if seconds > longest:
        detail = "may not specify a duration larger than 2^32 seconds"
        errors.invalid(f"{place}.expirationSeconds", seconds, detail)
    if source.get("path"):
        unreserved(source["path"], f"{path}.path", errors)
    else:
        errors.required(f"{path}.path")


def _trust_bundle(source: Object, place: str, errors: Errors) -> None:
    name, signer, selector = source.get("name"), source.get("signerName"), source.get("labelSelector")
    if name is not None and signer is not None:
        errors.invalid(place, source, "only one of name and signerName may be used")
    elif name is not None:
        if not name:
            errors.required(f"{place}.name", "must be a valid object name")
        for problem in _bundle_name(name):
            errors.invalid(f"{place}.name", name, f"not a valid clustertrustbundlename: {problem}")
        if selector is not None:
            errors.invalid(f"{place}.labelSelector", selector, "labelSelector must be unset if name is specified")
    elif signer is not None:
        if not signer:
            errors.required(f"{place}.signerName", "must be a valid signer name")
        follows(_signer_name, signer, f"{place}.signerName", errors)
        selectors.validate_object(selector, f"{place}.labelSelector", errors)
    else:
        errors.required(place, "either name or signerName must be specified")
    all_set(source, ("path",), place, errors)
    unreserved(source.get("path") or "", f"{place}.path", errors)


def _bundle_name(name: str) -> list[str]:
    """`example.com:signer:name` where there is a signer, else a plain name."""
    return names.dns_subdomain(name.rpartition(":")[2])


def _signer_name(name: str) -> list[str]:
    domain, separator, last = name.partition("/")
    if not separator or "/" in last or not last or "." not in domain:
        return ["must be a fully qualified domain and path of the form 'example.com/signer-name'"]
    return [*names.dns_subdomain(domain), *names.dns_subdomain(last)]


def _certificate(source: Object, place: str, errors: Errors) -> None:
    signer, seconds = source.get("signerName") or "", source.get("maxExpirationSeconds")
    follows(_signer_name, signer, f"{place}.signerName", errors)
    if source.get("keyType") not in _KEY_TYPES:
        errors.unsupported(f"{place}.keyType", source.get("keyType") or "", _KEY_TYPES)
    if seconds is not None:
        longest = _LONGEST_BUILT_IN_CERTIFICATE if signer.startswith(_BUILT_IN_SIGNERS) else _LONGEST_CERTIFICATE
        if seconds < _CERTIFICATE_SECONDS:
            detail = "if provided, maxExpirationSeconds must be >= 3600"
            errors.invalid(f"{place}.maxExpirationSeconds", seconds, detail)
        if seconds > longest:
            detail = f"if provided, maxExpirationSeconds must be <= {longest}"
            errors.invalid(f"{place}.maxExpirationSeconds", seconds, detail)
    given = [key for key in _CERTIFICATE_PATHS if source.get(key)]
    for key in given:
        unreserved(source[key], f"{place}.{key}", errors)
    if not given:
        detail = "specify at least one of credentialBundlePath, keyPath, and certificateChainPath"
        errors.required(place, detail)
