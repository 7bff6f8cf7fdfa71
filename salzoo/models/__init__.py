"""One file a paper. Files here do not import each other; `salzoo.checkpoint.load` finds them through `zoo_configs/`."""
