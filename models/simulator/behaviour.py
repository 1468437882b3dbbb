"""One day of visits: who is shown which items, who clicks and buys, and the best that a model could predict of it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.simulator.rows import CLEAN, CLICK, IMPRESSION, LATE, PURCHASE, Rows, concatenate
from models.simulator.truth import Truth, measure_truth
from models.simulator.words import BRANDS_PER_TOP, LEAVES_PER_MID, MIDS_PER_TOP
from models.simulator.world import FAVOURITE_SHARES, PARTNERS, Catalogue, Floats, Int32s, People

WIDTH, SHORTEST = 16, 8  # a request shows 8 to 16 items
EVENTS_PER_REQUEST = 14.5  # measured: the mean number of events that a request leaves in the log
UNKNOWN_VISITORS = 0.02  # share of requests
# Where a shown item comes from, as cumulative shares. Above the last one, the item comes from exploration.
FROM_TASTE, FROM_POPULARITY, FROM_PARTNERS = 0.45, 0.75, 0.85
LAST_SECOND = 85_000  # latest time of a request in the day, so that its clicks and purchases fall on the same day
INTERCEPT, TASTE, BRAND, PARTNER, POSITION, NOISE = -2.5, 6.0, 0.6, 1.0, -0.35, 0.5  # parts of the click logit
BASKET = 0.45  # chance that a purchase includes a partner item


@dataclass
class Visits:
    """The requests of a day. The first four arrays are [requests], the others [requests, WIDTH]."""

    user: Int32s
    is_known: NDArray[np.bool_]  # False: the log does not name the user
    second: Int32s  # in the day
    days_late: Int32s  # how many days before this one the request happened
    items: Int32s  # candidates to show
    is_partner: NDArray[np.bool_]  # the candidate is a partner of the item that the user clicked last
    is_shown: NDArray[np.bool_]


def simulate_visits(
    rng: np.random.Generator,
    catalogue: Catalogue,
    people: People,
    *,
    day: int,
    events: int,
    late_share: float,
    new_items: int,
) -> tuple[Rows, Truth]:
    """Draw the rows of a day, in order of time and without faults other than late ones, and the day's truth.

    day         ordinal of the date
    events      approximate number of rows
    late_share  share of requests that happened one or two days before
    new_items   so many of the last items are new: exploration shows them more often
    """
    visits = _draw_visits(rng, catalogue, people, round(events / EVENTS_PER_REQUEST), late_share, new_items)
    request, column = np.nonzero(visits.is_shown)
    position = (np.cumsum(visits.is_shown, axis=1) - 1)[request, column].astype(np.int8)
    user, item = visits.user[request], visits.items[request, column]
    liking = _compute_liking(catalogue, people, user, item)
    logit = liking + PARTNER * visits.is_partner[request, column] + catalogue.quality[item]
    logit_with_position = logit + POSITION * np.log1p(position).astype(np.float32)
    noise = NOISE * rng.standard_normal(len(logit_with_position), np.float32)
    clicked = _draw_outcomes(rng, logit_with_position + noise)
    bought = clicked & _draw_outcomes(rng, 0.7 * liking - 1.8)
    rows = _build_rows(rng, catalogue, visits, day, request.astype(np.int32), item, position, clicked, bought)
    people.last_click[user[clicked]] = item[clicked]
    on_time = visits.days_late[request] == 0
    logged_user = np.where(visits.is_known[request], user, -1)
    truth = measure_truth(
        logged_user[on_time],
        clicked[on_time],
        with_position=logit_with_position[on_time],
        without_position=logit[on_time],
    )
    return rows, truth


def _draw_visits(
    rng: np.random.Generator,
    catalogue: Catalogue,
    people: People,
    requests: int,
    late_share: float,
    new_items: int,
) -> Visits:
    user = people.draw(rng, requests)
    items, is_partner = _draw_candidates(rng, catalogue, people, user, new_items)
    days_late = np.zeros(requests, np.int32)
    if late_share:
        late = rng.choice(requests, max(1, round(late_share * requests)), replace=False)
        days_late[late] = rng.integers(1, 3, len(late))
    return Visits(
        user=user,
        is_known=rng.random(requests) >= UNKNOWN_VISITORS,
        second=np.sort(rng.beta(2.5, 2, requests) * LAST_SECOND).astype(np.int32),
        days_late=days_late,
        items=items,
        is_partner=is_partner,
        is_shown=_is_first_in_row(items) & (np.arange(WIDTH) < rng.integers(SHORTEST, WIDTH + 1, requests)[:, None]),
    )


def _draw_candidates(
    rng: np.random.Generator, catalogue: Catalogue, people: People, user: Int32s, new_items: int
) -> tuple[Int32s, NDArray[np.bool_]]:
    shape = (len(user), WIDTH)
    source, place = rng.random(shape, np.float32), rng.random(shape)
    items = catalogue.draw(place)  # by popularity; the other sources replace some of them
    from_taste = source < FROM_TASTE
    rows, _ = np.nonzero(from_taste)
    slot = np.searchsorted(np.cumsum(FAVOURITE_SHARES)[:-1], rng.random(len(rows), np.float32))
    items[from_taste] = catalogue.draw_in_leaf(place[from_taste], people.favourites[user[rows], slot])
    from_exploration = source >= FROM_PARTNERS
    among_new = rng.random(from_exploration.sum()) < 0.5
    pool = np.where(among_new & (new_items > 0), new_items, len(catalogue))
    items[from_exploration] = len(catalogue) - 1 - (place[from_exploration] * pool).astype(np.int32)
    last_click = people.last_click[user]
    is_partner = (source >= FROM_POPULARITY) & ~from_exploration & (last_click >= 0)[:, None]
    rows, _ = np.nonzero(is_partner)
    items[is_partner] = catalogue.partners[last_click[rows], (place[is_partner] * PARTNERS).astype(np.int32)]
    return items, is_partner


def _is_first_in_row(items: Int32s) -> NDArray[np.bool_]:
    """True where no earlier column of the same row has the same item."""
    order = np.argsort(items, axis=1, kind="stable")
    ordered = np.take_along_axis(items, order, axis=1)
    is_first = np.ones(items.shape, bool)
    np.put_along_axis(is_first, order[:, 1:], ordered[:, 1:] != ordered[:, :-1], axis=1)
    return is_first


def _compute_liking(catalogue: Catalogue, people: People, user: Int32s, item: Int32s) -> Floats:
    leaf = catalogue.leaf[item]
    leaves_per_top = LEAVES_PER_MID * MIDS_PER_TOP
    favourite_brand = (people.brand[user] + leaf // leaves_per_top) % BRANDS_PER_TOP  # differs by top category
    same_brand = favourite_brand == catalogue.brand[item]
    liking: Floats = INTERCEPT + TASTE * people.affinity()[user, leaf] + BRAND * same_brand.astype(np.float32)
    return liking


def _draw_outcomes(rng: np.random.Generator, logit: Floats) -> NDArray[np.bool_]:
    return rng.random(len(logit), np.float32) < 1 / (1 + np.exp(-logit))


def _build_rows(
    rng: np.random.Generator, catalogue: Catalogue, visits: Visits, day: int, request: Int32s, item: Int32s,
    position: NDArray[np.int8], clicked: NDArray[np.bool_], bought: NDArray[np.bool_],
) -> Rows:  # fmt: skip
    """Impressions, clicks and purchases as rows in order of time; request to bought are [impressions]."""
    shown_second = visits.second[request]
    click_second = shown_second + 2 + 2 * position + rng.integers(0, 5, len(request), dtype=np.int32)
    purchase_second = click_second + rng.integers(20, 600, len(request), dtype=np.int32)
    quantity = rng.integers(1, 4, len(request), dtype=np.int8)
    has_basket = bought & (rng.random(len(request), np.float32) < BASKET)
    partner = catalogue.partners[item, rng.integers(0, PARTNERS, len(item))]

    def build_part(
        mask: NDArray[np.bool_] | slice, event: int, second: Int32s, items: Int32s, has_request: bool = True
    ) -> Rows:
        visit = request[mask]
        absent = np.full(len(visit), -1, np.int32)
        days_late = visits.days_late[visit]
        return Rows(
            number=absent,
            landed_day=np.full(len(visit), day, np.int32),
            day=day - days_late,
            second=second[mask],
            user=np.where(visits.is_known[visit], visits.user[visit], np.int32(-1)),
            item=items[mask],
            event=np.full(len(visit), event, np.int8),
            value=quantity[mask] if event == PURCHASE else absent.astype(np.int8),
            request=visit if has_request else absent,
            position=position[mask] if has_request else absent.astype(np.int8),
            order=visit if event == PURCHASE else absent,
            fate=np.where(days_late > 0, LATE, CLEAN).astype(np.int8),
        )

    rows = concatenate([
        build_part(slice(None), IMPRESSION, shown_second, item),
        build_part(clicked, CLICK, click_second, item),
        build_part(bought, PURCHASE, purchase_second, item),
        build_part(has_basket, PURCHASE, purchase_second, partner, has_request=False),  # bought on the basket page
    ])  # fmt: skip
    rows = rows.take(np.argsort(rows.second, kind="stable"))
    rows.number = np.arange(len(rows), dtype=np.int32)
    return rows
