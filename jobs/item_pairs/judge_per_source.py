"""Which judge judges the pairs of which source."""

from jobs.item_pairs.llm_judge import load_llm_judge
from jobs.item_pairs.settings import Llm
from jobs.item_pairs.similarity_judge import load_similarity_judge
from jobs.item_pairs.verdicts import Judge
from jobs.lake import Lake, UserError
from jobs.settings.tree import Settings


def load_judges(lake: Lake, settings: Settings, sources: list[str]) -> dict[str, Judge]:
    """The judge of each source of pairs, by the settings.

    raises  UserError if the settings name no judge for a source
    """
    if settings.judge.kind == "similarity":
        return dict.fromkeys(sources, load_similarity_judge(lake, settings))
    models: dict[str, Llm] = {"swing": settings.judge.llm.swing, "two_tower": settings.judge.llm.two_tower}
    if unknown := sorted(set(sources) - models.keys()):
        raise UserError(f"judge.llm names no model for pairs from {', '.join(unknown)}")
    return {source: load_llm_judge(lake, models[source], source, settings.judge.llm.reasoning) for source in sources}
