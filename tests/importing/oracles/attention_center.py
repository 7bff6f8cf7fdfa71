"""Writes `goldens/attention_center.json`: `python attention_center.py center.tflite`, with ai-edge-litert and tflite.

The released graph is run by LiteRT, with the numbers of all its constants replaced in place by those of a formula.
"""

from __future__ import annotations

import sys
from importlib.metadata import version
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))

from importing import attention_center, formula


def main(released: Path) -> None:
    """Fill the released file by formula, run it, and write names, shapes and what comes out."""
    import tflite
    from ai_edge_litert.interpreter import Interpreter

    content = bytearray(released.read_bytes())
    model = tflite.Model.GetRootAs(content, 0)
    graph = model.Subgraphs(0)
    kinds = {tflite.TensorType.FLOAT16: "float16", tflite.TensorType.INT32: "int32", tflite.TensorType.INT64: "int64"}
    tensors = []
    for i in range(graph.TensorsLength()):
        tensor = graph.Tensors(i)
        old = model.Buffers(tensor.Buffer()).DataAsNumpy()
        if isinstance(old, int) or not len(old):
            continue
        name, shape = (
            tensor.Name().decode(),
            tuple(int(side) for side in tensor.ShapeAsNumpy()) if tensor.ShapeLength() else (),
        )
        kind = kinds[tensor.Type()]
        tensors.append([name, shape, kind])
        if kind == "float16":
            new = np.frombuffer(attention_center.constant(name, shape, kind).tobytes(), np.uint8)
            assert new.shape == old.shape
            start = old.__array_interface__["data"][0] - np.frombuffer(content, np.uint8).__array_interface__["data"][0]
            np.frombuffer(content, np.uint8)[start : start + len(new)] = new
    engine = Interpreter(model_content=bytes(content), experimental_preserve_all_tensors=True, num_threads=1)
    engine.allocate_tensors()
    index = {each["name"]: each["index"] for each in engine.get_tensor_details()}
    engine.set_tensor(index["image:0"], attention_center.image())
    engine.invoke()
    logits = engine.get_tensor(index["Sum"])
    print(f"logits from {logits.min()} to {logits.max()}")
    formula.write_golden(
        "attention_center",
        f"LiteRT (ai-edge-litert {version('ai-edge-litert')}) on the graph of google/attention-center 91f6d6ea",
        tensors=tensors,
        logits=formula.sample(logits),
    )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
