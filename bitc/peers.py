"""Other runtimes on the same file, for ``bitc bench``: each opened as its users would, in one thread, with all of its optimisations."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bitc.errors import Diagnostic, OptionError

Call = Callable[[], object]
"""One inference on inputs that were given before."""


class PeerRefusal(Exception):
    """A peer cannot take the model; the text is what it says. A result of a comparison, not an error of it."""


@dataclass(frozen=True, slots=True)
class Peer:
    """``package``: what pip installs and Python imports; ``open`` loads a model, for inputs of the shapes of a feed."""

    package: str
    open: Callable[[Path, Mapping[str, np.ndarray], int], Call]


def _onnxruntime(model: Path, feed: Mapping[str, np.ndarray], threads: int) -> Call:
    """All optimisations are onnxruntime's default."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    given = dict(feed)
    return lambda: session.run(None, given)


def _openvino(model: Path, feed: Mapping[str, np.ndarray], threads: int) -> Call:
    """For latency, in float32 as the file says; inputs are set once, so that a call copies nothing."""
    import openvino

    core: Any = openvino.Core()
    network = core.read_model(str(model))
    network.reshape({name: list(array.shape) for name, array in feed.items()})
    settings = {
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": 1,
        "ENABLE_CPU_PINNING": False,
        "INFERENCE_PRECISION_HINT": "f32",
        "PERFORMANCE_HINT": "LATENCY",
    }
    request = core.compile_model(network, "CPU", settings).create_infer_request()
    for name, array in feed.items():
        request.set_tensor(name, openvino.Tensor(array))
    return lambda: request.infer()


PEERS: dict[str, Peer] = {
    "onnxruntime": Peer("onnxruntime", _onnxruntime),
    "openvino": Peer("openvino", _openvino),
}
"""All peers by name."""


def refuse_absent(names: Sequence[str]) -> None:
    """Raise :class:`OptionError` for every name that is no peer, or one that is not installed."""
    found = []
    for name in names:
        if name not in PEERS:
            hint = "peers: " + ", ".join(PEERS)
            found.append(Diagnostic("O100", f"there is no peer {name!r}", hint=hint))
        elif importlib.util.find_spec(PEERS[name].package) is None:
            hint = f"pip install {PEERS[name].package}"
            found.append(Diagnostic("O101", f"{name} is not installed", hint=hint))
    if found:
        raise OptionError(*found)


def open_peer(name: str, model: Path, feed: Mapping[str, np.ndarray], threads: int) -> Call:
    """``model`` in the peer called ``name``, run once. Raises :class:`PeerRefusal` with the last line of what it says."""
    try:
        call = PEERS[name].open(model, feed, threads)
        call()
    except Exception as error:  # each runtime raises classes of its own
        lines = str(error).strip().splitlines()
        raise PeerRefusal(lines[-1] if lines else repr(error)) from error
    return call
