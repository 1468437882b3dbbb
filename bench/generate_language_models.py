"""The presets of bench/generate.py that are a language model, trained by the settings of the task `generate`."""

from pathlib import Path

import torch
from generate_log import Floats, KnownLog, Scores
from generate_models import BEAM, LIST, fit_codes, learn_behaviour, spread

from jobs.generation.language_model_lists import make_finder
from jobs.generation.stored_language_model import load_generator
from jobs.runtime.progress import progress
from jobs.settings.tree import load_settings
from models.generator.beam import Beams
from models.generator.language_model_training import Plan, fit
from models.generator.task_data import TaskData
from models.generator.tasks import PRESETS
from models.llm.item_text import item_json
from models.ranker.histories import Histories, Int64s


def learn_language_model(preset: str, folder: Path, log: KnownLog, seed: int) -> Scores:
    """lc_rec: codes of the items' texts. semantic_convergence: codes of behaviour.

    raises  ValueError if the folder holds no readable model, or nothing can be learned from the log; UserError if a
            setting is wrong
    """
    settings, is_of_text = load_settings().generator, preset == "lc_rec"
    vectors = log.catalogue.vectors if is_of_text else learn_behaviour(log, "lightgcn", seed).vectors.cpu().numpy()
    codes = fit_codes(vectors, seed)
    data = TaskData(codes.numpy(), log.catalogue.items, log.histories, log.train_ends)
    m = settings.language_model
    lines = [item_json(item) for item in log.catalogue.items]
    generator = load_generator(str(folder), codes, lines, m.lora_rank, seed)
    plan = Plan(
        epochs=settings.epochs, steps=m.steps, rows_per_batch=m.rows, tokens_at_once=m.tokens_per_batch, lr=m.lr,
        valid_users=settings.valid_users, patience=settings.patience, seed=seed,
    )  # fmt: skip
    tokens, report_progress = generator.code_tokens(codes.numpy()), progress("training", every=30)
    fit(generator.model, tokens, data, PRESETS[preset], plan, progress=report_progress)
    is_listed = torch.ones(log.n_items, dtype=torch.bool)
    find_items = make_finder(generator, codes, is_listed, beam=BEAM, tokens_per_batch=m.tokens_per_batch)

    def scores(histories: Histories, users: Int64s, ends: Int64s) -> Floats:
        items, item_scores = find_items(histories, users, ends, LIST)
        return spread(Beams(torch.from_numpy(items), torch.from_numpy(item_scores)), log.n_items)

    return scores
