"""The node's pod network: CNI configuration, and addresses beyond the cluster.

reads: the node's pod CIDR
writes: CNI configuration, an nftables table
start here: cni.py
to add one: a network mode is a function in cni.py
"""
