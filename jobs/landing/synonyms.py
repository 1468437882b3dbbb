"""What other logs call our fields and events. `check-landing` proposes these names, and a person confirms them."""

# In small letters, without anything but letters and digits. The likelier name comes first.
COLUMNS = {
    "event_id": ("eventid", "eventuuid", "messageid", "uuid", "logid"),
    "user_id": (
        "userid", "user", "uid", "visitorid", "customerid", "memberid", "accountid", "clientid", "anonymousid",
        "visitor", "customer", "deviceid", "reviewerid",
        "kunde", "kundennr", "kundennummer", "kundenid", "nutzer", "besucher",
    ),
    "item_id": (
        "itemid", "item", "productid", "product", "sku", "articleid", "parentasin", "asin", "goodsid", "contentid",
        "newsid", "movieid", "videoid", "adid", "listingid", "stockcode", "productcode",
        "artikelnr", "artikelnummer", "artikelid", "artikel", "produktnr", "produktid", "produkt", "id",
    ),
    "event": (
        "event", "eventtype", "eventname", "behaviortype", "behavior", "action", "activity", "type", "aktion",
        "ereignis",
    ),
    "ts": (
        "ts", "timestamp", "eventtime", "eventtimestamp", "datetime", "time", "occurredat", "createdat", "date",
        "invoicedate", "unixtime", "zeitstempel", "zeitpunkt", "zeit", "datum",
    ),
    "value": ("value", "rating", "stars", "score", "overall", "quantity", "qty", "menge", "bewertung"),
    "price": ("price", "unitprice", "itemprice", "productprice", "preis"),
    "request_id": ("requestid", "pageviewid", "impressionid", "searchid", "queryid", "reqid"),
    "position": ("position", "rank", "pos", "slot"),
    "order_id": ("orderid", "transactionid", "invoiceno", "invoice", "bestellnr", "bestellnummer"),
    "title": ("title", "name", "productname", "itemname", "producttitle", "headline", "titel", "bezeichnung"),
    "description": ("description", "desc", "abstract", "summary", "productdescription", "beschreibung"),
    "category": (
        "category", "categories", "categorypath", "categoryname", "genres", "genre", "department", "kategorie",
    ),
    "attributes": ("attributes", "properties", "details", "features"),
    "image": ("image", "imageurl", "imagepath", "picture"),
    "updated_at": ("updatedat", "modifiedat", "lastmodified", "lastupdated", "changedat"),
}  # fmt: skip
EVENTS = {
    "impression": (
        "impression", "impressions", "productimpression", "exposure", "show", "shown", "viewitemlist", "listview",
    ),
    "click": (
        "click", "clicks", "clicked", "view", "views", "viewed", "pageview", "productview", "productviewed", "viewitem",
        "selectitem", "detail", "tap", "pv", "klick", "klicks", "ansicht", "seitenaufruf",
    ),
    "purchase": (
        "purchase", "purchased", "buy", "bought", "order", "transaction", "sale", "conversion", "ordercompleted",
        "kauf", "bestellung",
    ),
    "cancel": ("cancel", "cancelled", "canceled", "refund", "return", "returned", "storno", "retoure"),
    "rating": ("rating", "rate", "review", "reviewed"),
    "ignore": (
        "addtocart", "cart", "addcart", "basket", "addtobasket", "removefromcart", "wishlist", "addtowishlist", "fav",
        "favorite", "like", "search", "scroll", "login", "sessionstart", "checkout", "begincheckout",
        "warenkorb", "merkzettel", "suche",
    ),
}  # fmt: skip
# Columns that only one export has.
EXPORTS = {
    "ga4": {"event_name", "event_timestamp", "user_pseudo_id"},
    "segment": {"messageId", "anonymousId", "type"},
    "retailrocket": {"visitorid", "itemid", "event", "timestamp"},
    "amazon": {"parent_asin", "user_id", "rating", "timestamp"},
}
# Hours that the day of a time zone ends after the day in UTC, and a zone that often has them.
ZONES = {
    3: "America/Sao_Paulo", 4: "America/New_York", 5: "America/New_York", 6: "America/Chicago", 7: "America/Denver",
    8: "America/Los_Angeles",
}  # fmt: skip


def simplify(name: str) -> str:
    return "".join(c for c in name.lower() if c.isalnum())


def find_column(field: str, columns: list[str]) -> str | None:
    """The column that is most likely a field."""
    simple = {simplify(column): column for column in reversed(columns)}
    return next((simple[name] for name in COLUMNS.get(field, ()) if name in simple), None)


def find_event(name: str) -> str | None:
    """The kind of event that a name most likely means."""
    return next((event for event, names in EVENTS.items() if simplify(name) in names), None)
