"""The words of the simulated shop: a category tree of 5 x 3 x 4 leaves, brands, materials.

Users buy items of the leaves 2k and 2k+1 together (espresso machines, coffee beans), so pairs found in behaviour often
join two categories. The text of an item names its leaf, category, brand and material. Users' tastes depend on leaf,
category and brand, so a text embedding can predict them.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

TREE: dict[str, dict[str, tuple[str, str, str, str]]] = {
    "kitchen": {
        "coffee": ("espresso machine", "coffee beans", "moka pot", "milk frother"),
        "baking": ("stand mixer", "cake tin", "bread knife", "sourdough starter"),
        "cookware": ("cast iron skillet", "wooden spatula", "pressure cooker", "spice jar"),
    },
    "sport": {
        "running": ("running shoes", "running socks", "sports watch", "heart rate strap"),
        "cycling": ("road bike", "bicycle helmet", "bike light", "cycling gloves"),
        "camping": ("trekking tent", "sleeping bag", "camping stove", "gas cartridge"),
    },
    "music": {
        "guitars": ("acoustic guitar", "guitar strings", "guitar amplifier", "instrument cable"),
        "keyboards": ("digital piano", "piano bench", "synthesizer", "sustain pedal"),
        "listening": ("record player", "vinyl record", "headphones", "headphone stand"),
    },
    "garden": {
        "plants": ("tomato seedling", "plant fertilizer", "rose bush", "pruning shears"),
        "tools": ("lawn mower", "grass seed", "garden hose", "lawn sprinkler"),
        "outdoor living": ("charcoal grill", "grill tongs", "patio table", "garden chair"),
    },
    "children": {
        "toys": ("wooden train", "train tracks", "doll house", "doll furniture"),
        "baby": ("baby stroller", "stroller blanket", "baby bottle", "bottle warmer"),
        "school": ("school backpack", "pencil case", "picture book", "reading lamp"),
    },
}
LEAVES: list[tuple[str, str, str]] = [(top, mid, leaf) for top in TREE for mid in TREE[top] for leaf in TREE[top][mid]]
BRANDS: dict[str, tuple[str, ...]] = {
    "kitchen": ("Bellavita", "Ofenhaus", "Crumb & Co", "Ironleaf", "Tamper", "Nonna"),
    "sport": ("Stride", "Velocette", "Basecamp", "Northpeak", "Tempo", "Ridgeline"),
    "music": ("Larkspur", "Tonewood", "Ebonix", "Groove Lab", "Sustain", "Quarter Note"),
    "garden": ("Greenhand", "Wurzel", "Sunporch", "Hedgerow", "Mulch & Moss", "Ember"),
    "children": ("Little Fox", "Tumbletoy", "Moonbear", "Chalk Lane", "Pip", "Hazelnut"),
}
MATERIALS: dict[str, tuple[str, ...]] = {
    "kitchen": ("stainless steel", "cast iron", "oak", "enamel"),
    "sport": ("carbon", "nylon", "aluminium", "merino wool"),
    "music": ("mahogany", "spruce", "brass", "walnut"),
    "garden": ("cedar", "galvanised steel", "terracotta", "organic matter"),
    "children": ("beech wood", "organic cotton", "recycled plastic", "felt"),
}
STYLES = ("classic", "compact", "professional", "lightweight", "handmade", "vintage", "premium", "everyday")
COLOURS = ("black", "white", "red", "forest green", "navy", "sand", "silver", "yellow")
USES = (
    "A favourite for a quiet weekend.",
    "Made for people who use it every day.",
    "A thoughtful present.",
    "Built to be repaired, not replaced.",
    "The small version for small homes.",
    "Chosen by our own staff.",
)
LEAVES_PER_MID, MIDS_PER_TOP = 4, 3
BRANDS_PER_TOP = 6
BARE_ITEMS, WITHOUT_DESCRIPTION = 0.003, 0.03  # shares of items without any text, and without a description


def build_item_texts(
    numbers: NDArray[np.int64],
    leaf: NDArray[Any],
    brand: NDArray[Any],
    price: NDArray[Any],
    version: int,
    seed: int,
) -> list[dict[str, Any]]:
    """Build the texts of items in the landing format, without item_id and updated_at.

    numbers, leaf, brand, price  [items]; brand in [0, BRANDS_PER_TOP) within the top category
    version                      0: the item is new; a later version changes its title
    """
    rows = []
    columns = (leaf, brand, price, _draw_words(numbers, seed))
    for leaf_number, brand_number, item_price, draw in zip(*(column.tolist() for column in columns), strict=True):
        top, mid, name = LEAVES[leaf_number]
        row: dict[str, Any] = {"price": item_price}
        if draw[0] >= BARE_ITEMS:
            style, colour = _pick(STYLES, draw[1]), _pick(COLOURS, draw[2])
            material, maker = _pick(MATERIALS[top], draw[3]), BRANDS[top][brand_number]
            row["title"] = f"{maker} {style} {name}, {colour}" + (f", edition {version + 1}" if version else "")
            row["category"] = [top, mid, name]
            row["attributes"] = {"brand": maker, "material": material, "colour": colour}
            if draw[4] >= WITHOUT_DESCRIPTION:
                use = _pick(USES, draw[5])
                row["description"] = f"{style.capitalize()} {name} of {material} for {mid}. {use}"
        rows.append(row)
    return rows


def _draw_words(numbers: NDArray[np.int64], seed: int) -> NDArray[np.float64]:
    """Uniform [items, 6]. They depend on item number and seed alone, so that a later version keeps its words."""
    return np.random.default_rng([seed, 6]).random((int(numbers.max(initial=-1)) + 1, 6))[numbers]


def _pick(words: tuple[str, ...], draw: float) -> str:
    return words[int(draw * len(words))]
