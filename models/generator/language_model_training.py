"""Training of a language model on the tasks. Rows are drawn when needed: a step costs the same for any data."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from models.distributed import sum_gradients, worker_count, worker_index
from models.generator.language_model import CodeLanguageModel
from models.generator.language_model_tokens import CodeTokens
from models.generator.task_data import TaskData
from models.generator.tasks import Row, Task, draw_rows, sequence_prompt
from models.generator.validation import Validation
from models.token_batches import token_batches
from models.training import checkpoint as checkpoints
from models.training import parallel

Progress = Callable[[int, int], None]  # steps done, maximum number of steps
Tokens = tuple[list[int], int]  # a row, and how many of its tokens are the prompt
WARM_UP = 0.1  # share of the steps
MAX_NORM = 1.0  # of the gradient


@dataclass(frozen=True)
class Epoch(checkpoints.Epoch):
    """One point of the training curve. Losses are mean cross-entropies of a token in nats.

    train_loss  of the rows of all tasks
    valid_loss  of the codes of the validation users' next items; NaN if there are no validation users
    """

    valid_loss: float

    @property
    def score(self) -> float:
        """The best epoch has the highest score."""
        return -self.valid_loss


@dataclass(frozen=True)
class Plan:
    """How to train.

    steps           of an epoch
    rows_per_batch  of all workers together
    tokens_at_once  in memory, with padding; a smaller number needs less memory and gives the same gradient
    lr              peak learning rate
    valid_users     how many users, drawn from those with an event after their end, measure the epochs: by that event
    patience        training stops after this many epochs without a better one
    """

    epochs: int
    steps: int
    rows_per_batch: int
    tokens_at_once: int
    lr: float
    valid_users: int
    patience: int
    seed: int


def fit(
    model: CodeLanguageModel,
    tokens: CodeTokens,
    data: TaskData,
    tasks: Sequence[Task],
    plan: Plan,
    *,
    progress: Progress | None = None,
    checkpoint: checkpoints.Checkpoint | None = None,
) -> list[Epoch]:
    """Train the model in place, and leave it at the epoch that predicts the validation users' next items best.

    On a CPU the same arguments and threads give the same weights. Epoch 0 of the curve is the model before this
    training, which has no training loss. Without validation users the last epoch is kept.

    checkpoint  saves the state, see `save_state`; a training that was killed resumes there and ends with the same
                weights
    returns     the training curve
    raises      ValueError if the data have no row for a task, FloatingPointError if training diverged
    """
    trained = nn.ParameterList(parameter for parameter in model.parameters() if parameter.requires_grad)
    parallel.copy_weights_of_first_worker(trained)
    optimizer = torch.optim.AdamW(trained, lr=plan.lr, weight_decay=0.0)
    state = checkpoints.resume(checkpoint, trained, [optimizer], Epoch)
    valid = _validation_rows(data, tokens, model.max_tokens, plan)
    if not state.curve:
        state.add(Epoch(0, math.nan, _measure(model, valid, plan)), trained)
    with torch.random.fork_rng():
        for epoch in range(state.epochs_done + 1, plan.epochs + 1):
            if epoch > state.best_epoch + plan.patience:
                break
            loss = _train_epoch(model, list(trained), optimizer, tokens, data, tasks, plan, epoch, progress)
            parallel.copy_weights_of_first_worker(trained)
            state.add(Epoch(epoch, loss, _measure(model, valid, plan)), trained)
            checkpoints.save_state(checkpoint, trained, [optimizer], state)
    checkpoints.save_state(checkpoint, trained, [optimizer], state, is_end=True)
    trained.load_state_dict(state.best_weights)
    model.eval()
    return state.curve


def _train_epoch(
    model: CodeLanguageModel,
    parameters: list[nn.Parameter],
    optimizer: torch.optim.Optimizer,
    tokens: CodeTokens,
    data: TaskData,
    tasks: Sequence[Task],
    plan: Plan,
    epoch: int,
    progress: Progress | None,
) -> float:
    """Take the steps of one epoch. returns the mean loss of a row"""
    model.train()
    total = torch.zeros(1, device=model.device)
    for step in range((epoch - 1) * plan.steps, epoch * plan.steps):
        drawn = draw_rows(data, tasks, plan.rows_per_batch, np.random.default_rng([plan.seed, step]))
        rows = _tokenize(tokens, drawn[worker_index() :: worker_count()], model.max_tokens)
        dropout = np.random.default_rng([plan.seed, step, 1 + worker_index()])
        torch.manual_seed(int(dropout.integers(1 << 62)))
        for group in optimizer.param_groups:
            group["lr"] = plan.lr * _pace(step, plan.epochs * plan.steps)
        for batch, is_answer in _pad_batches(rows, plan.tokens_at_once, model.device):
            loss = model.answer_loss(batch, is_answer).sum() / plan.rows_per_batch
            torch.autograd.backward(loss)
            total += loss.detach()
        for parameter in parameters:  # one at a time: a copy of the whole gradient may not fit into memory
            sum_gradients([parameter])
        if not nn.utils.clip_grad_norm_(parameters, MAX_NORM).isfinite():
            raise FloatingPointError(f"the gradient of step {step + 1} is NaN or infinite")
        optimizer.step()
        optimizer.zero_grad()
        if progress is not None:
            progress(step + 1, plan.epochs * plan.steps)
    return float(parallel.sum_over_workers(total.cpu().numpy(), model.device)[0]) / plan.steps


def _tokenize(tokens: CodeTokens, rows: Sequence[Row], limit: int) -> list[Tokens]:
    answers = tokens.tokenize(row.answer for row in rows)
    prompts = tokens.prompts((row.prompt for row in rows), limit - max(map(len, answers), default=0))
    return [(prompt + answer, len(prompt)) for prompt, answer in zip(prompts, answers, strict=True)]


def _pad_batches(rows: Sequence[Tokens], budget: int, device: torch.device) -> list[tuple[Tensor, Tensor]]:
    """Batches of rows of similar length: token ids, and which of them are the answer.

    Both are [rows of the batch, longest], padded on the right.
    """
    batches = []
    for places in token_batches([len(row) for row, _ in rows], budget):
        batch = [rows[place] for place in places]
        longest = max(len(row) for row, _ in batch)
        ids = torch.tensor([row + [0] * (longest - len(row)) for row, _ in batch], device=device)
        starts = torch.tensor([start for _, start in batch], device=device)[:, None]
        ends = torch.tensor([len(row) for row, _ in batch], device=device)[:, None]
        columns = torch.arange(longest, device=device)
        batches.append((ids, (columns >= starts) & (columns < ends)))
    return batches


def _validation_rows(data: TaskData, tokens: CodeTokens, limit: int, plan: Plan) -> list[Tokens]:
    """Rows that ask for the next items of the validation users. Workers share them: these are the worker's own."""
    drawn = Validation.draw(data.histories, data.ends, plan.valid_users, plan.seed)
    known = parallel.take_share(np.flatnonzero(data.has_codes[drawn.targets]))
    rows = [
        Row(sequence_prompt(data.past(user, int(data.ends[user]))), (target,))
        for user, target in zip(drawn.users[known].tolist(), drawn.targets[known].tolist(), strict=True)
    ]
    return _tokenize(tokens, rows, limit)


@torch.no_grad()
def _measure(model: CodeLanguageModel, rows: Sequence[Tokens], plan: Plan) -> float:
    """The mean loss of the validation rows of all workers, the same number in each; NaN if there are no rows."""
    model.eval()
    losses = [model.answer_loss(*batch).sum() for batch in _pad_batches(rows, plan.tokens_at_once, model.device)]
    sums = np.array([float(sum(losses)), len(rows)], np.float32)
    total, count = parallel.sum_over_workers(sums, model.device).tolist()
    return total / count if count else math.nan


def _pace(step: int, steps: int) -> float:
    """Share of the learning rate at a step from 0: a linear rise, then a linear fall."""
    warm_up = max(1, round(WARM_UP * steps))
    return min((step + 1) / warm_up, (steps - step) / max(1, steps - warm_up))
