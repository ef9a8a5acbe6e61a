"""Devices of this machine and what works on it: `nastool devices` and `nastool doctor`."""
