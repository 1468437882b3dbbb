"""Give every new item its semantic ID. Fit a codebook if the encoder has none, or if the live one no longer fits.

    python -m jobs.quantize --day 2026-11-20

Reads   silver.items, gold.item_embeddings, gold.encoders and gold.releases; for IDs of behaviour also silver.histories.
Writes  gold.codebooks (only when it fits one), gold.semantic_ids, partition (codebook_version, day), and gold.metrics;
        for IDs of behaviour also gold.item_behaviour, partition (behaviour_version, day).

An ID that is published never moves within a codebook version. A codebook is fitted again when it is old or when new
items no longer suit it (`jobs.codebooks.refit`). The refit starts from the old codebook and keeps its codes as far as
it can. Until a release switches to the new codebook, new items get IDs of the live model's codebook, too.
"""

import sys
from datetime import date
from typing import Any

from jobs.codebooks.behaviour_training import learn_behaviour
from jobs.codebooks.catalogue import Catalogue, choose_vectors, load_catalogue
from jobs.codebooks.fit import fit_codebook
from jobs.codebooks.health_metrics import write_health_metrics
from jobs.codebooks.ids import IDS, PublishedIDs, give_ids, load_published_ids
from jobs.codebooks.refit import find_refit_reason
from jobs.codebooks.settings import Quantizer
from jobs.codebooks.store import CODEBOOKS, find_live_codebook, load_codebook, vector_kind
from jobs.encoders.tuned_encoders import live_encoder
from jobs.lake import JobResult, Lake
from jobs.lake.metrics import replace_metrics
from jobs.lake.run_state import share
from jobs.release.gate import superseded_by_later_release
from jobs.release.releases import live_release
from jobs.runtime.entry import main
from jobs.settings.tree import Settings
from models.quantizers import Codebook


def run(lake: Lake, settings: Settings, day: date) -> JobResult:
    quantizer, encoder = settings.quantizer, live_encoder(lake, settings, day).version
    share(lake, day, CODEBOOKS, IDS)  # an item to which another run has given an ID meanwhile must not get a second one
    # If a later day is live, the metrics of this day stay those of what it published.
    is_superseded = superseded_by_later_release(lake, day) is not None
    texts = load_catalogue(lake, encoder, day)
    if not texts.item_ids:
        if not is_superseded:
            replace_metrics(lake, "quantize", day, [])
        return JobResult(notes={"skipped": f"no item is embedded with {encoder}"})
    champion = live_release(lake, before=str(day))
    if quantizer.vectors != "text" or (champion and vector_kind(champion["codebook_version"]) != "text"):
        learn_behaviour(lake, settings, day)
    catalogue = choose_vectors(lake, texts, quantizer.vectors, day)
    notes: dict[str, Any] = {}
    if catalogue.has_behaviour is not None:
        notes["items_without_behaviour"] = int((~catalogue.has_behaviour).sum())
    fitted = find_live_codebook(lake, quantizer, encoder, day) or fit_codebook(lake, quantizer, catalogue, day)
    codebook, new, ids = _publish_ids(lake, quantizer, catalogue, fitted.version, day)
    if reason := find_refit_reason(quantizer, ids, fitted, day):
        print(f"Fitting the codebook {fitted.version} again: {reason}.", file=sys.stderr, flush=True)
        notes["refit"] = reason
        fitted = fit_codebook(lake, quantizer, catalogue, day, start=codebook)
        codebook, new, ids = _publish_ids(lake, quantizer, catalogue, fitted.version, day)
    if champion and champion["codebook_version"] != fitted.version:
        _give_champion_ids(lake, quantizer, texts, champion, day)
    if not is_superseded:
        write_health_metrics(lake, quantizer, codebook, fitted, catalogue, ids, day)
    count = len(catalogue.item_ids)
    return JobResult(count, new, 0, count - new, notes | {"codebook_version": fitted.version})


def _publish_ids(
    lake: Lake, settings: Quantizer, catalogue: Catalogue, version: str, day: date
) -> tuple[Codebook, int, PublishedIDs]:
    """Give the new items their IDs. returns the codebook, how many items are new, and the IDs of all items"""
    codebook = load_codebook(lake, version, catalogue.vectors.shape[1])
    new = give_ids(lake, catalogue, codebook, version, day, spark_parts=settings.spark_parts)
    return codebook, new, load_published_ids(lake, catalogue, codebook, version)


def _give_champion_ids(lake: Lake, settings: Quantizer, texts: Catalogue, champion: dict[str, Any], day: date) -> None:
    """Give the new items IDs of the live model's codebook, too. champion: its row in gold.releases"""
    version, encoder = champion["codebook_version"], champion["encoder_version"]
    if encoder != texts.encoder:
        texts = load_catalogue(lake, encoder, day)
    if texts.item_ids:
        catalogue = choose_vectors(lake, texts, vector_kind(version), day)
        codebook = load_codebook(lake, version, catalogue.vectors.shape[1])
        give_ids(lake, catalogue, codebook, version, day, spark_parts=settings.spark_parts)


if __name__ == "__main__":
    main(run)
