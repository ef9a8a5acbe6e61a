"""Remote devices: the workstation's side of the connection to `exporters.agent`."""
