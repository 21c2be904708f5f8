"""The rules of a CustomResourceDefinition object.

Source: API reference; Extend the API with CustomResourceDefinitions.
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from kybern.api import names, validation
from kybern.api.admissionregistration import clients
from kybern.api.apiextensions import field_paths, jsonpath, schema_rules
from kybern.api.cells import at
from kybern.api.field import Errors
from kybern.api.types import Object

_COLUMN_TYPES = ("boolean", "date", "integer", "number", "string")
_COLUMN_FORMATS = ("byte", "date", "date-time", "double", "float", "int32", "int64", "password")
_REVIEW_VERSIONS = ("v1", "v1beta1")
_SCOPES = ("Cluster", "Namespaced")
MAX_SELECTABLE = 8
_AT_ROOT = {
    "description": "Description", "type": "Type", "format": "Format", "title": "Title", "maximum": "Maximum",
    "exclusiveMaximum": "ExclusiveMaximum", "minimum": "Minimum", "exclusiveMinimum": "ExclusiveMinimum",
    "maxLength": "MaxLength", "minLength": "MinLength", "pattern": "Pattern", "maxItems": "MaxItems",
    "minItems": "MinItems", "uniqueItems": "UniqueItems", "multipleOf": "MultipleOf", "required": "Required",
    "items": "Items", "properties": "Properties", "externalDocs": "ExternalDocs", "example": "Example",
    "x-kubernetes-preserve-unknown-fields": "XPreserveUnknownFields", "x-kubernetes-validations": "XValidations",
}  # fmt: skip
"""Of a schema's fields those that may be at the root where there is a status subresource, and what errors call them."""
_PROTECTED_GROUP = re.compile(r"(^|\.)(k8s|kubernetes)\.io$")
APPROVED = "api-approved.kubernetes.io"
WHY_APPROVED = "https://github.com/kubernetes/enhancements/pull/1111"


def validate(crd: Object, errors: Errors, old: Object | None = None) -> None:
    """Any write of a CRD. Schemas that are as they were in `old` may cost what they do."""
    spec = crd["spec"]
    group, plural = spec.get("group") or "", at(spec, "names", "plural") or ""
    name = crd["metadata"].get("name") or ""
    if name != f"{plural}.{group}":
        errors.invalid("metadata.name", name, 'must be spec.names.plural+"."+spec.group')
    _check_group(group, errors)
    validation.one_of(spec.get("scope"), _SCOPES, "spec.scope", errors)
    _check_versions(spec, _schemas(old), errors)
    _check_names(spec.get("names") or {}, "spec.names", errors)
    _check_conversion(spec.get("conversion") or {}, errors)
    _check_approval(crd, group, errors)
    if spec.get("preserveUnknownFields"):
        instead = "set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead"
        detail = f"cannot set to true, {instead}"
        errors.invalid("spec.preserveUnknownFields", True, detail)


def validate_update(crd: Object, old: Object, errors: Errors, *, established: bool) -> None:
    """What an established definition keeps, and that no stored version disappears."""
    spec, before = crd["spec"], old["spec"]
    if established:
        for path in ("group", "scope"):
            validation.unchanged(spec.get(path), before.get(path), f"spec.{path}", errors)
        for path in ("kind", "plural"):
            new, was = at(spec, "names", path), at(before, "names", path)
            validation.unchanged(new, was, f"spec.names.{path}", errors)
    validate_stored_versions(crd, errors)


def validate_stored_versions(crd: Object, errors: Errors) -> None:
    """Every version objects may be stored in stays in spec, and the one they are stored in is among them."""
    versions, stored = at(crd, "spec", "versions") or [], at(crd, "status", "storedVersions") or []
    if not stored:
        errors.invalid("status.storedVersions", stored, "must have at least one stored version")
        return
    for version in versions:
        if version.get("storage") and version.get("name") not in stored:
            errors.invalid("status.storedVersions", version, f"must have the storage version {version.get('name')}")
    known = [version.get("name") for version in versions]
    for index, version in enumerate(stored):
        if version not in known:
            detail = (
                f"missing from spec.versions; {version} was previously a storage version, and must remain in "
                f"spec.versions until a storage migration ensures no data remains persisted in {version} and removes "
                f"{version} from status.storedVersions"
            )
            errors.invalid(f"status.storedVersions[{index}]", version, detail)


def _check_group(group: str, errors: Errors) -> None:
    path = "spec.group"
    if not group:
        errors.required(path)
        return
    for problem in names.dns_subdomain(group):
        errors.invalid(path, group, problem)
    if "." not in group:
        errors.invalid(path, group, "should be a domain with at least one dot")


def _schemas(crd: Object | None) -> dict[str, Object]:
    """version -> its schema."""
    versions = at(crd, "spec", "versions") or ()
    return {version["name"]: at(version, "schema", "openAPIV3Schema") for version in versions if version.get("name")}


