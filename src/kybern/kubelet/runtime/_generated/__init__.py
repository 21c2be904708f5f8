"""Generated from cri.proto; do not edit."""
