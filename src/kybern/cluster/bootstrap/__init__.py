"""Clusters whose control plane is pods, over several machines: init, join, reset, certs.

reads: the machine, flags, the API of the cluster that is joined
writes: certificates, kubeconfigs and static pod manifests in the data directory; objects of kube-system
start here: init.py
to add one: a phase is a file that init.py or join.py calls; a command also has a row in __main__.COMMANDS
"""
