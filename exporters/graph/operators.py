"""The ONNX operators that this package distinguishes, each in one list."""

# Multiply matrices or filters; most of a network's time.
CONVOLUTION_OPS = frozenset({"Conv", "ConvTranspose"})
PRODUCT_OPS = CONVOLUTION_OPS | {"Gemm", "MatMul"}
# Take the place of the above in a graph that ONNX Runtime optimized, or that was quantized without QDQ.
INTEGER_PRODUCT_OPS = frozenset({"QLinearConv", "QLinearMatMul", "ConvInteger", "MatMulInteger"})
# The input of each convolution that is its weight.
WEIGHT_INPUT = {"Conv": 1, "FusedConv": 1, "QLinearConv": 3, "ConvInteger": 1}

# Runtimes fuse these into the product before them.
ELEMENTWISE_OPS = frozenset(
    {"Relu", "Clip", "LeakyRelu", "PRelu", "Sigmoid", "HardSigmoid", "HardSwish", "Tanh", "Gelu", "Elu", "Erf"}
    | {"Add", "Sub", "Mul", "Div", "Min", "Max", "Pow", "Sqrt", "BatchNormalization", "Cast"}
)
# Cost nothing: they only change a tensor's shape, or their values are known before a call.
VIEW_OPS = frozenset({"Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity", "Dropout", "Shape", "Constant"})
# Read only the part of their input that they return.
SELECTION_OPS = frozenset({"Slice", "Split", "Gather"})
# Hold graphs: branches and loop bodies.
CONTROL_FLOW_OPS = frozenset({"If", "Loop", "Scan", "SequenceMap"})

# Store weights as integers, in this order.
ROUNDING_OPS = ("QuantizeLinear", "Clip", "DequantizeLinear")
# Convert between floats and integers; their second input is the scale.
QDQ_OPS = frozenset({"QuantizeLinear", "DequantizeLinear"})
# Quantized as layers: their weight is a constant of shape (c_out, ...).
QUANTIZED_PRODUCT_OPS = frozenset({"Conv", "Gemm"})
# Only move values, so input and output can share one scale and nothing is rounded again.
PASS_THROUGH_OPS = frozenset({"Concat", "Slice", "MaxPool", "Reshape", "Transpose", "Split", "Squeeze", "Unsqueeze"})
# ONNX Runtime pools the codes of a float layer twenty times slower than floats: 57 and 2.4 ms behind ResNet's stem.
PASS_THROUGH_BESIDE_FLOAT_OPS = PASS_THROUGH_OPS - {"MaxPool"}
# Their output is not negative if their input is not.
MEAN_OPS = frozenset({"ReduceMean", "GlobalAveragePool", "AveragePool"})
