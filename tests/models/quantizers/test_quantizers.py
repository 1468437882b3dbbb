"""What every kind of codebook promises, and what a single kind promises."""

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from models.quantizers import KINDS, Codebook, fit, from_rows
from models.quantizers.health import measure_code_use
from models.quantizers.letter import _Groups
from models.quantizers.rows import Row

SIZES = {"nearest_items": (64,) * 5}
QUICK: dict[str, dict[str, Any]] = {
    "res_kmeans_fsq": {"fsq_steps": 60},
    "rq_vae": {"steps": 120, "hidden": (32,), "latent": 8},
}
every_kind = pytest.mark.parametrize("kind", KINDS)


def fit_quickly(kind: str, x: Tensor, seed: int = 3, **settings: Any) -> Codebook:
    sizes = SIZES.get(kind, (8, 8, 16))
    return fit(kind, x, sizes=sizes, seed=seed, **QUICK.get(kind, {}) | settings)


@pytest.fixture(scope="module")
def x() -> Tensor:
    """[400, 16]: 20 clouds of 20 items."""
    generator = torch.Generator().manual_seed(1)
    centres = torch.randn(20, 16, generator=generator).repeat_interleave(20, 0)
    return centres + 0.3 * torch.randn(400, 16, generator=generator)


@pytest.fixture(scope="module")
def books(x: Tensor) -> dict[str, Codebook]:
    return {kind: fit_quickly(kind, x) for kind in KINDS}


@every_kind
def test_every_code_is_within_its_level(books: dict[str, Codebook], x: Tensor, kind: str) -> None:
    codes = books[kind].encode(x)
    assert codes.dtype == torch.int64
    assert codes.shape == (400, len(books[kind].sizes))
    assert bool(((codes >= 0) & (codes < torch.tensor(books[kind].sizes))).all())


@every_kind
def test_an_item_is_rebuilt_better_than_from_the_codes_of_another(
    books: dict[str, Codebook], x: Tensor, kind: str
) -> None:
    rebuilt = books[kind].decode(books[kind].encode(x))
    assert rebuilt.shape == x.shape
    assert rebuilt.dtype == torch.float32
    other = rebuilt[torch.randperm(len(x), generator=torch.Generator().manual_seed(0))]
    assert (x - rebuilt).square().mean() < 0.5 * (x - other).square().mean()


@every_kind
def test_rows_read_back_in_any_order_give_the_same_codebook(books: dict[str, Codebook], x: Tensor, kind: str) -> None:
    book = books[kind]
    stored: list[Row] = [
        (level, part, code, torch.tensor(vector).tolist()) for level, part, code, vector in book.to_rows()
    ]  # as float32
    again = from_rows(stored[::-1])
    assert (again.kind, again.sizes) == (book.kind, book.sizes) == (kind, book.sizes)
    assert torch.equal(again.encode(x), book.encode(x))
    assert torch.equal(again.decode(book.encode(x)), book.decode(book.encode(x)))


@every_kind
def test_rows_are_unique_by_level_part_and_code(books: dict[str, Codebook], kind: str) -> None:
    keys = [row[:3] for row in books[kind].to_rows()]
    assert len(set(keys)) == len(keys)


@every_kind
def test_a_codebook_with_a_missing_part_or_row_is_refused(books: dict[str, Codebook], kind: str) -> None:
    rows = books[kind].to_rows()
    for remaining in ([row for row in rows if row[:2] != rows[-1][:2]], rows[:-1]):
        with pytest.raises(ValueError, match="rows are missing"):
            from_rows(remaining)


@every_kind
def test_the_order_of_the_items_does_not_change_the_codebook(books: dict[str, Codebook], x: Tensor, kind: str) -> None:
    shuffled = x[torch.randperm(len(x), generator=torch.Generator().manual_seed(9))]
    assert fit_quickly(kind, shuffled).to_rows() == books[kind].to_rows()


@every_kind
def test_another_seed_gives_another_codebook(books: dict[str, Codebook], x: Tensor, kind: str) -> None:
    assert fit_quickly(kind, x, seed=4).to_rows() != books[kind].to_rows()


@every_kind
def test_the_codes_of_an_item_do_not_depend_on_the_items_beside_it(
    books: dict[str, Codebook], x: Tensor, kind: str
) -> None:
    alone = torch.cat([books[kind].encode(item[None]) for item in x[:50]])
    assert torch.equal(alone, books[kind].encode(x)[:50])


@every_kind
def test_no_items_have_no_codes(books: dict[str, Codebook], kind: str) -> None:
    assert books[kind].encode(torch.empty(0, 16)).shape == (0, len(books[kind].sizes))


