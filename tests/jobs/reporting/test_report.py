"""The report of a run: what it says, and that no text in the data can break it."""

import re
from datetime import date, timedelta
from pathlib import Path

from jobs.lake import Lake
from jobs.lake.metrics import metric_rows, replace_metrics
from jobs.report import run
from jobs.reporting.templates import NO_VALUE
from jobs.settings.tree import Settings
from tests.jobs.lake_rows import DAY, moment, put, put_catalogue, put_metrics, release_row, run_row

SCRIPT = "<script>alert('x')</script>"


def page(lake: Lake, settings: Settings, day: date = DAY, data: str = "") -> str:
    return Path(run(lake, settings, day, data).notes["report"]).read_text()


def visible_text(html: str) -> str:
    return " ".join(re.sub(r"<[^>]+>", " ", html).split())


def test_the_page_of_an_empty_lake_says_that_nothing_was_measured(lake: Lake, settings: Settings) -> None:
    html = page(lake, settings)
    assert "Nothing was measured on this day" in html
    assert "No model has been evaluated" in html


def test_the_headline_says_that_a_day_had_no_events(lake: Lake, settings: Settings) -> None:
    counts = {"rows_in": 0, "rows_out": 0, "rows_rejected": 0, "rows_duplicate": 0}
    replace_metrics(lake, "ingest", DAY, metric_rows("rows", "events", counts))
    assert "There were no events on this day, so no model changed." in page(lake, settings)


def test_conflicting_rows_are_shown_if_there_are_any(lake: Lake, settings: Settings) -> None:
    counts = {"rows_in": 9, "rows_out": 7, "rows_rejected": 0, "rows_duplicate": 0, "rows_conflicting": 0}
    replace_metrics(lake, "ingest", DAY, metric_rows("rows", "events", counts))
    assert "conflicting" not in page(lake, settings)
    replace_metrics(lake, "ingest", DAY, metric_rows("rows", "events", counts | {"rows_conflicting": 2}))
    text = visible_text(page(lake, settings))
    assert "conflicting events 2" in text
    assert "read kept duplicate conflicting rejected 2026-11-20 9 7 0 2 0" in text


def test_the_headline_says_why_the_champion_stays(lake: Lake, settings: Settings) -> None:
    put_metrics(lake, DAY)
    put(lake, "gold.releases", [release_row(1, DAY, "keep", "AUC fell by 0.0100")])
    assert "The champion stays. AUC fell by 0.0100." in page(lake, settings)


def test_a_backfilled_day_says_that_a_later_release_is_live(lake: Lake, settings: Settings) -> None:
    put_metrics(lake, DAY)
    put(lake, "gold.releases", [release_row(1, DAY + timedelta(1))])
    assert "Nothing was released: a release of a later day (2026-11-21) is live." in page(lake, settings)


def test_a_rollback_of_the_day_does_not_hide_what_the_run_decided(lake: Lake, settings: Settings) -> None:
    put(lake, "gold.releases", [release_row(1, DAY), release_row(2, DAY, "rollback", "by hand")])
    html = page(lake, settings)
    assert "The challenger was promoted. AUC 0.71 beats 0.70. It was then rolled back: release 2 is live." in html
    assert "release 2 (rollback" in html


def test_the_first_day_without_a_champion_has_a_page(lake: Lake, settings: Settings) -> None:
    put_metrics(lake, DAY, champion=False)
    put(lake, "gold.releases", [release_row(1, DAY)])
    html = page(lake, settings)
    assert "AUC of champion</abbr></dt><dd>\N{EN DASH}</dd>" in html
    assert "<svg" in html


def test_the_best_possible_auc_is_shown_beside_the_models(lake: Lake, settings: Settings, tmp_path: Path) -> None:
    put_metrics(lake, DAY)
    (tmp_path / "_truth.json").write_text(f'{{"{DAY}": {{"best_auc": 0.8123, "best_auc_without_position": 0.8001}}}}')
    html = page(lake, settings, data=str(tmp_path))
    assert "0.8123" in html
    assert "0.8001" in html


