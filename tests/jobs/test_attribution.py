"""Which impression a click or a purchase belongs to, and which purchase a cancel takes back: examples by hand."""

from datetime import date, timedelta

from jobs import samples
from jobs.lake import Lake
from jobs.settings.tree import Settings
from tests.jobs.test_samples import DAY, Row, at, build_event, build_samples, read_samples, replace_events, set_label

YESTERDAY = DAY - timedelta(days=1)


def impression(event_id: str, clock: str, request: str | None, user: str = "u", item: str = "i", day: int = 20) -> Row:
    return build_event(event_id, "impression", user, item, at(clock, day), request_id=request)


def click(clock: str, request: str | None, user: str | None = "u", item: str = "i", day: int = 20) -> Row:
    return build_event(f"c{day}{clock}{request}{user}{item}", "click", user, item, at(clock, day), request_id=request)


def purchase(
    clock: str, user: str = "u", item: str = "i", day: int = 20, request: str | None = "checkout",
    order: str | None = None, quantity: float | None = None,
) -> Row:  # fmt: skip
    more = {"request_id": request, "order_id": order, "value": quantity}
    return build_event(f"p{day}{clock}{user}{item}", "purchase", user, item, at(clock, day), **more)


def cancel(clock: str, order: str | None = None, quantity: float | None = None, user: str = "u", day: int = 20) -> Row:
    more = {"order_id": order, "value": quantity}
    return build_event(f"x{day}{clock}{user}", "cancel", user, "i", at(clock, day), **more)


CLICK_SEEN = click("06:00:00", None, "w", "j", day=17)  # so that both labels are known on all days
PURCHASE_SEEN = purchase("06:00:00", "w", "j", day=17)


def label(lake: Lake, settings: Settings, rows: list[Row], since: date = DAY) -> tuple[list[str], list[str]]:
    """The impressions that are labelled as clicked, and those that are labelled as bought."""
    labelled = build_samples(lake, settings, [CLICK_SEEN, PURCHASE_SEEN, *rows], since)
    clicked, bought = ([key for key, row in labelled.items() if row[name]] for name in ("click", "purchase"))
    assert all((row["clicked_at"] is not None) == (row["click"] == 1) for row in labelled.values())
    assert all((row["bought_at"] is not None) == (row["purchase"] == 1) for row in labelled.values())
    return clicked, bought


def test_a_click_of_another_user_with_the_same_request_id_labels_nothing(lake: Lake, settings: Settings) -> None:
    rows = [impression("a", "10:00:00", "1"), impression("b", "10:00:00", "1", user="v"),
            click("10:00:09", "1", user="v"), purchase("10:01:00", "v", request="1")]  # fmt: skip
    assert label(lake, settings, rows) == (["b"], ["b"])


def test_a_click_of_nobody_is_of_the_user_to_whom_its_request_showed_the_item(lake: Lake, settings: Settings) -> None:
    nobody = [click("10:00:09", request, user=None) for request in ("1", "2", None)]
    rows = [
        impression("a", "10:00:00", "1"),
        impression("b", "10:00:00", "2", "v"),
        impression("c", "10:00:00", "2", "w"),
    ]
    assert label(lake, settings, [*rows, *nobody])[0] == ["a"]


def test_two_users_with_the_same_request_id_have_histories_of_their_own(lake: Lake, settings: Settings) -> None:
    rows = build_samples(lake, settings, [impression("a", "10:00:00", "1"), impression("b", "12:00:00", "1", user="v")])
    assert rows["b"]["history_until"] == rows["b"]["ts"] == at("12:00:00")


def test_a_click_answers_the_latest_impression_before_it(lake: Lake, settings: Settings) -> None:
    rows = []
    for user in "wxyz":
        rows += [impression(f"{user}1", "10:00:00", "r", user), impression(f"{user}2", "10:05:00", "r", user),
                 impression(f"{user}3", "10:10:00", "s", user)]  # fmt: skip
    rows += [
        click("10:04:00", "r", "w"),
        click("10:11:00", "r", "x"),
        click("10:11:00", None, "y"),
        click("10:11:00", "t", "z"),
    ]
    assert label(lake, settings, rows)[0] == ["w1", "x2", "y3"]


def test_a_purchase_belongs_to_the_latest_impression_whatever_its_request(lake: Lake, settings: Settings) -> None:
    rows = [impression("a", "10:00:00", "r"), impression("b", "11:00:00", "s"), impression("c", "11:30:00", "s", "v"),
            impression("d", "11:30:00", "s", item="j"), purchase("11:59:00"),
            impression("e", "12:00:00", "t")]  # fmt: skip
    assert label(lake, settings, rows)[1] == ["b"]


def test_a_purchase_after_a_click_labels_the_impression_that_was_clicked(lake: Lake, settings: Settings) -> None:
    rows = []
    for user in "st":
        rows += [impression(f"{user}1", "10:00:00", "r", user), impression(f"{user}2", "10:05:00", "s", user),
                 click("10:06:00", "r", user), purchase("10:09:00", user)]  # fmt: skip
    rows.append(click("10:07:00", "a page that was not logged", "t"))
    assert label(lake, settings, rows) == (["s1", "t1"], ["s1"])


