"""Field numbers of certificate requests and trust bundles; protobuf_fields.py says how to read them."""

from __future__ import annotations

MESSAGES: dict[str, str] = {
    "CertificateSigningRequest": "metadata:ObjectMeta spec:CertificateSigningRequestSpec "
    "status:CertificateSigningRequestStatus",
    "CertificateSigningRequestSpec": "request:bytes! username uid groups:* usages:* extra:{strings} signerName! "
    "expirationSeconds:int?",
    "CertificateSigningRequestStatus": "conditions:*CertificateSigningRequestCondition certificate:bytes",
    "CertificateSigningRequestCondition": "type! reason message lastUpdateTime:time lastTransitionTime:time status!",
    "ClusterTrustBundle": "metadata:ObjectMeta spec:ClusterTrustBundleSpec",
    "ClusterTrustBundleSpec": "signerName trustBundle!",
    "PodCertificateRequest": "metadata:ObjectMeta spec:PodCertificateRequestSpec status:PodCertificateRequestStatus",
    "PodCertificateRequestSpec": "signerName! podName! podUID! serviceAccountName! serviceAccountUID! nodeName! "
    "nodeUID! maxExpirationSeconds:int? pkixPublicKey:bytes! proofOfPossession:bytes! unverifiedUserAnnotations:{} "
    "stubPKCS10Request:bytes!",
    "PodCertificateRequestStatus": "conditions:*Condition certificateChain @4 notBefore:time? beginRefreshAt:time? "
    "notAfter:time?",
}
