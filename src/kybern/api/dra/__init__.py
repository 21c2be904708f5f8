"""The group resource.k8s.io: devices that nodes offer and pods claim (dynamic resource allocation, KEP-4381)."""
