"""Optimizers whose step costs the same for any number of items."""

import torch
from torch import nn


def sparse_tables(model: nn.Module) -> list[nn.Parameter]:
    """The tables with sparse gradients: a step reads and updates few of their rows."""
    sparse = {id(m.weight) for m in model.modules() if isinstance(m, nn.Embedding | nn.EmbeddingBag) and m.sparse}
    return [weights for weights in model.parameters() if id(weights) in sparse]


def dense_weights(model: nn.Module) -> list[nn.Parameter]:
    """All weights that are not in a sparse table."""
    tables = {id(table) for table in sparse_tables(model)}
    return [weights for weights in model.parameters() if id(weights) not in tables]


def build_optimizers(model: nn.Module, lr: float, *, memory: float = 0.999) -> list[torch.optim.Optimizer]:
    """Adam. In tables with a row per item it updates only the rows that a batch read.

    memory  Adam's second beta: how slowly the scale of a step follows the gradients
    """
    tables, betas = sparse_tables(model), (0.9, memory)
    dense = torch.optim.AdamW(dense_weights(model), lr=lr, betas=betas, weight_decay=0.0, fused=True)
    return [torch.optim.SparseAdam(tables, lr=lr, betas=betas), dense] if tables else [dense]
