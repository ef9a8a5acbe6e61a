"""What the operators of traced graphs do to channels, by the names of functions, methods and layer classes."""

from types import FunctionType

from torch import nn
from torch.fx import Node

from toolchain.nets.model_space.parts import Part, is_of_library
from toolchain.nets.model_space.tracing import STOCHASTIC_DEPTH


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


# The result has the channels of the input.
ELEMENTWISE = _names(
    "relu relu6 hardtanh hardswish hardsigmoid sigmoid silu gelu tanh leaky_relu elu selu celu mish softplus "
    "logsigmoid dropout dropout1d dropout2d alpha_dropout feature_dropout stochastic_depth drop_path abs exp log neg "
    "sqrt rsqrt square clamp clamp_min clamp_max round sign to float half double bfloat16 type requires_grad_ pos "
    "contiguous clone detach"
)
# The result ties the channels of two inputs.
PAIRWISE = _names("add sub mul div truediv true_divide maximum minimum rsub pow radd rmul")
# The result has the channels of the input, on other maps.
SPATIAL = _names("max_pool2d avg_pool2d adaptive_avg_pool2d adaptive_max_pool2d lp_pool2d interpolate upsample pad")
# Values are moved and not changed.
MOVES = _names(
    "view reshape flatten unflatten permute transpose swapaxes movedim chunk split tensor_split unbind cat concat "
    "concatenate stack getitem squeeze unsqueeze narrow select flip roll expand expand_as "
    "repeat channel_shuffle pixel_shuffle pixel_unshuffle t mT"
)
# A reduction over dimensions.
REDUCTIONS = _names("mean sum amax amin")
# Numbers of the shape of a tensor.
SHAPES = _names("size dim getattr numel len")
NUMBERS = _names("shape dtype device ndim is_cuda")  # attributes of a tensor that hold no values
# Arithmetic with them.
ARITHMETIC = _names("floordiv mod int assert")

ELEMENTWISE_LAYERS = (
    nn.ReLU,
    nn.ReLU6,
    nn.Hardtanh,
    nn.Hardswish,
    nn.Hardsigmoid,
    nn.Sigmoid,
    nn.SiLU,
    nn.GELU,
    nn.Tanh,
    nn.LeakyReLU,
    nn.ELU,
    nn.SELU,
    nn.CELU,
    nn.Mish,
    nn.Softplus,
    nn.LogSigmoid,
    nn.Identity,
    nn.modules.dropout._DropoutNd,
)
SPATIAL_LAYERS = (
    nn.MaxPool2d,
    nn.AvgPool2d,
    nn.AdaptiveAvgPool2d,
    nn.AdaptiveMaxPool2d,
    nn.LPPool2d,
    nn.Upsample,
    nn.ZeroPad2d,
    nn.ReflectionPad2d,
    nn.ReplicationPad2d,
    nn.ConstantPad2d,
)
MOVE_LAYERS = (nn.Flatten, nn.Unflatten, nn.ChannelShuffle, nn.PixelShuffle, nn.PixelUnshuffle)


def operator_name(target: object) -> str:
    """`add` for operator.add, torch.add and the method `add`, with or without underscores; `my.add` for a user's."""
    name = target if isinstance(target, str) else getattr(target, "__name__", str(target))
    own = isinstance(target, FunctionType) and not is_of_library(target)
    return f"{target.__module__}.{name}" if own else name.strip("_")


def reads_numbers(node: Node) -> bool:
    """Whether `node` reads numbers of a tensor's shape, or a property that holds no values."""
    name = operator_name(node.target)
    return name in SHAPES and (name != "getattr" or node.args[1] in NUMBERS)


def is_elementwise(layer: nn.Module) -> bool:
    """Whether the output of `layer` has the channels of its input, entry by entry."""
    return isinstance(layer, ELEMENTWISE_LAYERS) or type(layer).__name__ in STOCHASTIC_DEPTH


def computes_in_layers(part: Part) -> bool:
    """Whether convolutions and linear layers do all multiply-adds of a part."""
    functions = [node for node in part.graph.nodes if node.op in ("call_function", "call_method")]
    known = ELEMENTWISE | PAIRWISE | SPATIAL | MOVES | REDUCTIONS | SHAPES | ARITHMETIC
    by_layer = all(map(_is_counted, part.layers.values()))
    return by_layer and all(operator_name(node.target) in known for node in functions)


def _is_counted(layer: nn.Module) -> bool:
    """Whether the shapes of a layer tell its multiply-adds: not of a class with its own forward function."""
    if not type(layer).forward.__module__.startswith("torch.") and next(layer.parameters(), None) is not None:
        return False
    counted = (nn.Conv2d, nn.Linear, nn.modules.batchnorm._NormBase, nn.GroupNorm, nn.LayerNorm, nn.PReLU)
    return is_elementwise(layer) or isinstance(layer, (*counted, *SPATIAL_LAYERS, *MOVE_LAYERS))
