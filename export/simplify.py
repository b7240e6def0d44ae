"""Takes out of a graph what does not decide what it gives."""

import onnx_ir
from onnx_ir.passes import common

__all__ = ["simplified"]

#: Each leaves every number as it is. The exporter has folded constants before; doing so again with ONNX's own inference
#: of shapes takes a quarter of a minute for a generator, and would turn weights of 16 bits back into 32.
_PASSES = (
    # The exporter notes the lines of Python behind each node, half a megabyte for a generator.
    common.ClearMetadataAndDocStringPass,
    common.IdentityEliminationPass,
    common.DeduplicateInitializersPass,
    common.CommonSubexpressionEliminationPass,
    common.RemoveUnusedNodesPass,
    common.RemoveUnusedOpsetsPass,
)


def simplified(model: onnx_ir.Model) -> onnx_ir.Model:
    """Return a model without what is computed twice, held twice or never used; the one given is changed.

    It gives the same bits, and has no metadata any more.
    """
    for one in _PASSES:
        model = one()(model).model
    model.metadata_props.clear()
    return model
