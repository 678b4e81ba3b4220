"""ONNX for pycograd: NumPy functions as ONNX models, straight from their graphs."""

from __future__ import annotations

from pycograd_onnx.exporter import OnnxExporter, export_onnx

__all__ = ["OnnxExporter", "export_onnx"]
