"""One file a paper. Files here do not import each other; `salzoo.zoo` finds them through `zoo_configs/`."""
