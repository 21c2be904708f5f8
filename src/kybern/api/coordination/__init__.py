"""The group coordination.k8s.io: leases, and who would hold them."""
