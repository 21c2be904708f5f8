"""Field numbers of tokens and who is who; protobuf_fields.py says how to read them."""

from __future__ import annotations

MESSAGES: dict[str, str] = {
    "SelfSubjectReview": "metadata:ObjectMeta status:SelfSubjectReviewStatus",
    "SelfSubjectReviewStatus": "userInfo:UserInfo",
    "UserInfo": "username uid groups:* extra:{strings}",
    "TokenRequest": "metadata:ObjectMeta spec:TokenRequestSpec status:TokenRequestStatus",
    "TokenRequestSpec": "audiences:* @3 boundObjectRef:BoundObjectReference? expirationSeconds:int?",
    "BoundObjectReference": "kind apiVersion name uid",
    "TokenRequestStatus": "token! expirationTimestamp:time",
    "TokenReview": "metadata:ObjectMeta spec:TokenReviewSpec status:TokenReviewStatus",
    "TokenReviewSpec": "token audiences:*",
    "TokenReviewStatus": "authenticated:bool user:UserInfo error audiences:*",
}
