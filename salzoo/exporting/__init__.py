"""Models as graphs that others run: ONNX files, also in eight bits, and `torch.export`'s."""

from salzoo.exporting.export import Exported, export

__all__ = ["Exported", "export"]
