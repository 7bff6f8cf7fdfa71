"""The papers, one file each. Files here do not import each other; the registry finds them by their class path."""
