"""The node's pod network: CNI configuration and routes.

reads: the node's pod CIDR
writes: CNI configuration, sysctls
start here: cni.py
to add one: a network mode is a function in cni.py
"""
