-- The vectors (of an encoder, up to a day, of the items' present text) without a semantic ID in a codebook version.
SELECT e.item_id, max_by(e.vector, e.day) AS vector
FROM gold.item_embeddings AS e
JOIN silver.items AS i ON i.item_id = e.item_id AND i.content_hash = e.content_hash
LEFT ANTI JOIN (SELECT item_id FROM gold.semantic_ids WHERE codebook_version = :version) AS k ON k.item_id = e.item_id
WHERE e.encoder_version = :encoder AND e.day <= CAST(:day AS DATE)
GROUP BY e.item_id
