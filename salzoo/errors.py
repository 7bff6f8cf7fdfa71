"""The errors that salzoo raises: one tree, each also the built-in kind that callers expect."""


class SalzooError(Exception):
    """Base of every error that salzoo raises on purpose: what, the value got, what is accepted, the next step."""


class SalzooWarning(UserWarning):
    """What salzoo tells without stopping: something was left out, or is doubtful."""


class UnknownModelError(SalzooError, KeyError):
    """No `zoo_configs/<name>.yaml`, or no such tag in it."""

    def __str__(self) -> str:
        """Return the plain message; KeyError alone would quote it."""
        return str(self.args[0]) if self.args else ""


class SpecError(SalzooError, ValueError):
    """A model's YAML, a checkpoint's config.json or an argument has a wrong key, type or value."""


class WeightsError(SalzooError, RuntimeError):
    """Weights are missing, damaged, or do not fit the network."""


class ImageError(SalzooError, ValueError):
    """An image cannot be read, or has a shape, type or range that salzoo does not take."""


class DatasetNotFoundError(SalzooError, FileNotFoundError):
    """A data set's folder or one of its files is not where the reader looks."""


class DataError(SalzooError, ValueError):
    """A data set is there, but its content cannot be right."""


class PublishError(SalzooError, RuntimeError):
    """A checkpoint folder is not fit to be published, or the Hub does not take it."""


class RunError(SalzooError, RuntimeError):
    """A run could not go on: a full disk, a process that was lost."""
