"""The pod network: the node's CNI configuration, addresses beyond the cluster, and routes to other nodes' pods.

reads: the node's pod CIDR; Nodes; the kernel's routes
writes: CNI configuration, an nftables table, routes and a VXLAN device, an annotation and a condition of the own Node
start here: cni.py for one node; agent.py, then routes.py for several
to add one: a way to reach a peer is a method of routes.py's planner
"""
