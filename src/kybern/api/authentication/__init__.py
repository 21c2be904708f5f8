"""The group authentication.k8s.io, v1: who a request is from. Nothing here is stored."""
