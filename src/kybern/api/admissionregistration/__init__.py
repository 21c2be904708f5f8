"""The group admissionregistration.k8s.io: webhooks and policies that take part in admission."""
