"""Ways to damage a model: bytes of the file, and fields of the message. Each takes its randomness from the given source alone."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from random import Random

import numpy as np
import onnx
from hostile.seeds import chosen, parsed
from onnx import AttributeProto, TensorProto, helper, numpy_helper

CANARY = "bitc_canary_0x5eed"
HOSTILE_NAMES = (
    f"*/ int {CANARY} = system(0); /*",
    f'"; {CANARY}(); "',
    f"\n#include <{CANARY}.h>\n",
    f"\r\n#define {CANARY}\r\n",
    f"tail \\ {CANARY}\\",
    f"??/\n{CANARY}",
    "int",
    "_Bool",
    "main",
    "batch",
    "errno",
    "x" * 100_000,
    f"é☃\u202e{CANARY}\x00\x1b[31m",
    "../../../../etc/passwd",
    "%s%n{{ 7 * 7 }}{% raw %}",
    "0",
    " ",
    "-",
    "a.b",
    "a/b",
)
NUMBERS = (0, 1, -1, 2, -2, 3, 7, 255, 65536, 2**31 - 1, 2**31, -(2**31), 2**32, 2**40, 2**62, 2**63 - 1, -(2**63))
FLOATS = (0.0, -0.0, 1.0, -1.0, 0.5, 1e-45, 3e38, -3e38, float("inf"), float("-inf"), float("nan"))
OP_TYPES = (
    *("Add", "And", "ArgMax", "AveragePool", "BatchNormalization", "Cast", "Clip", "Compress", "Concat", "Constant"),
    *("ConstantOfShape", "Conv", "ConvInteger", "ConvTranspose", "CumSum", "DepthToSpace", "DequantizeLinear", "Div"),
    *("Dropout", "Einsum", "Expand", "EyeLike", "Flatten", "Gather", "GatherElements", "GatherND", "Gemm", "Identity"),
    *("GlobalAveragePool", "If", "InstanceNormalization", "LRN", "LayerNormalization", "Loop", "LpNormalization"),
    *("MatMul", "MatMulInteger", "MaxPool", "MaxUnpool", "Mod", "Mul", "NonZero", "OneHot", "PRelu", "Pad", "Pow"),
    *("QLinearConv", "QLinearMatMul", "QuantizeLinear", "Range", "ReduceMean", "ReduceSum", "Reshape", "Resize"),
    *("ScatterElements", "ScatterND", "Shape", "Sign", "Size", "Slice", "Softmax", "SpaceToDepth", "Split", "Squeeze"),
    *("Sub", "Tile", "TopK", "Transpose", "Trilu", "Unsqueeze", "Upsample", "Where", "Xor", "Quant", "BipolarQuant"),
    *(
        "MultiThreshold",
        "Trunc",
        "FusedConv",
        "QGemm",
        "MatMulNBits",
        "BlackmanWindow",
        "DFT",
        "STFT",
        "MelWeightMatrix",
    ),
)
DOMAINS = ("", "ai.onnx", "com.microsoft", "qonnx.custom_op.general", "onnx.brevitas", "ai.onnx.ml", "no.such")

Damage = Callable[[onnx.ModelProto, Random], None]


def damaged(choose: Random) -> bytes:
    """A seed with one to five damages."""
    data = chosen(choose)
    if choose.random() < 0.25:
        return bytes_damaged(data, choose)
    proto = parsed(data)
    for _ in range(choose.choice((1, 1, 1, 2, 3, 5))):
        choose.choice(FIELDS)(proto, choose)
    data = proto.SerializeToString(deterministic=True)
    return bytes_damaged(data, choose) if choose.random() < 0.1 else data


def bytes_damaged(data: bytes, choose: Random) -> bytes:
    """Cut, flipped, overwritten, repeated or exchanged bytes."""
    changed = bytearray(data)
    for _ in range(choose.choice((1, 1, 2, 4, 16))):
        at = choose.randrange(len(changed) + 1)
        length = min(choose.choice((1, 1, 2, 8, 100, 5000)), len(changed) - at)
        match choose.randrange(7):
            case 0:
                del changed[at:]
            case 1:
                del changed[at : at + length]
            case 2 if length:
                changed[at] ^= 1 << choose.randrange(8)
            case 3:
                changed[at : at + length] = choose.randbytes(length)
            case 4:
                changed[at:at] = changed[at : at + length] * choose.choice((1, 2, 50))
            case 5:
                changed[at : at + length] = b"\xff" * length
            case _:
                other = chosen(choose)
                start = choose.randrange(len(other))
                changed[at : at + length] = other[start : start + length]
    return bytes(changed)


# ------------------------------------------------------------------------------------------------------------- fields


def _some(items: Sequence, choose: Random):  # type: ignore[no-untyped-def]  # any repeated field
    return choose.choice(items) if len(items) else None


def _tensor_shape(proto: onnx.ModelProto, choose: Random) -> None:
    tensor = _some(proto.graph.initializer, choose)
    if tensor is not None:
        _list_damaged(tensor.dims, choose)


def _tensor_type(proto: onnx.ModelProto, choose: Random) -> None:
    tensor = _some(proto.graph.initializer, choose)
    if tensor is not None:
        tensor.data_type = choose.choice((*range(26), 99, -1, 2**31 - 1))


def _tensor_data(proto: onnx.ModelProto, choose: Random) -> None:
    tensor = _some(proto.graph.initializer, choose)
    if tensor is not None:
        tensor.raw_data = choose.choice((b"", choose.randbytes(len(tensor.raw_data)), tensor.raw_data[:-1]))


def _tensor_values(proto: onnx.ModelProto, choose: Random) -> None:
    """Sound data of the same type: extremes, NaN, one value everywhere."""
    tensor = _some(proto.graph.initializer, choose)
    array = None
    if tensor is not None and tensor.data_location != TensorProto.EXTERNAL:
        with contextlib.suppress(ValueError, TypeError, KeyError, AttributeError, OverflowError, MemoryError):
            array = numpy_helper.to_array(tensor).copy()
    if array is None or not array.size or array.dtype.kind not in "fiu":
        return
    values = FLOATS if array.dtype.kind == "f" else NUMBERS
    with np.errstate(all="ignore"):
        picked = np.asarray([choose.choice(values)], object)
        value = picked.astype(np.float64).astype(array.dtype) if array.dtype.kind == "f" else _wrapped(picked[0], array)
    if choose.random() < 0.5:
        array.reshape(-1)[choose.randrange(array.size)] = value[0]
    else:
        array[...] = value[0]
    tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))


def _wrapped(value: int, like: np.ndarray) -> np.ndarray:
    return np.asarray([value % 2**64], np.uint64).astype(like.dtype)


def _tensor_external(proto: onnx.ModelProto, choose: Random) -> None:
    tensor = _some(proto.graph.initializer, choose)
    if tensor is None:
        return
    tensor.data_location = TensorProto.EXTERNAL
    tensor.ClearField("raw_data")
    place = choose.choice(("/etc/passwd", "../model.onnx", "model.onnx", "a\0b", "", "/dev/zero", "x" * 5000, "."))
    for key, value in (("location", place), ("offset", str(choose.choice(NUMBERS))), ("length", "x")):
        if choose.random() < 0.8:
            tensor.external_data.add(key=key, value=value)


def _tensor_huge(proto: onnx.ModelProto, choose: Random) -> None:
    """A constant whose data is not there, with 2^40 elements."""
    tensor = _some(proto.graph.initializer, choose)
    if tensor is not None:
        del tensor.dims[:]
        tensor.dims.extend(choose.choice(([2**40], [2**20, 2**20], [0, 2**62], [2**33, 2**33], [1] * 5000)))


def _sparse(proto: onnx.ModelProto, choose: Random) -> None:
    tensor = _some(proto.graph.initializer, choose)
    if tensor is None:
        return
    indices = numpy_helper.from_array(
        np.asarray([choose.choice(NUMBERS) for _ in range(choose.randrange(4))], np.int64)
    )
    sparse = onnx.SparseTensorProto(values=tensor, indices=indices, dims=[choose.choice(NUMBERS)])
    proto.graph.initializer.remove(tensor)
    proto.graph.sparse_initializer.append(sparse)


def _list_damaged(items, choose: Random) -> None:  # type: ignore[no-untyped-def]  # a repeated field of integers
    match choose.randrange(4):
        case 0 if items:
            items[choose.randrange(len(items))] = choose.choice(NUMBERS)
        case 1:
            items.append(choose.choice(NUMBERS))
        case 2 if items:
            del items[choose.randrange(len(items))]
        case _:
            items.extend([choose.choice((0, 1, 2))] * choose.choice((1, 8, 70)))


def _input_shape(proto: onnx.ModelProto, choose: Random) -> None:
    value = _some(proto.graph.input, choose)
    if value is None:
        return
    dims = value.type.tensor_type.shape.dim
    match choose.randrange(4):
        case 0 if dims:
            dims[choose.randrange(len(dims))].dim_value = choose.choice(NUMBERS)
        case 1 if dims:
            dims[choose.randrange(len(dims))].dim_param = choose.choice(HOSTILE_NAMES)
        case 2 if dims:
            del dims[choose.randrange(len(dims))]
        case _:
            for _ in range(choose.choice((1, 3, 70))):
                dims.add(dim_value=choose.choice((1, 2, 1000)))


def _input_type(proto: onnx.ModelProto, choose: Random) -> None:
    value = _some(proto.graph.input, choose)
    if value is not None:
        value.type.tensor_type.elem_type = choose.choice((*range(26), 99))


def _attribute(proto: onnx.ModelProto, choose: Random) -> None:
    node = _some([node for node in proto.graph.node if node.attribute], choose)
    attribute = _some(node.attribute, choose) if node is not None else None
    if attribute is None:
        return
    match choose.randrange(5):
        case 0:
            attribute.i, attribute.f = choose.choice(NUMBERS), choose.choice(FLOATS)
        case 1:
            _list_damaged(attribute.ints, choose)
        case 2:
            attribute.s = choose.choice(HOSTILE_NAMES).encode()
        case 3:
            attribute.type = choose.randrange(15)
        case _:
            node.attribute.remove(attribute)


ATTRIBUTES = (
    *("axis", "axes", "perm", "to", "value", "alpha", "beta", "kernel_shape", "strides", "pads", "dilations", "group"),
    *(
        "auto_pad",
        "ceil_mode",
        "keepdims",
        "blocksize",
        "mode",
        "equation",
        "k",
        "num_outputs",
        "block_size",
        "epsilon",
    ),
    *(
        "count_include_pad",
        "output_shape",
        "output_padding",
        "transA",
        "scales",
        "largest",
        "to",
        "dtype",
        "size",
        "bias",
    ),
)


def _new_attribute(proto: onnx.ModelProto, choose: Random) -> None:
    node = _some(proto.graph.node, choose)
    if node is None:
        return
    numbers = [choose.choice(NUMBERS) for _ in range(choose.randrange(5))]
    value = choose.choice((choose.choice(NUMBERS), numbers or [1], choose.choice(FLOATS), choose.choice(HOSTILE_NAMES)))
    node.attribute.append(helper.make_attribute(choose.choice(ATTRIBUTES), value))


def _node_gone(proto: onnx.ModelProto, choose: Random) -> None:
    node = _some(proto.graph.node, choose)
    if node is not None:
        proto.graph.node.remove(node)


def _node_twice(proto: onnx.ModelProto, choose: Random) -> None:
    node = _some(proto.graph.node, choose)
    if node is not None:
        proto.graph.node.append(node)


def _other_operator(proto: onnx.ModelProto, choose: Random) -> None:
    node = _some(proto.graph.node, choose)
    if node is not None:
        node.op_type = choose.choice(OP_TYPES)
        if choose.random() < 0.2:
            node.domain = choose.choice(DOMAINS)


def _edge(proto: onnx.ModelProto, choose: Random) -> None:
    """An operand from anywhere, the node's own results among them."""
    node = _some(proto.graph.node, choose)
    if node is None:
        return
    names = [name for other in proto.graph.node for name in (*other.input, *other.output)]
    names += [value.name for value in proto.graph.input] + ["", "nothing"]
    if node.input and choose.random() < 0.7:
        node.input[choose.randrange(len(node.input))] = choose.choice(names)
    else:
        node.input.append(choose.choice(names))


