"""Made from etcd.proto by generate.py."""
