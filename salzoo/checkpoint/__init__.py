"""Everything about a checkpoint: its config, its folder, the Hub, its card, and the way from a name to a model."""
