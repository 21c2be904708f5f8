"""Rules of containers: ordinary, init (with sidecars) and ephemeral ones.

Source: API reference, Container v1, EphemeralContainer v1; KEP-753 (sidecars), KEP-5307 (restart rules),
KEP-5532 (rules that restart the whole pod, and rules of sidecars).
"""

from __future__ import annotations

from kybern.api import names, validation
from kybern.api.core.env_validation import validate_env, validate_env_from
from kybern.api.core.handlers_validation import validate_lifecycle, validate_probes
from kybern.api.core.podspec_checks import Surroundings, descending, follows, known_if_set, supported
from kybern.api.core.resources_validation import validate_requirements
from kybern.api.core.security_validation import validate_container_context
from kybern.api.field import Errors
from kybern.api.types import Object
from kybern.process import features

PULL_POLICIES = ("Always", "IfNotPresent", "Never")
_MESSAGE_POLICIES = ("FallbackToLogsOnError", "File")
_PROPAGATIONS = ("Bidirectional", "HostToContainer", "None")
_RECURSIVE = ("Disabled", "Enabled", "IfPossible")
_RESIZABLE = ("cpu", "memory")
_RESIZE_POLICIES = ("NotRequired", "RestartContainer")
_RESTART_POLICIES = ("Always", "Never", "OnFailure")
_RULES_LIMIT, _CODES_LIMIT = 20, 255
_NO_POLICY = "must specify restartPolicy when restart rules are used"
_RESTART_ALL = "RestartAllContainersOnContainerExits"
_SIDECARS_ONLY = ("lifecycle", "livenessProbe", "readinessProbe", "startupProbe")
_NOT_EPHEMERAL = (
    "ports", "resources", "resizePolicy", "restartPolicy", "restartPolicyRules", "livenessProbe", "readinessProbe",
    "startupProbe", "lifecycle",
)  # fmt: skip
_NEVER_EPHEMERAL = "cannot be set for an Ephemeral Container"


def validate_containers(spec: Object, path: str, errors: Errors, around: Surroundings) -> None:
    """All containers of the pod spec at `path`."""
    taken: set[str] = set()
    containers = spec.get("containers") or []
    if containers:
        _ordinary(containers, f"{path}.containers", taken, errors, around)
    else:
        errors.required(f"{path}.containers")
    if spec.get("initContainers"):
        _init(spec["initContainers"], f"{path}.initContainers", taken, errors, around)
    if spec.get("ephemeralContainers"):
        _ephemeral(spec["ephemeralContainers"], f"{path}.ephemeralContainers", taken, errors, around)


def check_image_padding(container: Object, path: str, errors: Errors) -> None:
    """Pods, unlike templates, may not have blanks around an image's name."""
    image = container.get("image") or ""
    if image != image.strip():
        errors.invalid(f"{path}.image", image, "must not have leading or trailing whitespace")


def _ordinary(containers: list[Object], path: str, taken: set[str], errors: Errors, around: Surroundings) -> None:
    for index, container in enumerate(containers):
        here = f"{path}[{index}]"
        _common(container, here, errors, around)
        _unique(container, here, taken, errors)
        if container.get("lifecycle") is not None:
            validate_lifecycle(container["lifecycle"], f"{here}.lifecycle", errors, around)
        validate_probes(container, here, errors, around)
        if "restartPolicy" in container or "restartPolicyRules" in container:
            _restart_policy(container, here, errors)
    _host_ports(containers, path, errors)


def _init(containers: list[Object], path: str, taken: set[str], errors: Errors, around: Surroundings) -> None:
    for index, container in enumerate(containers):
        here, policy = f"{path}[{index}]", container.get("restartPolicy")
        _common(container, here, errors, around)
        if policy == "Always" and not features.enabled(_RESTART_ALL):
            if container.get("restartPolicyRules"):
                detail = "restartPolicyRules are not allowed for init containers with restart policy Always"
                errors.forbidden(f"{here}.restartPolicyRules", detail)
        elif policy is not None:
            _restart_policy(container, here, errors)
        elif container.get("restartPolicyRules"):
            errors.required(f"{here}.restartPolicy", _NO_POLICY)
        _unique(container, here, taken, errors)
        # They run one by one, so each has the ports to itself. The index is upstream's: always the first.
        _host_ports([container], path, errors)
        if policy == "Always":
            if container.get("lifecycle") is not None:
                validate_lifecycle(container["lifecycle"], f"{here}.lifecycle", errors, around)
            validate_probes(container, here, errors, around)
            continue
        for number, resize in enumerate(container.get("resizePolicy") or ()):
            if resize.get("restartPolicy") == "RestartContainer":
                detail = "must not be set to 'RestartContainer' for non-sidecar initContainers"
                errors.invalid(f"{here}.resizePolicy[{number}].restartPolicy", "RestartContainer", detail)
        for key in _SIDECARS_ONLY:
            if container.get(key) is not None:
                detail = "may not be set for init containers without restartPolicy=Always"
                errors.forbidden(f"{here}.{key}", detail)


