"""Field numbers of leases; protobuf_fields.py says how to read them."""

from __future__ import annotations

MESSAGES: dict[str, str] = {
    "Lease": "metadata:ObjectMeta spec:LeaseSpec",
    "LeaseSpec": "holderIdentity? leaseDurationSeconds:int? acquireTime:microtime? renewTime:microtime? "
    "leaseTransitions:int? strategy? preferredHolder?",
    "LeaseCandidate": "metadata:ObjectMeta spec:LeaseCandidateSpec",
    "LeaseCandidateSpec": "leaseName! pingTime:microtime? renewTime:microtime? binaryVersion! emulationVersion "
    "strategy",
}
