"""A test's own plain layers, which travel to the student's side by value."""

from __future__ import annotations

from typing import Any

from autograder.errors import StudentMisuse
from autograder.isolation import codec

# The constructor's arguments of each layer, by the attributes that hold them.
BY_VALUE = {
    "Linear": ("in_features", "out_features"),
    "Embedding": ("num_embeddings", "embedding_dim"),
    "LayerNorm": ("normalized_shape",),
    "Identity": (),
    "ReLU": (),
    "Tanh": (),
    "GELU": (),
    "Sigmoid": (),
    "Flatten": ("start_dim", "end_dim"),
}


def describe(layer: Any) -> list[Any] | None:
    """[class, constructor's arguments, parameters or children] of a layer; None for others."""
    torch = codec.torch_module()
    name = type(layer).__name__
    if type(layer) is torch.nn.Sequential:
        children = [describe(child) for child in layer]
        return None if None in children else [name, [], children]
    if name not in BY_VALUE or type(layer) is not getattr(torch.nn, name):
        return None
    arguments = [getattr(layer, attribute) for attribute in BY_VALUE[name]]
    return [name, arguments, dict(layer.named_parameters())]


def build(description: list[Any]) -> Any:
    """The layer again, made of the very tensors that were sent.

    So changes and gradients of these tensors come back.
    """
    torch = codec.torch_module()
    name, arguments, content = description
    if name == "Sequential":
        return torch.nn.Sequential(*map(build, content))
    if name not in BY_VALUE:
        raise StudentMisuse("no layer", f"{name} does not travel by value")
    options = {"bias": False} if name == "Linear" and "bias" not in content else {}
    layer = getattr(torch.nn, name)(*arguments, **options)
    for parameter, tensor in content.items():
        tensor.__class__ = torch.nn.Parameter
        layer.register_parameter(parameter, tensor)
    return layer