def test_all_metrics_of_evaluate_are_shown(lake: Lake, settings: Settings) -> None:
    hits = {"hit_rate_at_10": 0.111, "hit_rate_at_20": 0.222, "ndcg_at_10": 0.333, "ndcg_at_20": 0.444}
    rows = metric_rows("live", "all", hits, rows=77) + metric_rows("popular", "all", {"ndcg_at_10": 0.1}, rows=77)
    rows += metric_rows("challenger", "all", {"auc": 0.7, "missed_by_id_search": 0.4567}, rows=5000)
    rows += metric_rows("challenger", "like", {"auc": 0.6543}, rows=4321)
    replace_metrics(lake, "evaluate", DAY, rows)
    text = visible_text(page(lake, settings))
    assert "likes challenger 4,321 0.6543" in text
    assert "by the ID embeddings of DIN misses 45.67 %" in text
    assert "lists of the day before 77 0.1110 0.2220 0.3330 0.4440" in text
    assert "most popular items 77 {0} {0} 0.1000 {0}".format("\N{EN DASH}") in text


def test_the_text_of_items_and_lines_cannot_become_markup(lake: Lake, settings: Settings) -> None:
    put_catalogue(lake, {"i1": f"kettle {SCRIPT}", "i2": None})
    put(lake, "silver.item_pairs", [
        {"item_a": "i1", "item_b": "i2", "source": SCRIPT, "score": 1.0, "verdict": "yes", "reason": SCRIPT,
         "judge_version": "j", "day": DAY},
    ])  # fmt: skip
    put(lake, "bronze.rejects", [
        {"source": "events", "file": SCRIPT, "line": 1, "raw": SCRIPT, "reason": SCRIPT, "run_id": "r",
         "day": DAY},
    ])  # fmt: skip
    put(lake, "gold.recommendations", [
        {"user_id": SCRIPT, "rank": 1, "item_id": "i1", "score": 0.5, "model_version": "m", "day": DAY},
    ])  # fmt: skip
    put(lake, "gold.releases", [release_row(1, DAY, reason=SCRIPT)])
    html = page(lake, settings)
    assert "<script" not in html
    assert html.count("&lt;script&gt;") >= 6


def test_control_characters_in_logs_are_visible_on_the_pages(lake: Lake, settings: Settings) -> None:
    codes = {"i1": (1, 2, 7), "i2": (1, 3, 7)}
    put_catalogue(lake, {"i1": "kettle \x1b[2J", "i2": "tea\u202epot \x00"}, codes=codes)
    put(lake, "bronze.rejects", [
        {"source": "events", "file": "events\x1b]0;title\x07.jsonl", "line": 1, "raw": "{\t\x9b31m}",
         "reason": "no\r JSON", "run_id": "r", "day": DAY},
    ])  # fmt: skip
    put_metrics(lake, DAY)
    html = page(lake, settings)
    for shown in (r"events\x1b]0;title\x07.jsonl", "{\t\\x9b31m}", r"no\r JSON"):
        assert shown in html
    tree = (Path(lake.root) / "reports" / f"{DAY}-codes.html").read_text()
    for shown in (r"kettle \x1b[2J", r"tea\u202epot \x00"):
        assert shown in tree
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]", html + tree)


def test_pairs_are_shown_with_the_share_that_was_dropped_and_examples_with_reasons(
    lake: Lake, settings: Settings
) -> None:
    put_catalogue(lake, {f"i{n}": f"item {n}" for n in range(6)})
    verdicts = [
        ("yes", "one use", 2.0),
        ("no", "sold to everybody", 3.0),
        ("no", "far apart", 0.5),
        ("unsure", "no answer", 1.0),
    ]
    put(lake, "silver.item_pairs", [
        {"item_a": f"i{n}", "item_b": "i5", "source": source, "score": 1.0, "verdict": verdict, "reason": reason,
         "judge_version": f"judge of {source}", "judge_seconds": seconds, "day": DAY}
        for source, rows in (("swing", verdicts), ("two_tower", verdicts[:1]))
        for n, (verdict, reason, seconds) in enumerate(rows)
    ])  # fmt: skip
    text = visible_text(page(lake, settings))
    assert "swing 4 1 2 1 75.00 % 6.5 judge of swing two_tower 1 1 0 0 0.00 % 2.0 judge of two_tower" in text
    assert "Kept, highest scores first item 0 ↔ item 5 (one use) Dropped as unsure, highest" in text
    assert "item 1 ↔ item 5 (sold to everybody)" in text
    assert "highest scores first item 3 ↔ item 5 (no answer) Dropped, highest" in text


