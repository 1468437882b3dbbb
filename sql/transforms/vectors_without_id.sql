-- Vectors of items that have no semantic ID in the codebook :version. Only vectors of the encoder :encoder up to :day
-- count, and only those of the item's current text.
SELECT e.item_id, max_by(e.vector, e.day) AS vector
FROM gold.item_embeddings AS e
JOIN silver.items AS i ON i.item_id = e.item_id AND i.content_hash = e.content_hash
LEFT ANTI JOIN (SELECT item_id FROM gold.semantic_ids WHERE codebook_version = :version) AS k ON k.item_id = e.item_id
WHERE e.encoder_version = :encoder AND e.day <= CAST(:day AS DATE)
GROUP BY e.item_id