@every_kind
@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e37])
def test_vectors_that_are_not_finite_are_refused(
    books: dict[str, Codebook], x: Tensor, kind: str, value: float
) -> None:
    broken = x.clone()
    broken[7, 3] = value
    with pytest.raises(ValueError, match="1 of 400 vectors hold NaN, infinity"):
        fit_quickly(kind, broken)
    with pytest.raises(ValueError, match="1 of 400 vectors hold NaN, infinity"):
        books[kind].encode(broken)


@every_kind
def test_vectors_too_small_to_square_are_refused(x: Tensor, kind: str) -> None:
    with pytest.raises(ValueError, match="scale them"):
        fit_quickly(kind, x * 1e-40)


@every_kind
def test_vectors_of_another_dimension_are_refused(books: dict[str, Codebook], kind: str) -> None:
    with pytest.raises(ValueError, match=r"\[items, 16\], not \[2, 17\]"):
        books[kind].encode(torch.ones(2, 17))


@every_kind
def test_a_codebook_of_no_items_is_refused(kind: str) -> None:
    with pytest.raises(ValueError, match="no item"):
        fit_quickly(kind, torch.empty(0, 4))


@every_kind
@pytest.mark.parametrize("sizes", [(), (0, 4, 4)])
def test_impossible_sizes_are_refused(x: Tensor, kind: str, sizes: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="sizes"):
        fit(kind, x, sizes=sizes, seed=0)


@every_kind
def test_codes_that_the_codebook_does_not_use_are_refused(books: dict[str, Codebook], kind: str) -> None:
    levels = len(books[kind].sizes)
    with pytest.raises(ValueError, match="outside"):
        books[kind].decode(torch.full((1, levels), 64))
    with pytest.raises(ValueError, match="shape"):
        books[kind].decode(torch.zeros(1, levels + 1))


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "nearest_items"])
@pytest.mark.parametrize("value", [0.0, 1.0, 1e-15, 1e15])
def test_items_that_are_all_the_same_get_the_same_codes(kind: str, value: float) -> None:
    same = torch.full((7, 4), value)
    book = fit_quickly(kind, same)
    assert len(torch.unique(book.encode(same), dim=0)) == 1
    assert bool(torch.isfinite(book.decode(book.encode(same))).all())


@every_kind
def test_progress_counts_up_to_all_steps(x: Tensor, kind: str) -> None:
    seen: list[tuple[int, int]] = []
    fit_quickly(kind, x, progress=lambda done, total: seen.append((done, total)))
    assert seen == sorted(seen)
    assert seen[-1][0] == seen[-1][1]


def test_an_unknown_kind_is_refused_with_a_list_of_the_known_ones(x: Tensor) -> None:
    with pytest.raises(ValueError, match=r"no codebook of kind magic; there are res_kmeans_fsq, res_kmeans"):
        fit("magic", x, sizes=(8, 8, 8), seed=0)


def test_rows_that_do_not_name_their_kind_are_refused(books: dict[str, Codebook]) -> None:
    with pytest.raises(ValueError, match="these name 0"):
        from_rows(books["res_kmeans"].to_rows()[1:])


def test_residual_k_means_has_as_many_levels_as_sizes(x: Tensor) -> None:
    errors = []
    for levels in (1, 2, 6):
        book = fit("res_kmeans", x, sizes=(4,) * levels, seed=0)
        errors.append(float((x - book.decode(book.encode(x))).square().mean()))
    assert errors == sorted(errors, reverse=True)


def test_balancing_uses_the_codes_of_the_last_level_equally_often() -> None:
    generator = torch.Generator().manual_seed(5)
    dense, sparse = 0.1 * torch.randn(900, 4, generator=generator), 3 * torch.randn(100, 4, generator=generator)
    x = torch.cat([dense, sparse])
    largest = {}
    for kind in ("res_kmeans", "res_kmeans_balanced"):
        codes = fit(kind, x, sizes=(2, 20), seed=0).encode(x)[:, 1]
        largest[kind] = torch.bincount(codes, minlength=20).max()
    assert largest["res_kmeans"] > 150
    assert largest["res_kmeans_balanced"] <= 65  # 50 would be the same for all


def test_balancing_a_single_level_is_refused(x: Tensor) -> None:
    with pytest.raises(ValueError, match="sizes must be 2 or more"):
        fit("res_kmeans_balanced", x, sizes=(8,), seed=0)


def test_parallel_codes_do_not_depend_on_each_other(x: Tensor) -> None:
    first = fit("parallel_kmeans", x, sizes=(8, 8), seed=0).encode(x)
    again = fit("parallel_kmeans", x, sizes=(2, 8), seed=0).encode(x)
    assert torch.equal(first[:, 1], again[:, 1])


def test_parallel_levels_beyond_the_dimensions_are_refused() -> None:
    with pytest.raises(ValueError, match="3 parallel levels need vectors of as many dimensions, not 2"):
        fit("parallel_kmeans", torch.eye(2), sizes=(2, 2, 2), seed=0)


