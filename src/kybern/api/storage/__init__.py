"""The group storage.k8s.io: classes of storage, CSI drivers, where they run and what they attach."""