def _result(proto: onnx.ModelProto, choose: Random) -> None:
    node = _some(proto.graph.node, choose)
    if node is not None:
        node.output.append(choose.choice(("", "extra", *(value.name for value in proto.graph.output))))


def _renamed(proto: onnx.ModelProto, choose: Random) -> None:
    """A tensor everywhere, and its node, under a hostile name."""
    names = [name for node in proto.graph.node for name in (*node.input, *node.output) if name]
    if not names:
        return
    old, new = choose.choice(names), choose.choice(HOSTILE_NAMES)
    for node in proto.graph.node:
        node.input[:] = [new if name == old else name for name in node.input]
        node.output[:] = [new if name == old else name for name in node.output]
        if choose.random() < 0.2:
            node.name = new
    for value in (*proto.graph.input, *proto.graph.output, *proto.graph.initializer):
        value.name = new if value.name == old else value.name


def _texts(proto: onnx.ModelProto, choose: Random) -> None:
    proto.producer_name = choose.choice(HOSTILE_NAMES)
    proto.graph.name = choose.choice(HOSTILE_NAMES)
    proto.doc_string = choose.choice(HOSTILE_NAMES)
    proto.metadata_props.add(key=choose.choice(HOSTILE_NAMES), value=choose.choice(HOSTILE_NAMES))


