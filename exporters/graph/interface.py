"""What all exported files have in common: the opset, and the names of the input and the output."""

OPSET = 20
EXPORTER = f"dynamo opset {OPSET}"
INPUT, OUTPUT = "images", "logits"
