"""DSCLRCN: OpenCV's Caffe importer for both trunks, NumPy for heads and LSTMs.

Layers and orders are those of the authors' deploy file and of their Caffe (nian-liu/DSCLRCN at fbbd35f1): OpenCV has
none of their recurrent layers.

pip install 'opencv-python-headless<5'
PYTHONPATH=tests python tests/importing/oracles/dsclrcn.py
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from importing import formula, writers
from numpy.typing import NDArray

Array = NDArray[np.float32]
SIZE = (227, 227)
"""Of the image and of the input, so that the scene's trunk sees the image as it is."""
FACTOR = 2.0
"""By which Caffe divides its means and variances."""
HIDDEN = 128
STAGES = {2: ("abc", 64, 1), 3: ("abcd", 128, 1), 4: ("abcdef", 256, 2), 5: ("abc", 512, 4)}
"""Blocks, width and dilation of each stage."""
SCENE = (("conv1_s", 3, 96, 11, 1), ("conv2_s", 96, 256, 5, 2), ("conv3_s", 256, 384, 3, 1))
SCENE += (("conv4_s", 384, 384, 3, 2), ("conv5_s", 384, 256, 3, 2))
"""Name, inputs, outputs, side of the kernel and groups."""
HEADS = {"conv4_g": (512, 1024, 1, 1), "conv5_d": (512, 2048, 1, 1), "conv_fm": (512, 1024, 1, 1)}
HEADS |= {"global_feature_ip": (HIDDEN, 9216), "rnn_FCN7": (1, 2 * HIDDEN, 1, 1)}
SCALES = {"conv4_g_norm": 390.0, "conv5_d_norm": 410.0, "NormalizedFm": 420.0, "global_feature": 8.0}
LSTMS = {"NormalizedFm1_row_rnn": 512, "NormalizedFm1_col_rnn": 256}
LSTMS |= {"NormalizedFm1_srnn1_row_rnn": 256, "NormalizedFm1_srnn1_col_rnn": 256}
GAINS = {"conv1": 0.02, "conv1_s": 0.02, "rnn_FCN7": 4.0}
"""Pixels go up to 150, logits are to be about 1."""


def residual() -> list[tuple[str, str, int, int, int, int, int]]:
    """Return name, input, inputs, outputs, side, stride and dilation of the convolutions of all blocks."""
    found, before, bottom = [], 64, "pool1"
    for stage, (blocks, width, dilation) in STAGES.items():
        for block in blocks:
            name = f"{stage}{block}_branch"
            stride = 2 if (stage, block) == (3, "a") else 1
            if block == "a":
                found.append((f"{name}1", bottom, before, 4 * width, 1, stride, 1))
            found.append((f"{name}2a", bottom, before, width, 1, stride, 1))
            found.append((f"{name}2b", f"res{name}2a", width, width, 3, 1, dilation))
            found.append((f"{name}2c", f"res{name}2b", width, 4 * width, 1, 1, 1))
            bottom, before = f"res{stage}{block}", 4 * width
    return found


