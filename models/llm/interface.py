"""The interface of all language models: what they receive, what they return, how they fail."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple, Protocol


class Prompt(NamedTuple):
    system: str
    user: str


class Reply(NamedTuple):
    """What a model answered.

    text     as the model wrote it
    seconds  that it took; the time of a batch is shared evenly among its prompts
    margin   how many nats the chosen answer is likelier than the second one; None if the text was generated
    """

    text: str
    seconds: float
    margin: float | None = None


class UnusableModelError(ValueError):
    """The model cannot be used with these settings; trying again does not help."""


class LanguageModel(Protocol):
    """Answers prompts, deterministically as far as its engine is deterministic."""

    def reply(
        self, prompts: Sequence[Prompt], *, max_new_tokens: int, choices: Sequence[str] = ()
    ) -> Iterator[tuple[int, Reply]]:
        """Yield the index of a prompt and its reply, in the order in which replies arrive; each index once.

        choices  the reply should be one of these texts; a model that cannot be restricted to them writes freely
        raises   UnusableModelError if the model cannot be used with these settings, ConnectionError if it does not
                 answer; replies that arrived before the error have been yielded
        """