def _opset(proto: onnx.ModelProto, choose: Random) -> None:
    if proto.opset_import:
        proto.opset_import[0].version = choose.choice((*range(-1, 28), 2**31))


def _bomb(proto: onnx.ModelProto, choose: Random) -> None:
    """Nodes that make much of little, and what reads them."""
    shape = numpy_helper.from_array(np.asarray(choose.choice(([2**40], [2**15, 2**15], [2**14] * 3)), np.int64), "bomb")
    proto.graph.initializer.append(shape)
    made = [helper.make_node("ConstantOfShape", ["bomb"], [f"boom{i}"]) for i in range(choose.choice((1, 4)))]
    total = helper.make_node("Sum", [node.output[0] for node in made], ["boom"])
    grown = choose.choice(
        (helper.make_node("Tile", ["boom", "bomb"], ["out"]), helper.make_node("Expand", ["boom", "bomb"], ["out"]))
    )
    proto.graph.node.extend([*made, total, grown])
    proto.graph.output.append(onnx.ValueInfoProto(name="out"))


def _nested(proto: onnx.ModelProto, choose: Random) -> None:
    """Branches within branches."""
    inner = helper.make_graph([helper.make_node("Identity", ["deep"], ["r"])], "b", [], [onnx.ValueInfoProto(name="r")])
    for _ in range(
        choose.choice((1, 5, 20))
    ):  # protobuf itself reads a hundred messages within one another, and no more
        node = helper.make_node("If", ["flag"], ["r"], then_branch=inner, else_branch=onnx.GraphProto())
        inner = helper.make_graph([node], "b", [], [onnx.ValueInfoProto(name="r")])
    proto.graph.initializer.append(numpy_helper.from_array(np.asarray(True), "flag"))
    proto.graph.initializer.append(numpy_helper.from_array(np.ones(3, np.float32), "deep"))
    proto.graph.node.append(helper.make_node("If", ["flag"], ["nested"], then_branch=inner, else_branch=inner))
    proto.graph.output.append(onnx.ValueInfoProto(name="nested"))