def _check_versions(spec: Object, before: dict[str, Object], errors: Errors) -> None:
    path, versions = "spec.versions", spec.get("versions") or []
    stored = [version for version in versions if version.get("storage")]
    seen: set[str] = set()
    for index, version in enumerate(versions):
        _check_version(version, before, f"{path}[{index}]", errors)
        if version.get("name") in seen:
            errors.invalid(path, _names_of(versions), "must contain unique version names")
        seen.add(version.get("name") or "")
    if len(stored) != 1:
        errors.invalid(path, versions, "must have exactly one version marked as storage version")
    if not versions:
        errors.required(path, "must have at least one version")


def _names_of(versions: list[Object]) -> list[str]:
    return [version.get("name") or "" for version in versions]


def _check_version(version: Object, before: dict[str, Object], path: str, errors: Errors) -> None:
    name = version.get("name") or ""
    for problem in names.dns1035_label(name):
        errors.invalid(f"{path}.name", name, problem)
    warning = version.get("deprecationWarning")
    if warning is not None:
        for problem in _warning_problems(warning, bool(version.get("deprecated"))):
            errors.invalid(f"{path}.deprecationWarning", warning, problem)
    schema = at(version, "schema", "openAPIV3Schema")
    if schema is None:
        errors.required(f"{path}.schema.openAPIV3Schema", "schemas are required")
    else:
        if "status" in (version.get("subresources") or {}):
            _check_root(schema, f"{path}.schema.openAPIV3Schema", errors)
        schema_rules.check(schema, f"{path}.schema.openAPIV3Schema", errors, unchanged=before.get(name) == schema)
    for index, column in enumerate(version.get("additionalPrinterColumns") or []):
        _check_column(column, f"{path}.additionalPrinterColumns[{index}]", errors)
    _check_subresources(version.get("subresources") or {}, f"{path}.subresources", errors)
    _check_all_selectable(version.get("selectableFields") or [], schema, f"{path}.selectableFields", errors)


def _check_column(column: Object, path: str, errors: Errors) -> None:
    if not column.get("name"):
        errors.required(f"{path}.name")
    if not column.get("type"):
        errors.required(f"{path}.type", f"must be one of {','.join(_COLUMN_TYPES)}")
    elif column["type"] not in _COLUMN_TYPES:
        errors.invalid(f"{path}.type", column["type"], f"must be one of {','.join(_COLUMN_TYPES)}")
    if column.get("format") and column["format"] not in _COLUMN_FORMATS:
        errors.invalid(f"{path}.format", column["format"], f"must be one of {','.join(_COLUMN_FORMATS)}")
    if not column.get("jsonPath"):
        errors.required(f"{path}.JSONPath")
    else:
        _check_path(column["jsonPath"], f"{path}.JSONPath", errors)


def _check_path(path_text: str, path: str, errors: Errors) -> None:
    if not path_text.startswith("."):
        errors.invalid(path, path_text, "must be a simple json path starting with .")
        return
    try:
        jsonpath.compiled(path_text)
    except jsonpath.PathError as error:
        errors.invalid(path, path_text, f"is an invalid JSON path: {error}")


def _check_subresources(subresources: Object, path: str, errors: Errors) -> None:
    scale = subresources.get("scale")
    if scale is None:
        return
    for key, root in (("specReplicasPath", ".spec."), ("statusReplicasPath", ".status.")):
        value = scale.get(key) or ""
        if not value:
            errors.required(f"{path}.scale.{key}")
        elif not value.startswith(root) or "[" in value:
            errors.invalid(f"{path}.scale.{key}", value, f"should be a json path under {root[:-1]}")
    label = scale.get("labelSelectorPath")
    if label and not (label.startswith((".spec.", ".status."))):
        errors.invalid(f"{path}.scale.labelSelectorPath", label, "should be a json path under either .spec or .status")


def _check_all_selectable(fields: list[Object], schema: Object | None, path: str, errors: Errors) -> None:
    if fields and schema is None:
        detail = "selectableFields may only be set when version.schema.openAPIV3Schema is not included"
        errors.invalid(path, "", detail)
        return
    seen: set[str] = set()
    for index, selectable in enumerate(fields):
        where, text = f"{path}[{index}].jsonPath", selectable.get("jsonPath") or ""
        if not text:
            errors.required(where)
            continue
        try:
            shown, found = field_paths.resolve(text, schema or {}, brackets=False)
        except field_paths.PathInvalid as error:
            errors.invalid(where, text, f"is an invalid path: {error}")
            continue
        if shown == ".metadata" or shown.startswith(".metadata."):
            errors.invalid(where, text, "must not point to fields in metadata")
        if found.get("type") not in ("boolean", "integer", "string"):
            detail = "must point to a field of type string, boolean or integer. "
            errors.invalid(where, text, detail + "Enum string fields and strings with formats are allowed.")
        if shown in seen:
            errors.duplicate(where, text)
        seen.add(shown)
    if len(seen) > MAX_SELECTABLE:
        errors.too_many(path, len(seen), MAX_SELECTABLE)