def _ephemeral(containers: list[Object], path: str, taken: set[str], errors: Errors, around: Surroundings) -> None:
    targets = frozenset(taken)
    for index, container in enumerate(containers):
        here = f"{path}[{index}]"
        _common(container, here, errors, around)
        check_image_padding(container, here, errors)
        _unique(container, here, taken, errors)
        target = container.get("targetContainerName")
        if target and target not in targets:
            errors.not_found(f"{here}.targetContainerName", target)
        for key in _NOT_EPHEMERAL:
            if container.get(key):
                errors.forbidden(f"{here}.{key}", _NEVER_EPHEMERAL)
        for number, mount in enumerate(container.get("volumeMounts") or ()):
            for key in ("subPath", "subPathExpr"):
                if mount.get(key):
                    errors.forbidden(f"{here}.volumeMounts[{number}].{key}", _NEVER_EPHEMERAL)


def _unique(container: Object, path: str, taken: set[str], errors: Errors) -> None:
    name = container.get("name")
    if name in taken:
        errors.duplicate(f"{path}.name", name)
    elif name:
        taken.add(name)


def _common(container: Object, path: str, errors: Errors, around: Surroundings) -> None:
    """What holds for containers of all kinds."""
    name, get = container.get("name"), container.get
    if not name:
        errors.required(f"{path}.name")
    else:
        follows(names.dns_label, name, f"{path}.name", errors)
    if not get("image"):
        errors.required(f"{path}.image")
    policy = get("terminationMessagePolicy")
    validation.one_of(policy, _MESSAGE_POLICIES, f"{path}.terminationMessagePolicy", errors)
    if get("ports"):
        _ports(container["ports"], f"{path}.ports", errors)
    if get("env"):
        validate_env(container["env"], f"{path}.env", errors)
    if get("envFrom"):
        validate_env_from(container["envFrom"], f"{path}.envFrom", errors)
    if get("volumeMounts"):
        _mounts(container, f"{path}.volumeMounts", errors, around)
    if get("volumeDevices"):
        _devices(container, f"{path}.volumeDevices", errors, around)
    validation.one_of(get("imagePullPolicy"), PULL_POLICIES, f"{path}.imagePullPolicy", errors)
    if get("resources"):
        validate_requirements(container["resources"], around.claims, f"{path}.resources", errors)
    if get("resizePolicy"):
        _resize_policy(container["resizePolicy"], f"{path}.resizePolicy", errors, around)
    if get("securityContext"):
        validate_container_context(container["securityContext"], f"{path}.securityContext", errors, around)


def _ports(ports: list[Object], path: str, errors: Errors) -> None:
    seen: set[str] = set()
    for index, port in enumerate(ports):
        here, name, number = f"{path}[{index}]", port.get("name"), port.get("containerPort") or 0
        if name:
            problems = names.port_name(name)
            for problem in problems:
                errors.invalid(f"{here}.name", name, problem)
            if name in seen:
                errors.duplicate(f"{here}.name", name)
            elif not problems:
                seen.add(name)
        if not number:
            errors.required(f"{here}.containerPort")
        else:
            validation.port_number(number, f"{here}.containerPort", errors)
        if port.get("hostPort"):
            validation.port_number(port["hostPort"], f"{here}.hostPort", errors)
        validation.protocol(port.get("protocol"), f"{here}.protocol", errors)


def _host_ports(containers: list[Object], path: str, errors: Errors) -> None:
    """No two ports take the same place on the host."""
    taken: set[str] = set()
    for index, container in enumerate(containers):
        for number, port in enumerate(container.get("ports") or ()):
            if not port.get("hostPort"):
                continue
            place = f"{port.get('protocol', '')}/{port.get('hostIP', '')}/{port['hostPort']}"
            if place in taken:
                errors.duplicate(f"{path}[{index}].ports[{number}].hostPort", place)
            taken.add(place)


def _mounts(container: Object, path: str, errors: Errors, around: Surroundings) -> None:
    seen: set[str] = set()
    devices = {device.get("name"): device.get("devicePath") for device in container.get("volumeDevices") or ()}
    for index, mount in enumerate(container["volumeMounts"]):
        name, place = mount.get("name") or "", mount.get("mountPath") or ""
        if not name:
            errors.required(f"{path}[{index}].name")
        if name not in around.volumes:
            errors.not_found(f"{path}[{index}].name", name)
        if not place:
            errors.required(f"{path}[{index}].mountPath")
        if place in seen:
            errors.invalid(f"{path}[{index}].mountPath", place, "must be unique")
        seen.add(place)
        if devices:
            if name in devices:
                errors.invalid(f"{path}[{index}].name", name, "must not already exist in volumeDevices")
            if place in devices.values():
                detail = "must not already exist as a path in volumeDevices"
                errors.invalid(f"{path}[{index}].mountPath", place, detail)
        _mount_options(container, mount, path, index, errors)


