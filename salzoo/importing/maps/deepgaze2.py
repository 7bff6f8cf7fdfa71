"""DeepGazeII.ckpt cannot be imported: nothing public says what its variables are called; see `salzoo import --list`.

The file is a TensorFlow 1 checkpoint with a graph, and the page that offered it is gone. Whoever has it finds with
`salzoo import --list DeepGazeII.ckpt` names and shapes of its variables; what they are in `DeepGazeIINetwork` then goes
here, as in `deepgaze2e.py`: VGG-19 up to conv5_4, the read-out 2560-16-32-2-1, the blur's width and the weight of the
centre bias.
"""
