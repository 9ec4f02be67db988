"""Calls of the decoder of bit weights, ``runtime/deltas.h``."""

from __future__ import annotations

from bitc.codegen.assembly import Assembly, Frame
from bitc.codegen.plan import Call
from bitc.ir import Op
from bitc.ir.channel_deltas import number_bits


def delta_weights(op: Op, frame: Frame, out: Assembly) -> list[Call]:
    """``k.delta_weights``: ``bitc_deltas_words``, or ``bitc_deltas_bytes`` where kernels want the bytes of words gathered."""
    attrs = op.attrs
    fields = {
        "channels": attrs["channels"],
        "block": attrs["block"],
        "taps": attrs["taps"],
        "tap_bits": attrs["in_channels"],
        "planes": attrs["planes"],
        "number_bits": number_bits(attrs["channels"]),
    }
    function = "bitc_deltas_bytes" if attrs["byte_rows"] else "bitc_deltas_words"
    arguments = (f"&{out.geometry('bitc_deltas', fields)}", out.constant(op.operands[0]), out.base(op.result))
    return [Call(function, arguments)]
