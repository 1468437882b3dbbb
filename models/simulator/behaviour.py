"""One day of visits: who sees what, clicks what, buys what, and the best that a model could know about it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.simulator.rows import CLEAN, CLICK, IMPRESSION, LATE, PURCHASE, Rows, concatenate
from models.simulator.truth import Truth, measure
from models.simulator.words import BRANDS_PER_TOP, LEAVES_PER_MID, MIDS_PER_TOP
from models.simulator.world import FAVOURITE_SHARES, PARTNERS, Catalogue, Floats, Ints, People

WIDTH, SHORTEST = 16, 8  # impressions of a request: 8 to 16
EVENTS_PER_REQUEST = 14.5  # measured: what a request leaves in the log on average
UNKNOWN_VISITORS = 0.02
FROM_TASTE, FROM_POPULARITY, FROM_PARTNERS = 0.45, 0.75, 0.85  # cumulative; the rest explores
LAST_SECOND = 85_000  # of a request, so that its clicks and purchases stay in the day
INTERCEPT, TASTE, BRAND, PARTNER, POSITION, NOISE = -2.5, 6.0, 0.6, 1.0, -0.35, 0.5  # of the click logit
BASKET = 0.45  # chance that a purchase brings a partner item along


@dataclass
class Visits:
    """Requests of a day: user and second and lag in days [requests]; items and kept [requests, WIDTH]."""

    user: Ints
    known: NDArray[np.bool_]
    second: Ints
    lag: Ints
    items: Ints
    partner: NDArray[np.bool_]
    kept: NDArray[np.bool_]


def parse_day(
    rng: np.random.Generator,
    catalogue: Catalogue,
    people: People,
    *,
    day: int,
    events: int,
    late: float,
    fresh: int,
) -> tuple[Rows, Truth]:
    """The rows of a day in order of time, clean and late ones, and its truth.

    day     ordinal; events: about so many rows; late: share of requests that happened 1 or 2 days before
    fresh   so many of the last items are new: exploration shows them more
    """
    visits = _visits(rng, catalogue, people, round(events / EVENTS_PER_REQUEST), late, fresh)
    request, column = np.nonzero(visits.kept)
    position = (np.cumsum(visits.kept, axis=1) - 1)[request, column].astype(np.int8)
    user, item = visits.user[request], visits.items[request, column]
    liking = _liking(catalogue, people, user, item)
    logit = liking + PARTNER * visits.partner[request, column] + catalogue.quality[item]
    placed = logit + POSITION * np.log1p(position).astype(np.float32)
    clicked = _happens(rng, placed + NOISE * rng.standard_normal(len(placed), np.float32))
    bought = clicked & _happens(rng, 0.7 * liking - 1.8)
    rows = _rows(rng, catalogue, visits, day, request.astype(np.int32), item, position, clicked, bought)
    people.last_click[user[clicked]] = item[clicked]
    due = visits.lag[request] == 0
    who = np.where(visits.known[request], user, -1)
    return rows, measure(who[due], clicked[due], with_position=placed[due], without_position=logit[due])


def _visits(
    rng: np.random.Generator, catalogue: Catalogue, people: People, requests: int, late: float, fresh: int
) -> Visits:
    user = people.draw(rng, requests)
    items, partner = _candidates(rng, catalogue, people, user, fresh)
    lag = np.zeros(requests, np.int32)
    if late:
        chosen = rng.choice(requests, max(1, round(late * requests)), replace=False)
        lag[chosen] = rng.integers(1, 3, len(chosen))
    return Visits(
        user=user,
        known=rng.random(requests) >= UNKNOWN_VISITORS,
        second=np.sort(rng.beta(2.5, 2, requests) * LAST_SECOND).astype(np.int32),
        lag=lag,
        items=items,
        partner=partner,
        kept=_first_of_each(items) & (np.arange(WIDTH) < rng.integers(SHORTEST, WIDTH + 1, requests)[:, None]),
    )


def _candidates(
    rng: np.random.Generator, catalogue: Catalogue, people: People, user: Ints, fresh: int
) -> tuple[Ints, NDArray[np.bool_]]:
    shape = (len(user), WIDTH)
    source, where = rng.random(shape, np.float32), rng.random(shape)
    items = catalogue.draw(where)
    taste = source < FROM_TASTE
    rows, _ = np.nonzero(taste)
    slot = np.searchsorted(np.cumsum(FAVOURITE_SHARES)[:-1], rng.random(len(rows), np.float32))
    items[taste] = catalogue.draw_in_leaf(where[taste], people.favourites[user[rows], slot])
    explore = source >= FROM_PARTNERS
    among_new = rng.random(explore.sum()) < 0.5
    pool = np.where(among_new & (fresh > 0), fresh, len(catalogue))
    items[explore] = len(catalogue) - 1 - (where[explore] * pool).astype(np.int32)
    last = people.last_click[user]
    partner = (source >= FROM_POPULARITY) & ~explore & (last >= 0)[:, None]
    rows, _ = np.nonzero(partner)
    items[partner] = catalogue.partners[last[rows], (where[partner] * PARTNERS).astype(np.int32)]
    return items, partner


def _first_of_each(items: Ints) -> NDArray[np.bool_]:
    """True where an item stands for the first time in its row."""
    order = np.argsort(items, axis=1, kind="stable")
    ordered = np.take_along_axis(items, order, axis=1)
    first = np.ones(items.shape, bool)
    np.put_along_axis(first, order[:, 1:], ordered[:, 1:] != ordered[:, :-1], axis=1)
    return first


def _liking(catalogue: Catalogue, people: People, user: Ints, item: Ints) -> Floats:
    leaf = catalogue.leaf[item]
    top = LEAVES_PER_MID * MIDS_PER_TOP
    brand = (people.brand[user] + leaf // top) % BRANDS_PER_TOP  # another one in each top category
    same_brand = brand == catalogue.brand[item]
    liking: Floats = INTERCEPT + TASTE * people.affinity()[user, leaf] + BRAND * same_brand.astype(np.float32)
    return liking


def _happens(rng: np.random.Generator, logit: Floats) -> NDArray[np.bool_]:
    return rng.random(len(logit), np.float32) < 1 / (1 + np.exp(-logit))


def _rows(
    rng: np.random.Generator, catalogue: Catalogue, visits: Visits, day: int, request: Ints, item: Ints,
    position: NDArray[np.int8], clicked: NDArray[np.bool_], bought: NDArray[np.bool_],
) -> Rows:  # fmt: skip
    shown = visits.second[request]
    click = shown + 2 + 2 * position + rng.integers(0, 5, len(shown), dtype=np.int32)
    paid = click + rng.integers(20, 600, len(shown), dtype=np.int32)
    quantity = rng.integers(1, 4, len(shown), dtype=np.int8)
    basket = bought & (rng.random(len(shown), np.float32) < BASKET)
    partner = catalogue.partners[item, rng.integers(0, PARTNERS, len(item))]

    def part(mask: NDArray[np.bool_] | slice, event: int, second: Ints, items: Ints, answers: bool = True) -> Rows:
        visit = request[mask]
        nothing = np.full(len(visit), -1, np.int32)
        lag = visits.lag[visit]
        return Rows(
            number=nothing,
            made=np.full(len(visit), day, np.int32),
            day=day - lag,
            second=second[mask],
            user=np.where(visits.known[visit], visits.user[visit], np.int32(-1)),
            item=items[mask],
            event=np.full(len(visit), event, np.int8),
            value=quantity[mask] if event == PURCHASE else nothing.astype(np.int8),
            request=visit if answers else nothing,
            position=position[mask] if answers else nothing.astype(np.int8),
            order=visit if event == PURCHASE else nothing,
            fate=np.where(lag > 0, LATE, CLEAN).astype(np.int8),
        )

    rows = concatenate([
        part(slice(None), IMPRESSION, shown, item),
        part(clicked, CLICK, click, item),
        part(bought, PURCHASE, paid, item),
        part(basket, PURCHASE, paid, partner, answers=False),  # from the basket page, not a request
    ])  # fmt: skip
    rows = rows.take(np.argsort(rows.second, kind="stable"))
    rows.number = np.arange(len(rows), dtype=np.int32)
    return rows
