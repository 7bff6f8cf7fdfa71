"""The authors' own weights: their files, in the formats of their time, become ordinary checkpoints.

`weights` does the work for every model, `source` is what a mapping sees of the files, `rules` what mappings share, and
`maps/<name>.py` says, for one model, which of their tensors is which of ours.
"""