def _mount_options(container: Object, mount: Object, path: str, index: int, errors: Errors) -> None:
    """Upstream leaves the index out of most of these paths."""
    sub, expression = mount.get("subPath"), mount.get("subPathExpr")
    if sub:
        descending(sub, f"{path}.subPath", errors)
    if expression:
        if sub:
            detail = "subPathExpr and subPath are mutually exclusive"
            errors.invalid(f"{path}[{index}].subPathExpr", expression, detail)
        descending(expression, f"{path}.subPathExpr", errors)
    propagation, recursive = mount.get("mountPropagation"), mount.get("recursiveReadOnly")
    if propagation is not None:
        supported(propagation, _PROPAGATIONS, f"{path}.mountPropagation", errors)
        if propagation == "Bidirectional" and not (container.get("securityContext") or {}).get("privileged"):
            detail = "Bidirectional mount propagation is available only to privileged containers"
            errors.forbidden(f"{path}.mountPropagation", detail)
    known_if_set(recursive, _RECURSIVE, f"{path}.recursiveReadOnly", errors)
    if recursive in ("Enabled", "IfPossible"):
        if not mount.get("readOnly"):
            errors.forbidden(f"{path}.recursiveReadOnly", "may only be specified when readOnly is true")
        if propagation not in (None, "None"):
            detail = "may only be specified when mountPropagation is None or not specified"
            errors.forbidden(f"{path}.recursiveReadOnly", detail)


def _devices(container: Object, path: str, errors: Errors, around: Surroundings) -> None:
    mounts = {mount.get("name"): mount.get("mountPath") for mount in container.get("volumeMounts") or ()}
    seen_names: set[str] = set()
    seen_places: set[str] = set()
    for index, device in enumerate(container["volumeDevices"]):
        name, place = device.get("name") or "", device.get("devicePath") or ""
        name_path, place_path = f"{path}[{index}].name", f"{path}[{index}].devicePath"
        if not name:
            errors.required(name_path)
        if name in seen_names:
            errors.invalid(name_path, name, "must be unique")
        volume = around.volumes.get(name)
        if volume is None:
            errors.not_found(name_path, name)
        elif volume.get("persistentVolumeClaim") is None and volume.get("ephemeral") is None:
            detail = "can only use volume source type of PersistentVolumeClaim or Ephemeral for block mode"
            errors.invalid(name_path, name, detail)
        if not place:
            errors.required(place_path)
        if place in seen_places:
            errors.invalid(place_path, place, "must be unique")
        if ".." in place.split("/"):
            errors.invalid(place_path, place, "can not contain backsteps ('..')")
        else:
            seen_places.add(place)
        if name in mounts:
            errors.invalid(name_path, name, "must not already exist in volumeMounts")
        if place in mounts.values():
            errors.invalid(place_path, place, "must not already exist as a path in volumeMounts")
        if name:
            seen_names.add(name)


def _resize_policy(policies: list[Object], path: str, errors: Errors, around: Surroundings) -> None:
    seen: set[str] = set()
    for index, policy in enumerate(policies):
        resource, restart = policy.get("resourceName") or "", policy.get("restartPolicy") or ""
        if resource in seen:
            errors.duplicate(f"{path}[{index}]", resource)
        seen.add(resource)
        validation.one_of(resource, _RESIZABLE, path, errors)
        validation.one_of(restart, _RESIZE_POLICIES, path, errors)
        if around.restart_policy == "Never" and restart != "NotRequired":
            errors.invalid(path, restart, "must be 'NotRequired' when `restartPolicy` is 'Never'")


def _restart_policy(container: Object, path: str, errors: Errors) -> None:
    """A container's own restartPolicy, with restartPolicyRules."""
    policy, rules = container.get("restartPolicy"), container.get("restartPolicyRules") or []
    if policy is None and rules:
        errors.required(f"{path}.restartPolicy", _NO_POLICY)
    known_if_set(policy, _RESTART_POLICIES, f"{path}.restartPolicy", errors)
    if len(rules) > _RULES_LIMIT:
        errors.too_many(f"{path}.restartPolicyRules", len(rules), _RULES_LIMIT)
    actions = ("Restart", "RestartAllContainers") if features.enabled(_RESTART_ALL) else ("Restart",)
    for index, rule in enumerate(rules):
        here, codes = f"{path}.restartPolicyRules[{index}]", rule.get("exitCodes")
        supported(rule.get("action"), actions, f"{here}.action", errors)
        if codes is None:
            errors.required(f"{here}.exitCodes", "must be specified")
            continue
        supported(codes.get("operator"), ("In", "NotIn"), f"{here}.exitCodes.operator", errors)
        if len(codes.get("values") or ()) > _CODES_LIMIT:
            errors.too_many(f"{here}.exitCodes.values", len(codes["values"]), _CODES_LIMIT)