def _function(proto: onnx.ModelProto, choose: Random) -> None:
    """A local function, perhaps one that calls itself, in place of an operator."""
    node = _some(proto.graph.node, choose)
    if node is None or not node.input or not node.output:
        return
    called = choose.choice(("Own", "Other", node.op_type))
    inner = helper.make_node(called, ["a"], ["b"], domain=choose.choice(("own", "")))
    imports = [helper.make_opsetid("", 13), helper.make_opsetid("own", 1)]
    proto.functions.append(helper.make_function("own", "Own", ["a"], ["b"], [inner], imports))
    proto.opset_import.append(imports[1])
    node.op_type, node.domain = "Own", "own"


def _types_of_attributes(proto: onnx.ModelProto, choose: Random) -> None:
    """A tensor or graph attribute where another is expected."""
    node = _some(proto.graph.node, choose)
    if node is None:
        return
    name = choose.choice(ATTRIBUTES)
    tensor = TensorProto(data_type=choose.randrange(20), dims=[choose.choice(NUMBERS)])
    kind = choose.choice((AttributeProto.TENSOR, AttributeProto.GRAPH, AttributeProto.SPARSE_TENSOR))
    node.attribute.append(AttributeProto(name=name, type=kind, t=tensor))


FIELDS: tuple[Damage, ...] = (
    *(
        _tensor_shape,
        _tensor_type,
        _tensor_data,
        _tensor_values,
        _tensor_values,
        _tensor_external,
        _tensor_huge,
        _sparse,
    ),
    *(_input_shape, _input_shape, _input_type, _attribute, _attribute, _new_attribute, _new_attribute),
    *(_node_gone, _node_twice, _other_operator, _other_operator, _edge, _edge, _result, _renamed, _renamed),
    *(_texts, _opset, _bomb, _nested, _function, _types_of_attributes),
)
