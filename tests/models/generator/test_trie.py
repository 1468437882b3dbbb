"""The trie of codes: it holds the paths of all items, and nothing else."""

import pytest
import torch
from torch import Tensor

from models.generator import trie as trie_module
from models.generator.trie import CodeTrie
from tests.models.generator.catalogue import make_codes

GONE = torch.tensor([[-1, -1, -1]])


def list_paths(trie: CodeTrie) -> Tensor:
    """The codes of every leaf [leaves, levels], read from the lists of children."""
    paths = torch.zeros(1, 0, dtype=torch.int64)
    for children in trie.children:
        rows, nodes = children.list_children(torch.arange(len(paths)))
        assert nodes.tolist() == list(range(len(children.codes)))  # every child has exactly one parent
        paths = torch.cat([paths[rows], children.codes[nodes].long().unsqueeze(1)], 1)
    return paths


@pytest.mark.parametrize("sizes", [(5,), (4, 4), (8, 6, 4), (3, 2) + (2,) * 37])
def test_the_leaves_are_the_items_with_their_codes(sizes: tuple[int, ...]) -> None:
    codes = make_codes(60, *sizes)
    codes = codes if len(sizes) > 1 else torch.unique(codes[:, :1], dim=0)
    trie = CodeTrie.build(codes)
    assert trie.levels == codes.shape[1]
    assert torch.equal(list_paths(trie), codes[trie.item_of_leaf])
    assert torch.equal(trie.leaf_of_item[trie.item_of_leaf], torch.arange(len(codes)))


def test_a_trie_can_have_one_level() -> None:
    trie = CodeTrie.build(torch.tensor([[3], [0], [7]]))
    assert (trie.levels, trie.sizes, trie.item_of_leaf.tolist()) == (1, (8,), [1, 0, 2])


def test_an_item_without_codes_is_not_in_the_trie() -> None:
    codes = make_codes(20, 4, 4)
    trie = CodeTrie.build(torch.cat([GONE, codes, GONE]))
    assert trie.leaf_of_item[[0, 21]].tolist() == [-1, -1]
    assert torch.equal(list_paths(trie), list_paths(CodeTrie.build(codes)))
    assert sorted(trie.item_of_leaf.tolist()) == list(range(1, 21))


def test_a_trie_without_items_has_no_paths() -> None:
    trie = CodeTrie.build(GONE)
    assert len(list_paths(trie)) == len(trie.item_of_leaf) == 0
    assert trie.paths(torch.zeros(0, dtype=torch.int64)).shape == (0, 4)


def test_the_order_of_the_items_does_not_change_the_paths() -> None:
    codes = make_codes(50, 6, 5)
    order = torch.randperm(50, generator=torch.Generator().manual_seed(1))
    trie, shuffled = CodeTrie.build(codes), CodeTrie.build(codes[order])
    assert torch.equal(list_paths(trie), list_paths(shuffled))
    assert torch.equal(order[shuffled.item_of_leaf], trie.item_of_leaf)


def test_the_first_two_levels_have_tables_that_agree_with_the_lists() -> None:
    trie = CodeTrie.build(make_codes(80, 6, 5, 4))
    assert [children.table is not None for children in trie.children] == [True, True, False, False]
    for children in trie.children[:2]:
        assert children.table is not None
        rows, nodes = children.list_children(torch.arange(len(children.table)))
        expected = torch.full_like(children.table, -1).index_put_((rows, children.codes[nodes]), nodes.int())
        assert torch.equal(children.table, expected)


def test_a_level_whose_table_would_be_too_large_has_lists_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trie_module, "TABLE_CELLS", 20)
    trie = CodeTrie.build(make_codes(80, 6, 5))
    assert [children.table is not None for children in trie.children] == [True, False, False]


def test_a_trie_moves_to_another_device_as_a_whole() -> None:
    trie = CodeTrie.build(make_codes(20, 4, 4)).to("meta")
    parts = [part for c in trie.children for part in (c.offsets, c.codes, c.parents, c.table)]
    tensors = [trie.item_of_leaf, trie.leaf_of_item, *(part for part in parts if part is not None)]
    assert {tensor.device.type for tensor in tensors} == {"meta"}


def test_a_path_leads_from_the_root_to_the_leaf_of_an_item_by_its_codes() -> None:
    codes = make_codes(40, 9, 9)
    codes[5] = -1
    trie, items = CodeTrie.build(codes), torch.arange(40)[torch.arange(40) != 5].flip(0)
    paths = trie.paths(items)
    assert paths[:, 0].tolist() == [0] * 39
    assert torch.equal(paths[:, -1], trie.leaf_of_item[items])
    for level, children in enumerate(trie.children):
        rows, nodes = children.list_children(paths[:, level])
        is_next = nodes == paths[rows, level + 1]
        assert rows[is_next].tolist() == list(range(39))  # the next node is one of the children of the node before
        assert torch.equal(children.codes[nodes[is_next]].long(), codes[items, level])


def test_two_items_with_the_same_codes_are_refused() -> None:
    with pytest.raises(ValueError, match=r"items 1 and 3 have the same codes \[2, 0\]"):
        CodeTrie.build(torch.tensor([[2, 1], [2, 0], [1, 0], [2, 0]]))


def test_an_item_with_only_some_of_its_codes_is_refused() -> None:
    with pytest.raises(ValueError, match=r"item 1 has only some of its codes: \[2, -1\]"):
        CodeTrie.build(torch.tensor([[2, 1], [2, -1]]))


@pytest.mark.parametrize("codes", [torch.zeros(3, dtype=torch.int64), torch.zeros(3, 0, dtype=torch.int64)])
def test_codes_without_levels_are_refused(codes: Tensor) -> None:
    with pytest.raises(ValueError, match="at least one level"):
        CodeTrie.build(codes)


def test_a_code_that_does_not_fit_is_refused() -> None:
    with pytest.raises(ValueError, match="a code must be below"):
        CodeTrie.build(torch.tensor([[2**40]]))
