"""The frontend: ONNX and its dialects to one normal form of level ``nn``, or a named refusal. See :func:`import_model`.

Codes of its diagnostics:

==== =========================================== ==== ==========================================
M001 not an ONNX file, unreadable, cut short     U001 an operation bitc does not have
M002 external data missing or out of bounds      U002 an opset version bitc does not know
M003 a tensor's data, shape or type is broken    U003 a form of an operation bitc does not take
M004 a tensor made twice, or by nothing          U004 an element type or input type
M005 nodes in a circle                           U005 the free batch dimension is not a batch
M006 a graph input or opset import is broken     O001 a symbolic dimension without a size
M007 a node breaks its operation's rule          O002 an unknown dimension name
M008 local functions cannot be inlined           O003 a dimension that is not positive
M009 the model is beyond a limit                 O004 outputs that cannot be given
==== =========================================== ==== ==========================================
"""

from bitc.frontend.importer import import_model

__all__ = ["import_model"]
