"""The frontend: ONNX and its dialects to one normal form of level ``nn``, or a named refusal. See :func:`import_model`."""

from bitc.frontend.importer import import_model

__all__ = ["import_model"]