def layers() -> dict[str, list[Array]]:
    """Return the blobs of every layer of the file, by formula."""

    def values(name: str, *shape: int) -> Array:
        return formula.values(f"dsclrcn {name}", shape, GAINS.get(name.split(" ")[0], 1.0))

    found: dict[str, list[Array]] = {}
    for name, before, after, side, groups in SCENE:
        found[name] = [values(name, after, before // groups, side, side), values(f"{name} bias", after)]
    norms = [("bn_conv1", "scale_conv1", 64)]
    found["conv1"] = [values("conv1", 64, 3, 7, 7), values("conv1 bias", 64)]
    for name, _, before, after, side, _, _ in residual():
        found[f"res{name}"] = [values(f"res{name}", after, before, side, side)]
        norms.append((f"bn{name}", f"scale{name}", after))
    for norm, scale, channels in norms:
        mean, variance = values(f"{norm} mean", channels), 1 + values(f"{norm} variance", channels)
        found[norm] = [mean * FACTOR, variance * FACTOR, np.float32([FACTOR])]
        found[scale] = [1 + values(scale, channels), values(f"{scale} bias", channels)]
    for name, shape in HEADS.items():
        found[name] = [values(name, *shape), values(f"{name} bias", shape[0])]
    for name, scale in SCALES.items():
        found[name] = [np.array(scale, np.float32)]
    for name, side in (("context_row_raw", 120), ("context_col_raw", 160)):
        found[name] = [np.ones((HIDDEN, 1, side, 1), np.float32)]
    for name, inputs in LSTMS.items():
        shapes = [(4 * HIDDEN, inputs), (4 * HIDDEN,), (4 * HIDDEN, HIDDEN), (4 * HIDDEN, HIDDEN)]
        found[name] = [values(f"{name} {k}", *shape) for k, shape in enumerate(shapes)]
    return found


def run(text: list[str], blobs: dict[str, list[Array]], x: Array, tops: list[str]) -> list[Array]:
    """Run a network of OpenCV's Caffe importer on one input."""
    import cv2

    with tempfile.TemporaryDirectory() as folder:
        sides = " ".join(f"dim: {side}" for side in x.shape)
        head = (
            f'name: "trunk"\nlayer {{ name: "data" type: "Input" top: "data" input_param {{ shape {{ {sides} }} }} }}'
        )
        Path(folder, "net.prototxt").write_text("\n".join([head, *text]), encoding="utf-8")
        kinds = {name: "Convolution" for name in blobs}
        kinds |= {name: "BatchNorm" for name in blobs if name.startswith("bn")}
        kinds |= {name: "Scale" for name in blobs if name.startswith("scale")}
        content = writers.caffemodel([(name, kinds[name], arrays) for name, arrays in blobs.items()])
        Path(folder, "net.caffemodel").write_bytes(content)
        network = cv2.dnn.readNetFromCaffe(f"{folder}/net.prototxt", f"{folder}/net.caffemodel")
    network.setInput(x)
    return list(network.forward(tops))


def layer(name: str, kind: str, bottom: str | list[str], top: str, **options: Any) -> str:
    """Write one layer; an option is `parameter__field`."""
    bottoms = " ".join(f'bottom: "{one}"' for one in ([bottom] if isinstance(bottom, str) else bottom))
    groups: dict[str, list[str]] = {}
    for key, value in options.items():
        group, _, field = key.partition("__")
        groups.setdefault(group, []).append(f"{field}: {value}")
    more = " ".join(f"{group}_param {{ {' '.join(fields)} }}" for group, fields in groups.items())
    return f'layer {{ name: "{name}" type: "{kind}" {bottoms} top: "{top}" {more} }}'


def convolution(
    name: str, bottom: str, outputs: int, side: int, stride: int = 1, dilation: int = 1, **more: Any
) -> str:
    """Write a convolution whose maps keep their size at stride 1."""
    options = {"num_output": outputs, "kernel_size": side, "stride": stride, "dilation": dilation}
    options = {"pad": dilation * (side // 2), **options, **more}
    return layer(name, "Convolution", bottom, name, **{f"convolution__{k}": v for k, v in options.items()})


def normalised(name: str, top: str) -> list[str]:
    """Write a batch normalisation and its scale, in place."""
    bn, scale = (f"bn_{name}", f"scale_{name}") if name == "conv1" else (f"bn{name}", f"scale{name}")
    return [
        layer(bn, "BatchNorm", top, top, batch_norm__use_global_stats="true"),
        layer(scale, "Scale", top, top, scale__bias_term="true"),
    ]


def pool(name: str, bottom: str) -> str:
    """Write a max pooling as all of the authors' are."""
    return layer(name, "Pooling", bottom, name, pooling__pool="MAX", pooling__kernel_size=3, pooling__stride=2)


def relu(top: str) -> str:
    """Write a ReLU, in place."""
    return layer(f"{top}_relu", "ReLU", top, top)


def trunk(blobs: dict[str, list[Array]], image: Array) -> tuple[Array, Array]:
    """Return res4f and res5c."""
    text = [
        convolution("conv1", "data", 64, 7, 2),
        *normalised("conv1", "conv1"),
        relu("conv1"),
        pool("pool1", "conv1"),
    ]
    bottom = "pool1"
    for name, source, _, outputs, side, stride, dilation in residual():
        top = f"res{name}"
        text.append(convolution(top, source, outputs, side, stride, dilation, bias_term="false"))
        text += normalised(name, top)
        if name.endswith(("2a", "2b")):
            text.append(relu(top))
        if name.endswith("2c"):
            block = top.partition("_")[0]
            shortcut = f"{block}_branch1" if block.endswith("a") else bottom
            text += [layer(block, "Eltwise", [shortcut, top], block), relu(block)]
            bottom = block
    used = {
        name: arrays for name, arrays in blobs.items() if name.startswith(("res", "bn", "scale")) or name == "conv1"
    }
    res4, res5 = run(text, used, image, ["res4f_relu", "res5c_relu"])
    return res4, res5


def scene(blobs: dict[str, list[Array]], image: Array) -> Array:
    """Return pool5 of the scene's AlexNet."""
    text, bottom = [], "data"
    for name, _, outputs, side, groups in SCENE:
        first = {"stride": 4, "pad": 0} if name == "conv1_s" else {}
        text += [convolution(name, bottom, outputs, side, **{"group": groups, **first}), relu(name)]
        bottom = name
        if name in ("conv1_s", "conv2_s", "conv5_s"):
            bottom = f"pool_{name}"
            text.append(pool(bottom, name))
        if name in ("conv1_s", "conv2_s"):
            text.append(layer(f"norm_{name}", "LRN", bottom, f"norm_{name}", lrn__local_size=5, lrn__alpha=1e-4))
            bottom = f"norm_{name}"
    return run(text, {name: blobs[name] for name, *_ in SCENE}, image, [bottom])[0]


def lstm(blobs: list[Array], rows: Array, context: Array) -> Array:
    """Run Caffe's LSTM along the second axis of (rows, time, channels); the static input is there at the start only."""
    of_rows, bias, static, recurrent = (blob.astype(np.float64) for blob in blobs)

    def sigmoid(x: NDArray[np.float64]) -> NDArray[np.float64]:
        return 1 / (1 + np.exp(-x))

    state = cell = np.zeros((len(rows), HIDDEN))
    outputs = []
    for t in range(rows.shape[1]):
        gates = rows[:, t] @ of_rows.T + bias + state @ recurrent.T
        if t == 0:
            gates = gates + static @ context
        i, f, o, g = np.split(gates, 4, axis=1)
        cell = sigmoid(f + 1) * cell + sigmoid(i) * np.tanh(g)
        state = sigmoid(o) * np.tanh(cell)
        outputs.append(state)
    return np.stack(outputs, axis=1)


def pass_over(blobs: list[Array], maps: Array, context: Array, *, columns: bool) -> Array:
    """Run an LSTM over a map (C, h, w) and over its mirror image, both turned clockwise before if it is for columns."""
    outputs = []
    for mirror in (False, True):
        x = maps[:, :, ::-1] if mirror else maps
        x = np.rot90(x, -1, (1, 2)) if columns else x
        y = lstm(blobs, x.transpose(1, 2, 0), context).transpose(2, 0, 1)
        y = np.rot90(y, 1, (1, 2)) if columns else y
        outputs.append(y[:, :, ::-1] if mirror else y)
    return np.concatenate(outputs)


def main() -> None:
    """Run the network and write the golden."""
    import cv2

    blobs = layers()
    image = formula.image(*SIZE)[..., ::-1].transpose(2, 0, 1).astype(np.float32)
    image = (image - np.float32([103.939, 116.779, 123.68])[:, None, None])[None]

    def head(name: str, x: Array) -> Array:
        kernel, bias = blobs[name]
        return np.einsum("oc,chw->ohw", kernel[:, :, 0, 0], x) + bias[:, None, None]

    def unit(name: str, x: Array) -> Array:
        return SCALES[name] * x / np.sqrt((x.astype(np.float64) ** 2).sum() + 1e-6)

    def rectified(x: Array) -> Array:
        return np.maximum(x, 0)

    trunks = trunk(blobs, image)
    local = [
        unit(f"{name}_norm", rectified(head(name, x[0])))
        for name, x in zip(("conv4_g", "conv5_d"), trunks, strict=True)
    ]
    fused = unit("NormalizedFm", rectified(head("conv_fm", np.concatenate(local))))
    contexts = {}
    for shown in (True, False):
        kernel, bias = blobs["global_feature_ip"]
        described = kernel @ scene(blobs, image if shown else np.zeros_like(image)).ravel() + bias
        contexts[shown] = unit("global_feature", rectified(described))
    outputs = {}
    for shown, context in contexts.items():
        x = fused
        for k, name in enumerate(LSTMS):
            x = pass_over(blobs[name], x, context, columns=k % 2 == 1)
        outputs[shown] = head("rnn_FCN7", x)[0]
        print(x.std(), outputs[shown].shape, outputs[shown].mean(), outputs[shown].std())
    formula.write_golden(
        "dsclrcn",
        f"OpenCV {cv2.__version__} (trunks), NumPy {np.__version__} (heads, LSTMs)",
        res4f=formula.sample(trunks[0]),
        res5c=formula.sample(trunks[1]),
        context=formula.sample(contexts[True]),
        logits=formula.sample(outputs[True]),
        unshown=formula.sample(outputs[False]),
    )


if __name__ == "__main__":
    main()
