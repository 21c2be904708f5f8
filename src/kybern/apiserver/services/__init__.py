"""What Services are given: cluster addresses and node ports, never the same twice, even by several servers.

reads: Services, ServiceCIDRs, IPAddresses, the port allocation in the store
writes: IPAddresses, the port allocation, the default ServiceCIDR, events about what had to be repaired
start here: allocator.py, then addresses.py and nodeports.py; repair.py mends what a crash has left behind
to add one: another thing to give out is a file with claim and release, used by allocator.py
"""
