"""Item encoder: a decoder-only language model that compresses an item into a few <EMB> tokens.

QARM V2 (arXiv 2602.08559), section "item encoder": the vector of an item is the mean of the last hidden states of its
<EMB> tokens, and questions about the item are answered from these tokens alone. The rows of the <EMB> tokens are not
part of the vocabulary.
"""

from contextlib import AbstractContextManager

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from transformers import PreTrainedModel

from models.encoder import vision
from models.encoder.attention import NAME, Kernel, fastest_kernel
from models.encoder.contrastive_loss import Encoded
from models.encoder.lora import add_adapters
from models.encoder.segments import Batch

LOGITS_AT_ONCE = 1024  # answer tokens whose logits [tokens, vocabulary] are in memory


class ThreeSegmentEncoder(nn.Module):
    """Wraps a causal language model, or a vision-language one.

    model          any that passes keyword arguments on to its attention (transformers' attention interface)
    embs           <EMB> tokens of a row
    rank           of LoRA adapters: besides them only <EMB> and the projector are trained; None trains all weights
    bf16           computes in bfloat16; trained weights stay float32, frozen weights become bfloat16
    checkpointing  keeps only the inputs of layers for the backward pass, and computes the layers again
    """

    def __init__(
        self,
        model: PreTrainedModel,
        *,
        embs: int = 3,
        rank: int | None = None,
        bf16: bool = False,
        checkpointing: bool = False,
    ) -> None:
        super().__init__()
        if embs < 1:
            raise ValueError(f"an item needs at least one <EMB> token, not {embs}")
        self.model = model
        self.rank = rank
        self.bf16 = bf16
        self.kernel: Kernel | None = None  # None: the fastest one on the device
        table = embeddings(model).weight.detach().float()
        self.emb = nn.Parameter(torch.randn(embs, table.shape[1]) * table.std())
        decoder: PreTrainedModel = model.get_decoder()  # type: ignore[no-untyped-call]  # transformers: no types
        decoder.set_attn_implementation(NAME)
        if rank is not None:
            add_adapters(model, rank)
        vision.freeze_tower(model)
        if bf16:
            for parameter in model.parameters():
                parameter.data = parameter.data.to(torch.float32 if parameter.requires_grad else torch.bfloat16)
        if checkpointing:
            decoder.activation_checkpointing_enable()

    def forward(self, batch: Batch, *, input_share: float = 0.0) -> Encoded:
        """Encode rows and read the answers.

        input_share  weight of the input in the attention of questions and answers: 1 is a plain causal model, 0 is
                     the paper's mask; for a warm start, lower it from 1 to 0 during training
        raises       ValueError if input_share is outside [0, 1]
        """
        if not 0 <= input_share <= 1:
            raise ValueError(f"input_share must lie in [0, 1], not {input_share}")
        batch = batch.to(self.emb.device)
        with self.precision():
            states = self.states(batch, input_share)
            nll = self.nll(states[batch.answer - 1], batch.tokens[batch.answer])
        return Encoded(states[batch.emb].float().mean(1), nll, len(batch.answer))

    def embed(self, batch: Batch) -> Tensor:
        """The vectors of rows [rows, dim] float32, not normalised; questions are not needed."""
        batch = batch.to(self.emb.device)
        with self.precision():
            return self.states(batch, 0.0)[batch.emb].float().mean(1)

    def precision(self) -> AbstractContextManager[object]:
        return torch.autocast(self.emb.device.type, torch.bfloat16, enabled=self.bf16)

    def states(self, batch: Batch, input_share: float) -> Tensor:
        """Last hidden states [tokens, dim] of packed rows."""
        tokens: Tensor = embeddings(self.model)(batch.tokens)
        inputs = tokens.index_copy(0, batch.emb.flatten(), self.emb.to(tokens.dtype).repeat(len(batch.emb), 1))
        kernel = self.kernel or fastest_kernel(tokens.device)
        extra = vision.image_arguments(self.model, batch)
        states: Tensor = self.model.base_model(
            inputs_embeds=inputs[None],
            **({"position_ids": batch.position[None]} | extra),
            use_cache=False,
            attend=kernel(batch, input_share),
        ).last_hidden_state
        return states[0]

    def nll(self, states: Tensor, targets: Tensor) -> Tensor:
        """Summed next-token loss of targets [answer tokens] from the states before them [answer tokens, dim]."""
        total = states.new_zeros((), dtype=torch.float32)
        parts = zip(torch.split(states, LOGITS_AT_ONCE), torch.split(targets, LOGITS_AT_ONCE), strict=True)
        for part_states, part_targets in parts:
            total = total + checkpoint(self.logits_nll, part_states, part_targets, use_reentrant=False)
        return total

    def logits_nll(self, states: Tensor, targets: Tensor) -> Tensor:
        head: nn.Linear = self.model.get_output_embeddings()  # type: ignore[no-untyped-call]  # as above
        return F.cross_entropy(head(states).float(), targets, reduction="sum")


def embeddings(model: PreTrainedModel) -> nn.Embedding:
    """The table of the vocabulary's embeddings."""
    table = model.get_input_embeddings()
    assert isinstance(table, nn.Embedding)
    return table
