"""Short descriptions of model and data, for headers and reports."""

from pathlib import PurePosixPath

from grambench.config.spec import Spec


def model_label(spec: Spec) -> str:
    """The encoder, for example `BERT from scratch, 2 layers × 64`; of a folder the end of its path."""
    shape = spec.encoder.architecture
    if shape is not None:
        return f"BERT from scratch, {shape.layers} layers × {shape.hidden_size}"
    cut = f", first {spec.encoder.layers} layers" if spec.encoder.layers else ""
    name = str(spec.encoder.model)
    if name.startswith(("/", "~", ".")):
        name = "/".join(PurePosixPath(name).parts[-2:])
    return f"{name}{cut}"


def data_label(spec: Spec) -> str:
    """The data set and the text fields used, for example `mind-small, title + abstract`."""
    limits = spec.data.fields
    fields = [name for name in ("title", "abstract", "body") if getattr(limits, name)]
    kind = " (synthetic)" if spec.data.is_generated else ""
    return f"{spec.data.dataset}{kind}, {' + '.join(fields)}"
