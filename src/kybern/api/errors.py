"""The error tree of the API, in wire terms: each error knows its HTTP code, Status reason and details.

    APIError
    ├── BadRequest 400          ├── AlreadyExists 409      ├── Invalid 422 (causes)
    ├── Unauthorized 401        ├── Conflict 409           ├── TooManyRequests 429 (retry after)
    ├── Forbidden 403           ├── Expired 410            ├── InternalError 500
    ├── NotFound 404            ├── Gone 410               ├── ServiceUnavailable 503
    ├── MethodNotSupported 405  ├── RequestTooLarge 413    └── Timeout 504 (ServerTimeout: retry after)
    ├── NotAcceptable 406       ├── UnsupportedMediaType 415
    └── Unclassified 500

Servers raise them; clients get the same classes back through `from_status`.
Source: API reference, Status v1 meta; the message shapes are upstream's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kybern.api.types import Object


class APIError(Exception):
    """An error with a Status body. `details` is StatusDetails: name, group, kind, uid, causes, retryAfterSeconds."""

    code = 500
    reason = "InternalError"

    def __init__(self, message: str, *, details: Object | None = None, code: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.details = details
        if code is not None:
            self.code = code

    @property
    def retry_after(self) -> int | None:
        """Seconds the server asked to wait, if it did."""
        return (self.details or {}).get("retryAfterSeconds")

    def status(self) -> Object:
        """The Status object that goes on the wire."""
        body: Object = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure"}
        body["message"] = self.message
        if self.reason:
            body["reason"] = self.reason
        if self.details is not None:
            body["details"] = self.details
        body["code"] = self.code
        return body


def qualified(resource: str, group: str) -> str:
    """`deployments.apps`, or `pods` in the core group: how messages name a resource."""
    return f"{resource}.{group}" if group else resource


def _details(resource: str, group: str, name: str) -> Object:
    details: Object = {}
    if name:
        details["name"] = name
    if group:
        details["group"] = group
    if resource:
        details["kind"] = resource
    return details


class BadRequest(APIError):
    code, reason = 400, "BadRequest"


class Unauthorized(APIError):
    code, reason = 401, "Unauthorized"

    def __init__(self, message: str = "Unauthorized", **kw: Any) -> None:
        super().__init__(message, **kw)


class Forbidden(APIError):
    code, reason = 403, "Forbidden"

    @classmethod
    def on(cls, resource: str, group: str, name: str, why: str) -> Forbidden:
        """`pods "x" is forbidden: why`."""
        target = qualified(resource, group)
        quoted = f' "{name}"' if name else ""
        return cls(f"{target}{quoted} is forbidden: {why}", details=_details(resource, group, name))


class NotFound(APIError):
    code, reason = 404, "NotFound"

    @classmethod
    def of(cls, resource: str, group: str, name: str) -> NotFound:
        return cls(f'{qualified(resource, group)} "{name}" not found', details=_details(resource, group, name))


class MethodNotSupported(APIError):
    code, reason = 405, "MethodNotAllowed"


class NotAcceptable(APIError):
    code, reason = 406, "NotAcceptable"


class AlreadyExists(APIError):
    code, reason = 409, "AlreadyExists"

    @classmethod
    def of(cls, resource: str, group: str, name: str, *, going: bool = False) -> AlreadyExists:
        """`going`: it is being deleted."""
        said = "object is being deleted: " if going else ""
        text = f'{said}{qualified(resource, group)} "{name}" already exists'
        return cls(text, details=_details(resource, group, name))


class Conflict(APIError):
    code, reason = 409, "Conflict"

    @classmethod
    def of(cls, resource: str, group: str, name: str, why: str) -> Conflict:
        message = f'Operation cannot be fulfilled on {qualified(resource, group)} "{name}": {why}'
        return cls(message, details=_details(resource, group, name))

    @classmethod
    def other_uid(cls, resource: str, group: str, name: str, key: str, wanted: str, has: str = "") -> Conflict:
        """What is stored under `key` isn't the object that the client means."""
        return cls.of(
            resource, group, name,
            f"StorageError: invalid object, Code: 4, Key: {key}, ResourceVersion: 0, AdditionalErrorMsg: "
            f"Precondition failed: UID in precondition: {wanted}, UID in object meta: {has}",
        )  # fmt: skip

    @classmethod
    def stale(cls, resource: str, group: str, name: str) -> Conflict:
        """The optimistic lock failed."""
        return cls.of(resource, group, name, STALE)


STALE = "the object has been modified; please apply your changes to the latest version and try again"


class Expired(APIError):
    """The asked-for resourceVersion or continue token is gone (compacted)."""

    code, reason = 410, "Expired"


class Gone(APIError):
    code, reason = 410, "Gone"


class RequestTooLarge(APIError):
    code, reason = 413, "RequestEntityTooLarge"


class UnsupportedMediaType(APIError):
    code, reason = 415, "UnsupportedMediaType"


class Invalid(APIError):
    code, reason = 422, "Invalid"

    @classmethod
    def of(cls, kind: str, group: str, name: str, errors: Sequence[Any]) -> Invalid:
        """`errors` are `kybern.api.field.FieldError`s; at least one."""
        texts = [str(e) for e in errors]
        said = texts[0] if len(texts) == 1 else f"[{', '.join(dict.fromkeys(texts))}]"
        causes = [{"reason": e.type, "message": e.body(), "field": e.path} for e in errors]
        details = {**_details(kind, group, name), "causes": causes}
        return cls(f'{qualified(kind, group)} "{name}" is invalid: {said}', details=details)


class TooManyRequests(APIError):
    code, reason = 429, "TooManyRequests"


class InternalError(APIError):
    code, reason = 500, "InternalError"


class Unclassified(APIError):
    """What upstream answers with code 500 and no reason."""

    reason = ""


class ServiceUnavailable(APIError):
    code, reason = 503, "ServiceUnavailable"


class Timeout(APIError):
    code, reason = 504, "Timeout"


class ServerTimeout(Timeout):
    reason = "ServerTimeout"


def _tree(cls: type[APIError]) -> list[type[APIError]]:
    return [cls, *(leaf for sub in cls.__subclasses__() for leaf in _tree(sub))]


_BY_REASON: dict[str, type[APIError]] = {cls.reason: cls for cls in _tree(APIError) if cls.reason}
_BY_CODE: dict[int, type[APIError]] = {
    400: BadRequest, 401: Unauthorized, 403: Forbidden, 404: NotFound, 405: MethodNotSupported, 406: NotAcceptable,
    409: Conflict, 410: Expired, 413: RequestTooLarge, 415: UnsupportedMediaType, 422: Invalid, 429: TooManyRequests,
    503: ServiceUnavailable, 504: Timeout,
}  # fmt: skip


def from_status(status: Object, code: int = 0) -> APIError:
    """Rebuild the error a server sent. `code` is the HTTP code, used where the body isn't a Status."""
    code = int(status.get("code") or code or 500)
    cls = _BY_REASON.get(status.get("reason", "")) or _BY_CODE.get(code, APIError)
    return cls(status.get("message") or f"the server answered {code}", details=status.get("details"), code=code)