def test_a_tuned_encoder_is_shown_beside_the_live_encoder(lake: Lake, settings: Settings) -> None:
    row = {"encoder_version": "tuned", "base_version": "base", "pairs": 4321, "held_out": 480}
    put(lake, "gold.encoders", [row | {"hr_at_10": 0.25, "hr_at_10_live": 0.26, "live": False, "day": DAY}])
    text = visible_text(page(lake, settings))
    assert f"{DAY} tuned 4,321 480 0.2500 0.2600 no: not better" in text
    assert "The original encoder is in use" in page(lake, settings, DAY - timedelta(1))


def test_the_sources_of_the_items_that_users_acted_on_are_shown(lake: Lake, settings: Settings) -> None:
    assert "Which source had found these items?" not in page(lake, settings)
    replace_metrics(lake, "evaluate", DAY, [
        *metric_rows("live", "all", {"hit_rate_at_10": 0.1}, rows=40),
        *metric_rows("graph", "sources", {"hit_rate": 0.075, "hit_rate_alone": 0.05}, rows=40),
        *metric_rows("pairs", "sources", {"hit_rate": 0.025, "hit_rate_alone": 0.0}, rows=40),
    ])  # fmt: skip
    values = {"hit_rate_at_10": 0.2, "hit_rate_at_50": 0.3}
    replace_metrics(lake, "generate", DAY, metric_rows("graph", "all", values, rows=30))
    text = visible_text(page(lake, settings))
    assert "judged pairs 0.0250 0.0000" in text
    assert "item graph 0.0750 0.0500 0.2000 0.3000" in text


def test_example_users_are_shown_with_titles_of_their_history_and_recommendations(
    lake: Lake, settings: Settings
) -> None:
    put_catalogue(lake, {"i1": "blue kettle", "i2": "red teapot", "i3": "shown only", "i4": "long ago"})
    times = {"i1": ("click", DAY), "i3": ("impression", DAY), "i4": ("click", DAY - timedelta(400))}
    put(lake, "silver.events", [
        {"event_id": item, "user_id": "u1", "item_id": item, "event": event, "ts": moment(day),
         "landed_day": day, "day": day} for item, (event, day) in times.items()
    ])  # fmt: skip
    put(lake, "gold.recommendations", [
        {"user_id": "u1", "rank": 1, "item_id": "i2", "score": 0.5, "model_version": "m", "day": DAY},
    ])  # fmt: skip
    html = page(lake, settings)
    assert "blue kettle" in html
    assert "red teapot" in html
    assert "shown only" not in html
    assert "long ago" not in html


def test_items_found_ahead_are_shown_by_source_for_days_and_for_example_users(lake: Lake, settings: Settings) -> None:
    put_catalogue(lake, {"i1": "blue kettle", "i2": "red teapot", "i3": f"cup {SCRIPT}"})
    put(lake, "gold.recommendations", [
        {"user_id": "u1", "rank": 1, "item_id": "i2", "score": 0.5, "model_version": "m", "day": DAY},
    ])  # fmt: skip
    put(lake, "gold.generated", [
        {"user_id": user, "rank": 1, "item_id": item, "score": -1.5, "source": source, "model_version": "m", "day": DAY}
        for user, item, source in (("u1", "i1", "graph"), ("u1", "i3", "generator"), ("u2", "i2", "graph"))
    ])  # fmt: skip
    curve = {1: (2.5, 0.125), 2: (1.5, 0.25)}
    rows = [
        row for epoch, (loss, recall) in curve.items()
        for row in metric_rows("generator", f"epoch_{epoch}", {"train_loss": loss, "recall_at_10": recall})
    ]  # fmt: skip
    for source, rate, gate in (("graph", 0.0625, 0.5), ("generator", 0.1875, 0.375)):
        rows += metric_rows(source, "all", {"hit_rate_at_10": rate, "hit_rate_at_50": 2 * rate})
        rows += metric_rows(source, "gate", {"hit_rate_at_5": gate}, rows=40)
    rows += metric_rows("live_generator", "gate", {"hit_rate_at_5": 0.25}, rows=40)
    replace_metrics(lake, "generate", DAY, rows + metric_rows("generator", "refused", {"it found less": 1.0}))
    html = page(lake, settings)
    text = visible_text(html)
    assert "by the item graph, with the score blue kettle i1" in text
    assert "by the trained generator, with the score cup &lt;script&gt;" in text
    assert "2026-11-20 trained generator 18.75 % 37.50 %" in text
    assert "2026-11-20 item graph 6.25 % 12.50 %" in text
    assert "The trained generator did not go live: it found less." in text
    compared = "37.50 % by the trained generator, 50.00 % by the item graph, 25.00 % by the generator that was live"
    assert f"hit rate at 5: {compared} (40 items" in text
    assert "1 2.5000 0.1250" in text
    assert "Recall and NDCG at 10 after each epoch" in text


