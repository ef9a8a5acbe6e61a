"""What runs on the device that is measured: on this machine, or sent as source to a remote device.

Code in this folder needs Python 3.9, numpy and onnxruntime alone. Of nastool it imports this folder,
`exporters.timing` and `exporters.errors`, and for GPUs `exporters.cuda` where that was sent
(docs/decisions/0045-remote-devices.md, 0053-gpus-of-remote-devices.md).
"""
