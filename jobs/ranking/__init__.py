"""The stage that trains and evaluates rankers: a day's arrays, models, scores."""