def test_a_purchase_over_midnight_labels_the_day_before_when_its_day_lands(lake: Lake, settings: Settings) -> None:
    rows = [CLICK_SEEN, PURCHASE_SEEN, impression("a", "23:50:00", "r", day=19), click("23:59:00", "r", day=19)]
    replace_events(lake, rows)
    samples.run(lake, settings, YESTERDAY)
    assert (read_samples(lake)["a"]["click"], read_samples(lake)["a"]["purchase"]) == (1, 0)
    replace_events(lake, [*rows, purchase("00:10:00")])
    samples.run(lake, settings, DAY)
    sample = read_samples(lake)["a"]
    assert (sample["purchase"], sample["bought_at"], sample["day"]) == (1, at("00:10:00"), YESTERDAY)


def test_attribution_hours_limit_how_late_a_click_and_a_purchase_may_come(lake: Lake, settings: Settings) -> None:
    logs = settings.logs.model_copy(update={"attribution_hours": 23})
    rows = [
        *(impression(user, "10:00:00", "r", user, day=18) for user in "abcd"),
        click("09:00:00", "r", "a", day=19), purchase("08:00:00", "a"),  # 23 hours, and 23 hours after that
        click("09:00:00", "r", "b", day=19), purchase("08:00:01", "b"),
        click("09:00:01", "r", "c", day=19), purchase("09:00:02", "c", day=19),
        purchase("09:00:00", "d", day=19),
    ]  # fmt: skip
    labels = label(lake, settings.model_copy(update={"logs": logs}), rows, date(2026, 11, 18))
    assert labels == (["a", "b"], ["a", "d"])


def test_a_cancel_takes_the_label_of_its_purchase_back(lake: Lake, settings: Settings) -> None:
    rows = []
    for user in "stuv":
        rows += [impression(f"{user}1", "10:00:00", "r", user), impression(f"{user}2", "11:00:00", "s", user),
                 purchase("10:05:00", user, order="o1", quantity=2),
                 purchase("11:05:00", user, order="o2", quantity=2)]  # fmt: skip
    rows += [cancel("12:00:00", "o1", user="s"), cancel("12:00:00", user="t"),
             cancel("12:00:00", quantity=-1, user="u"), cancel("11:00:00", user="v")]  # fmt: skip
    assert label(lake, settings, rows)[1] == ["s2", "t1", "u1", "u2", "v2"]


def test_an_impression_stays_bought_while_one_of_its_purchases_stands(lake: Lake, settings: Settings) -> None:
    rows = []
    for user in "st":
        rows += [impression(user, "10:00:00", "r", user), purchase("10:05:00", user), purchase("10:06:00", user),
                 cancel("10:07:00", user=user)]  # fmt: skip
    assert label(lake, settings, [*rows, cancel("10:08:00", user="t")])[1] == ["s"]


def test_a_cancel_of_the_next_days_counts_until_two_windows_after_the_impression(
    lake: Lake, settings: Settings
) -> None:
    rows = [CLICK_SEEN, PURCHASE_SEEN, impression("a", "10:00:00", "r", day=18), purchase("10:05:00", day=18),
            impression("b", "10:00:00", "r", "v", day=18), purchase("10:05:00", "v", day=18)]  # fmt: skip
    replace_events(lake, rows)
    samples.run(lake, settings, date(2026, 11, 18))
    assert [row["purchase"] for row in read_samples(lake).values()] == [1, 1]
    replace_events(lake, [*rows, cancel("10:00:00"), cancel("10:00:01", user="v")])
    samples.run(lake, settings, DAY)
    assert {key: row["purchase"] for key, row in read_samples(lake).items()} == {"a": 0, "b": 1}


def test_a_cancelled_purchase_is_no_sample_where_purchases_are_the_label(lake: Lake, settings: Settings) -> None:
    rows = [purchase("10:00:00"), purchase("10:00:00", item="k"), purchase("10:00:00", "v"), cancel("10:05:00")]
    settings = set_label(settings, "purchase", negatives=50)
    built = build_samples(lake, settings, rows)
    assert [row["sample_id"] for row in built.values() if row["purchase"]] == [
        "p2010:00:00uk", "p2010:00:00vi"
    ]  # fmt: skip
    samples.run(lake, settings, DAY)
    assert read_samples(lake) == built


def test_days_built_one_by_one_in_any_order_give_the_samples_of_one_build(lake: Lake, settings: Settings) -> None:
    rows = [CLICK_SEEN, PURCHASE_SEEN, impression("a", "10:00:00", "r"), impression("b", "11:00:00", "s"),
            purchase("10:05:00", order="o1"), purchase("11:05:00", order="o2"), cancel("12:00:00", "o1"),
            impression("c", "20:00:00", "r", day=18),
            click("21:00:00", "r", day=18), purchase("19:00:00", day=19, order="o0"), cancel("02:00:00", "o0"),
            impression("d", "23:59:59", "r", day=18), purchase("00:00:01", day=19, order="o4")]  # fmt: skip
    first = date(2026, 11, 18)
    expected = build_samples(lake, settings, rows, first)
    for day in (2, 0, 1, 2, 0):
        samples.run(lake, settings, first + timedelta(days=day))
    assert read_samples(lake) == expected