def _warning_problems(warning: str, deprecated: bool) -> list[str]:
    """What is wrong with a deprecationWarning."""
    found = [] if deprecated else ["can only be set for deprecated versions"]
    if len(warning.encode()) > 256:
        found.append("must be <= 256 characters long")
    if not warning:
        found.append("must not be an empty string")
    for index, char in enumerate(warning):
        if not char.isprintable():
            detail = "must only contain printable UTF-8 characters; non-printable character found at index"
            return [*found, f"{detail} {len(warning[:index].encode())}"]
    return found


def _check_root(schema: Object, path: str, errors: Errors) -> None:
    """The status of objects is validated by itself, so only what survives that may be said at the root."""
    if schema.get("type") not in (None, "", "object"):
        detail = 'only "object" is allowed as the type at the root of the schema if the status subresource is enabled'
        errors.invalid(f"{path}.type", schema["type"], detail)
    elif any(schema[key] not in (None, "", False) for key in schema.keys() - _AT_ROOT.keys()):
        allowed = f"[{' '.join(_AT_ROOT.values())}]"
        detail = f"only {allowed} fields are allowed at the root of the schema if the status subresource is enabled"
        errors.invalid(path, schema, detail)


def _check_names(found: Object, path: str, errors: Errors) -> None:
    for key in ("plural", "singular", "kind", "listKind"):
        value = found.get(key) or ""
        if not value and key != "singular":
            errors.required(f"{path}.{key}")
            continue
        for problem in names.dns1035_label(value.lower()) if value else []:
            mixed = "may have mixed case, but should otherwise match: " if key in ("kind", "listKind") else ""
            errors.invalid(f"{path}.{key}", value, mixed + problem)
        if value != value.lower() and key in ("plural", "singular"):
            errors.invalid(f"{path}.{key}", value, names.dns1035_label(value)[0])
    if found.get("kind") and found.get("kind") == found.get("listKind"):
        errors.invalid(f"{path}.listKind", found["listKind"], "kind and listKind may not be the same")
    for key in ("shortNames", "categories"):
        for index, value in enumerate(found.get(key) or []):
            for problem in names.dns1035_label(value):
                errors.invalid(f"{path}.{key}[{index}]", value, problem)


def _check_conversion(conversion: Object, errors: Errors) -> None:
    path, strategy, webhook = "spec.conversion", conversion.get("strategy"), conversion.get("webhook")
    validation.one_of(strategy, ("None", "Webhook"), f"{path}.strategy", errors)
    if strategy == "None" and webhook is not None:
        errors.forbidden(path, "should not be set when strategy is not set to Webhook")
    if strategy != "Webhook":
        return
    client = at(webhook, "clientConfig")
    if client is None:
        errors.required(f"{path}.webhook.clientConfig", "required when strategy is set to Webhook")
    else:
        clients.validate(client, f"{path}.webhook.clientConfig", errors)
        clients.validate_bundle(client, f"{path}.webhook.clientConfig", errors)
    versions = at(webhook, "conversionReviewVersions") or []
    _check_review_versions(versions, f"{path}.webhook.conversionReviewVersions", errors)


def _check_review_versions(versions: list[str], path: str, errors: Errors) -> None:
    if not versions:
        errors.required(path)
        return
    for index, version in enumerate(versions):
        if version in versions[:index]:
            errors.invalid(f"{path}[{index}]", version, "duplicate version")
            continue
        for problem in names.dns1035_label(version):
            errors.invalid(f"{path}[{index}]", version, problem)
    if not set(versions) & set(_REVIEW_VERSIONS):
        errors.invalid(path, versions, f"must include at least one of {', '.join(_REVIEW_VERSIONS)}")


def is_protected(group: str) -> bool:
    """Whether a group is the community's own."""
    return bool(_PROTECTED_GROUP.search(group))


def is_approval(text: str) -> bool:
    """Whether the annotation says where an API was approved."""
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    return bool(parts.scheme and parts.netloc)


def _check_approval(crd: Object, group: str, errors: Errors) -> None:
    if not is_protected(group):
        return
    approval = at(crd, "metadata", "annotations", APPROVED) or ""
    if not approval:
        detail = f'protected groups must have approval annotation "{APPROVED}", see '
        errors.required(f"metadata.annotations[{APPROVED}]", f"{detail}{WHY_APPROVED}")
    elif not approval.startswith("unapproved") and not is_approval(approval):
        detail = f'protected groups must have approval annotation "{APPROVED}" with either a URL or a reason starting '
        detail += 'with "unapproved", see '
        errors.invalid(f"metadata.annotations[{APPROVED}]", approval, f"{detail}{WHY_APPROVED}")
