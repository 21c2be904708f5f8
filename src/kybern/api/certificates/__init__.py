"""The group certificates.k8s.io: requests for certificates, and bundles of those to trust."""
