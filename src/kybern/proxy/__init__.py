"""Makes Services work on one node.

reads: Services and EndpointSlices through informers
writes: the kernel packet filter
start here: rules.py (pure: services to rules), then nftables.py
to add one: a backend is a file with the contract of base.py
"""