def test_an_item_of_the_pool_is_nearest_to_itself_and_then_to_its_neighbours(x: Tensor) -> None:
    book = fit("nearest_items", x, sizes=(400,) * 3, seed=0)
    pool = torch.tensor([vector for _, part, _, vector in book.to_rows() if part == "item"])
    codes = book.encode(pool)
    assert torch.equal(codes[:, 0], torch.arange(400))
    unit = normalize(pool, dim=1)
    assert torch.equal(codes, (unit @ unit.T).topk(3).indices)
    assert torch.allclose(book.decode(codes), pool[codes].mean(1), atol=1e-5)


@pytest.mark.parametrize(
    ("sizes", "message"), [((8, 4), "must be equal"), ((3,) * 4, "pool of at least as many, not 3")]
)
def test_a_pool_that_cannot_give_so_many_neighbours_is_refused(x: Tensor, sizes: tuple[int, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fit("nearest_items", x, sizes=sizes, seed=0)


def test_no_code_of_an_rq_vae_stays_dead_where_items_suffice(books: dict[str, Codebook], x: Tensor) -> None:
    codes = books["rq_vae"].encode(x)
    assert sum(measure_code_use(codes[:, level], size)["dead_codes"] for level, size in enumerate((8, 8, 16))) <= 2


def test_the_collaborative_loss_makes_codes_follow_behaviour() -> None:
    """4 codes for 4 x 2 clouds, which are further apart in content than in behaviour."""
    generator = torch.Generator().manual_seed(6)
    content, behaviour = torch.randint(4, (400,), generator=generator), torch.randint(2, (400,), generator=generator)
    x = torch.cat([torch.eye(4)[content], 0.5 * torch.eye(2)[behaviour]], dim=1)
    x += 0.1 * torch.randn(x.shape, generator=generator)

    def measure_separation(weight: float) -> float:
        """How far the items of a code are from being half of one behaviour, half of the other: 0 to 0.5."""
        settings: dict[str, Any] = {"hidden": (32,), "latent": 8, "steps": 300, "collaborative_weight": weight}
        book = fit("rq_vae", x, sizes=(4,), seed=0, collaborative=torch.eye(2)[behaviour], **settings)
        codes = book.encode(x)[:, 0]
        share = torch.stack([behaviour[codes == code].double().mean() for code in codes])
        return float((share - 0.5).abs().mean())

    assert measure_separation(1.0) > measure_separation(0.0) + 0.2


def test_collaborative_vectors_follow_their_items_when_these_are_shuffled(x: Tensor) -> None:
    vectors = torch.randn(len(x), 3, generator=torch.Generator().manual_seed(2))
    items, collaborative = torch.cat([x, x[:30]]), torch.cat([vectors, -vectors[:30]])
    order = torch.randperm(len(items), generator=torch.Generator().manual_seed(9))
    rows = fit_quickly("rq_vae", items, collaborative=collaborative).to_rows()
    assert fit_quickly("rq_vae", items[order], collaborative=collaborative[order]).to_rows() == rows
    assert rows != fit_quickly("rq_vae", items).to_rows()


def test_collaborative_vectors_of_other_items_are_refused(x: Tensor) -> None:
    with pytest.raises(ValueError, match="3 collaborative vectors for 400 items"):
        fit_quickly("rq_vae", x, collaborative=torch.ones(3, 2))


def test_the_diversity_loss_draws_every_other_code_of_a_cluster_and_no_more() -> None:
    level = torch.randn(60, 4, generator=torch.Generator().manual_seed(0))
    groups = _Groups(level, 0)
    codes = torch.arange(60).repeat(2000)
    codes = codes[groups.others[codes] > 0]
    drawn = groups.draw_other(codes, torch.Generator().manual_seed(0))
    assert (drawn != codes).all()
    assert torch.equal(groups.start[drawn], groups.start[codes])
    assert len(torch.unique(torch.stack([codes, drawn], 1), dim=0)) == int(groups.others.sum())


def test_the_diversity_loss_spreads_the_codes_of_a_level() -> None:
    generator = torch.Generator().manual_seed(5)
    x = torch.cat([0.1 * torch.randn(900, 4, generator=generator), 3 * torch.randn(100, 4, generator=generator)])

    def measure_similarity(weight: float) -> float:
        """Mean cosine between codes."""
        book = fit("rq_vae", x, sizes=(32,), seed=1, hidden=(32,), latent=8, steps=300, diversity_weight=weight)
        unit = normalize(torch.tensor([vector for level, _, _, vector in book.to_rows() if level == 1]), dim=1)
        return float((unit @ unit.T).fill_diagonal_(0).sum()) / (32 * 31)

    assert measure_similarity(0.1) < measure_similarity(0.0) - 0.05
