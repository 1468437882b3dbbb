"""The three-segment encoder: what an answer can learn from, and that fast kernels are right."""

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity, cross_entropy
from transformers import MistralConfig, MistralForCausalLM

from models.encoder.attention import Attend, Kernel, dense_kernel, flex_kernel, row_kernel
from models.encoder.segments import Batch, Segment
from models.encoder.three_segment import ThreeSegmentEncoder
from tests.llm import EMBS, packed, rows, tiny_llm


def without_emb(kernel: Kernel) -> Kernel:
    """The same attention, but no gradient passes through the keys and values of <EMB>."""

    def cut_kernel(batch: Batch, input_share: float) -> Attend:
        attend = kernel(batch, input_share)
        emb = (batch.segment == Segment.EMB)[:, None]

        def cut(query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
            return attend(query, key.detach().where(emb, key), value.detach().where(emb, value), scale)

        return cut

    return cut_kernel


def gradient_at_inputs(encoder: ThreeSegmentEncoder, batch: Batch, input_share: float = 0.0) -> Tensor:
    """Length of the gradient of the answers' loss at the embedding of every input token."""
    embedded: list[Tensor] = []
    table = encoder.model.get_input_embeddings()
    hook = table.register_forward_hook(lambda _module, _args, out: embedded.append(out))
    nll = encoder(batch, input_share=input_share).nll
    hook.remove()
    (at_tokens,) = torch.autograd.grad(nll, embedded[:1])
    return at_tokens[batch.segment == Segment.INPUT].abs().amax(1)


@pytest.mark.parametrize("kernel", [row_kernel, dense_kernel])
@pytest.mark.parametrize("seed", range(3))
def test_an_answer_learns_from_the_input_through_the_emb_tokens_only(kernel: Kernel, seed: int) -> None:
    encoder, batch = ThreeSegmentEncoder(tiny_llm(seed), embs=EMBS), packed(*rows(seed))
    has_questions = (batch.row != 2)[batch.segment == Segment.INPUT]
    encoder.kernel = kernel
    assert (gradient_at_inputs(encoder, batch)[has_questions] > 0).all()
    encoder.kernel = without_emb(kernel)
    assert (gradient_at_inputs(encoder, batch) == 0).all()
    assert (gradient_at_inputs(encoder, batch, input_share=0.01)[has_questions] > 0).all()


@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
@pytest.mark.parametrize("input_share", [0.0, 0.3, 1.0])
def test_fast_and_reference_attention_agree_in_vectors_losses_and_gradients(input_share: float) -> None:
    encoder, batch = ThreeSegmentEncoder(tiny_llm(), embs=EMBS), packed(*rows())
    results = []
    for kernel in (dense_kernel, row_kernel):
        encoder.kernel = kernel
        out = encoder(batch, input_share=input_share)
        loss = out.nll / out.answer_tokens + out.vectors.square().mean()
        results.append(
            (out.vectors, out.nll / out.answer_tokens, *torch.autograd.grad(loss, list(encoder.parameters())))
        )
    for fast, reference in zip(*results, strict=True):
        torch.testing.assert_close(fast, reference, rtol=1e-3, atol=1e-4)
    encoder.kernel = flex_kernel
    with torch.no_grad():  # flex attention has no backward pass on CPU
        out = encoder(batch, input_share=input_share)
    torch.testing.assert_close(out.vectors, results[0][0], rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(out.nll / out.answer_tokens, results[0][1], rtol=1e-3, atol=1e-4)


def test_with_an_input_share_of_1_it_is_the_plain_causal_model() -> None:
    encoder = ThreeSegmentEncoder(tiny_llm(), embs=EMBS)
    inputs, questions = rows()
    vectors, nll = [], 0.0
    for row in zip(inputs, questions, strict=True):
        batch = packed([row[0]], [row[1]])
        plain = tiny_llm()
        with torch.no_grad():
            embedded = plain.get_input_embeddings()(batch.tokens)
            embedded[batch.emb] = encoder.emb
            out = plain(inputs_embeds=embedded[None], output_hidden_states=True)
            vectors.append(out.hidden_states[-1][0, batch.emb[0]].mean(0))
            nll += float(cross_entropy(out.logits[0, batch.answer - 1], batch.tokens[batch.answer], reduction="sum"))
    with torch.no_grad():
        ours = encoder(packed(inputs, questions), input_share=1.0)
    torch.testing.assert_close(ours.vectors, torch.stack(vectors), rtol=1e-4, atol=1e-5)
    assert float(ours.nll) == pytest.approx(nll, rel=1e-5)
    assert ours.answer_tokens == sum(len(answer) for row in questions for _, answer in row)


def test_packed_rows_do_not_influence_each_other() -> None:
    encoder = ThreeSegmentEncoder(tiny_llm(), embs=EMBS)
    inputs, questions = rows()
    with torch.no_grad():
        together = encoder(packed(inputs, questions))
        alone = [encoder(packed([row], [row_questions])) for row, row_questions in zip(inputs, questions, strict=True)]
    torch.testing.assert_close(together.vectors, torch.cat([out.vectors for out in alone]), rtol=1e-4, atol=1e-5)
    assert float(together.nll) == pytest.approx(sum(float(out.nll) for out in alone), rel=1e-5)


def test_questions_and_the_warm_start_do_not_change_the_vectors() -> None:
    encoder = ThreeSegmentEncoder(tiny_llm(), embs=EMBS)
    inputs, questions = rows()
    with torch.no_grad():
        vectors = encoder.embed(packed(inputs, None))
        with_questions = [encoder(packed(inputs, questions), input_share=share).vectors for share in (0.0, 0.5)]
        without_questions = encoder(packed(inputs, None))
    for other in (*with_questions, without_questions.vectors):
        torch.testing.assert_close(other, vectors, rtol=1e-4, atol=1e-5)
    assert (float(without_questions.nll), without_questions.answer_tokens) == (0.0, 0)


def test_question_tokens_carry_no_loss() -> None:
    encoder = ThreeSegmentEncoder(tiny_llm(), embs=EMBS)
    with torch.no_grad():
        encoded = encoder(packed([[5, 6]], [[([7, 8, 9], [])]]))
    assert (float(encoded.nll), encoded.answer_tokens) == (0.0, 0)


def test_the_answers_of_an_item_get_into_its_emb_tokens() -> None:
    """One question about four items: if nothing passed through <EMB>, the loss could not fall below log 4."""
    encoder = ThreeSegmentEncoder(tiny_llm(), embs=EMBS)
    batch = packed([[item, 20] for item in range(1, 5)], [[([30], [40 + item])] for item in range(1, 5)])
    optimiser = torch.optim.AdamW(encoder.parameters(), lr=3e-3)
    losses = []
    for step in range(40):
        out = encoder(batch, input_share=max(0.0, 1 - step / 20))
        losses.append(float(out.nll.detach()) / out.answer_tokens)
        optimiser.zero_grad()
        out.nll.backward()
        optimiser.step()
    assert losses[-1] < 0.1 < 1.38 < losses[0]


def gradients(encoder: ThreeSegmentEncoder) -> tuple[Tensor, ...]:
    out = encoder(packed(*rows()), input_share=0.5)
    return torch.autograd.grad(out.nll / out.answer_tokens + out.vectors.square().mean(), list(encoder.parameters()))


def test_gradient_checkpointing_changes_no_gradient() -> None:
    encoders = []
    for checkpointing in (False, True):
        model = tiny_llm()
        torch.manual_seed(1)  # of the <EMB> rows
        encoders.append(ThreeSegmentEncoder(model, embs=EMBS, checkpointing=checkpointing).train())
    calls = []
    encoders[1].get_submodule("model.model.layers.0.mlp").register_forward_pre_hook(lambda *_: calls.append(1))
    for ours, plain in zip(gradients(encoders[1]), gradients(encoders[0]), strict=True):
        torch.testing.assert_close(ours, plain, rtol=1e-5, atol=1e-7)
    assert len(calls) == 2  # in the forward pass, and again in the backward pass


@pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")
@pytest.mark.parametrize("rank", [None, 4])
def test_bf16_computes_nearly_the_same_and_trains_in_float32(rank: int | None) -> None:
    encoders = []
    for bf16 in (False, True):
        model = tiny_llm()
        torch.manual_seed(1)
        encoders.append(ThreeSegmentEncoder(model, embs=EMBS, rank=rank, bf16=bf16))
    outs = [encoder(packed(*rows())) for encoder in encoders]
    assert cosine_similarity(outs[0].vectors, outs[1].vectors).min() > 0.999
    assert float(outs[1].nll.detach()) == pytest.approx(float(outs[0].nll.detach()), rel=0.02)
    assert not torch.equal(outs[0].vectors, outs[1].vectors)
    dtypes = set()

    def recording_flex(batch: Batch, input_share: float) -> Attend:
        attend = flex_kernel(batch, input_share)

        def record_dtypes(query: Tensor, key: Tensor, value: Tensor, scale: float) -> Tensor:
            dtypes.update({query.dtype, key.dtype, value.dtype})
            return attend(query, key, value, scale)

        return record_dtypes

    encoders[1].kernel = recording_flex
    with torch.no_grad():
        flexed = encoders[1](packed(*rows()))
    assert dtypes == {torch.bfloat16}
    assert cosine_similarity(flexed.vectors, outs[1].vectors).min() > 0.999
    for parameter in encoders[1].parameters():
        assert parameter.dtype == (torch.float32 if parameter.requires_grad else torch.bfloat16)


@pytest.mark.parametrize("input_share", [-0.1, 1.1, float("nan")])
def test_an_input_share_outside_0_and_1_is_refused(input_share: float) -> None:
    with pytest.raises(ValueError, match="input_share"):
        ThreeSegmentEncoder(tiny_llm(), embs=EMBS)(packed(*rows()), input_share=input_share)


def test_a_model_with_attention_that_the_kernels_do_not_support_is_refused() -> None:
    config = MistralConfig(
        vocab_size=97, hidden_size=32, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2, head_dim=16,
        num_key_value_heads=2, sliding_window=8,
    )  # fmt: skip
    with pytest.raises(ValueError, match="sliding_window"):
        ThreeSegmentEncoder(MistralForCausalLM(config), embs=EMBS).embed(packed(*rows()))
