"""The terms that the report explains, in a tooltip and in a list at its end."""

TERMS = {
    "champion": "The model that was live before this run.",
    "challenger": "The model that this run trained. It goes live if it passes the gate.",
    "DIN": "Deep Interest Network, a well-known simpler model. It is trained every day for comparison.",
    "as served": "The models know of users and items what happened until the end of the day before: then the lists of"
    " this day were made.",
    "AUC": "How often the model scores a row with a click (or other label) above a row without. 0.5 is guessing.",
    "UAUC": "The AUC within the rows of each user, averaged over the users.",
    "GAUC": "Like UAUC, but a user with more rows counts more.",
    "log loss": "How far the predicted probabilities are from what happened. Lower is better.",
    "calibration": "The mean prediction divided by the mean label. 1 is best; above 1, the predictions are too high.",
    "95 % interval": "The range in which 95 % of the values lie if users are drawn again at random (bootstrap). A wide"
    " range means that chance matters much.",
    "hit rate": "Of the items that users acted on, the share that was in their list. At 10: among its first ten items.",
    "NDCG": "Like the hit rate, but an item counts more the nearer it is to the top of the list. 1 is best.",
    "epoch": "One pass over the training rows.",
    "encoder": "The language model that turns the text (and image) of an item into a vector.",
    "embedded": "Turned into a vector by the encoder.",
    "semantic ID": "A short sequence of codes, computed from an item's vector. Similar items share their first codes.",
    "codebook": "The table of all codes. Each code stands for a group of similar vectors.",
    "level": "The position of a code in the semantic ID. Level 1 (c1) separates coarse groups, later levels fine ones.",
    "collision": "Two or more items have the same semantic ID.",
    "collision rate": "The share of the items that have the same semantic ID as another item.",
    "perplexity": "How many codes are in use, counted as if all of them had equally many items.",
    "rebuild error": "The mean squared difference between the numbers of a vector and those rebuilt from its codes.",
    "EdgeNum": "How many items have the semantic ID of an item, averaged over the items. 1 means no collisions.",
    "swing": "Pairs of items that the same users acted on, found by the Swing algorithm.",
    "two_tower": "Pairs of an item that a user acted on and the most similar item in the user's own history, found by a"
    " two-tower model.",
    "similarity": "The cosine of the vectors of the two items. 0 if the search of the model does not compare items.",
    "attention": "The weight of this event in the score. The weights of all events that the model found in one list add"
    " up to 1.",
}