def test_the_curve_of_a_language_model_has_its_validation_loss(lake: Lake, settings: Settings) -> None:
    rows = metric_rows("generator", "epoch_0", {"train_loss": float("nan"), "valid_loss": 3.5})
    rows += metric_rows("generator", "epoch_1", {"train_loss": 2.5, "valid_loss": 1.25})
    replace_metrics(lake, "generate", DAY, rows)
    text = visible_text(page(lake, settings))
    assert f"epoch loss validation loss 0 {NO_VALUE} 3.5000 1 2.5000 1.2500" in text
    assert "Validation loss after each epoch" in text
    assert "Recall and NDCG at 10 after each epoch" not in text


def test_each_reject_reason_is_shown_with_at_most_five_lines(lake: Lake, settings: Settings) -> None:
    put(lake, "bronze.rejects", [
        {"source": "events", "file": "events.jsonl", "line": line, "raw": f"raw{line:03}",
         "reason": "no JSON", "run_id": "r", "day": DAY} for line in range(1, 41)
    ])  # fmt: skip
    html = page(lake, settings)
    assert "no JSON (40)" in html
    assert "raw005" in html
    assert "raw006" not in html


def test_the_page_loads_nothing_from_other_addresses(lake: Lake, settings: Settings) -> None:
    put_metrics(lake, DAY)
    html = page(lake, settings).replace("http://www.w3.org/1999/xlink", "")
    assert "http" not in html
    assert "src=" not in html


def test_the_same_lake_gives_the_same_page(lake: Lake, settings: Settings) -> None:
    put_metrics(lake, DAY)
    put(lake, "ops.runs", [run_row("train", DAY)])
    assert page(lake, settings) == page(lake, settings)


def test_the_page_links_to_data_docs_if_they_exist(lake: Lake, settings: Settings) -> None:
    put_metrics(lake, DAY)
    assert "data_docs" not in page(lake, settings)
    docs = Path(lake.root) / "data_docs"
    docs.mkdir()
    (docs / "index.html").write_text("docs")
    assert 'href="../data_docs/index.html"' in page(lake, settings)


def test_the_report_links_to_a_page_with_the_tree_of_codes(lake: Lake, settings: Settings) -> None:
    put_metrics(lake, DAY)
    codes = {"i1": (1, 2, 7), "i2": (1, 2, 7), "i3": (1, 3, 0), "i4": (9, 9, 9)}
    put_catalogue(lake, {"i1": "blue kettle", "i2": SCRIPT, "i3": None, "i4": "red teapot"}, codes=codes)
    html = page(lake, settings)
    assert f'<a href="{DAY}-codes.html">' in html
    tree = (Path(lake.root) / "reports" / f"{DAY}-codes.html").read_text()
    assert "4 items with 3 different semantic IDs" in tree
    assert "blue kettle" in tree
    assert "red teapot" in tree
    assert "i3" in tree  # it has no title, so its ID is shown
    assert SCRIPT not in tree


def test_a_refit_and_the_quality_of_the_codebook_are_shown(lake: Lake, settings: Settings) -> None:
    put_catalogue(lake, {"i1": "blue kettle"})
    moved = metric_rows("codebook", "refit", {"moved_c1": 0.1, "moved_c1c2": 0.2, "moved_id": 0.35}, rows=77)
    quality = metric_rows("codebook", "all", {"collision_rate": 0.125, "hr_at_1": 0.9375}, version="cb1")
    replace_metrics(lake, "quantize", DAY, moved + quality)
    html = page(lake, settings)
    assert "35.00 %" in html
    assert "93.75 %" in html


def test_terms_are_explained_where_they_are_used_and_in_a_list(lake: Lake, settings: Settings) -> None:
    put_metrics(lake, DAY)
    html = page(lake, settings)
    explanation = "The share of the items that have the same semantic ID as another item."
    assert f'<abbr title="{explanation}">collision rate</abbr>' in html
    assert f"<dt>collision rate</dt><dd>{explanation}</dd>" in html
