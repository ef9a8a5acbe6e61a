"""What is attached to this machine, and what works on it: `nastool devices` and `nastool doctor`."""
