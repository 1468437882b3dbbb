"""A language model behind an OpenAI-compatible endpoint: several requests at a time, each tried again with back-off."""

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from itertools import islice
from typing import Any

import openai

from models.llm.prompt import Prompt, Refused, Reply, neutral, storable

TRIES_AGAIN = 10  # waits 0.5 s, then twice as long each time, at most 8 s: together about a minute
ONE_PROMPT = (400, 403, 413, 422)  # may be about this prompt alone: its length, or what a filter finds in it
NO_ENDPOINT = "answers, but not as an OpenAI-compatible endpoint does"
FIRST = 8  # prompts, from all over the list: if each of them is refused, it is not about the prompts


class PromptRefusedError(Exception):
    """The service does not answer this prompt; it may well answer others."""


class Endpoint:
    """A LanguageModel elsewhere.

    url          such as http://127.0.0.1:8000/v1
    api_key      sent to the endpoint, and told to nobody else
    concurrency  requests under way at a time
    timeout      seconds for one try
    raises       Refused if no request could carry the key
    """

    def __init__(self, *, url: str, model: str, api_key: str, concurrency: int, timeout: float) -> None:
        if not (api_key.isascii() and api_key.isprintable()):
            raise Refused("the key in OPENAI_API_KEY holds a line end or another character that no key has")
        self.url, self.model, self.concurrency, self._key = url, model, concurrency, api_key
        # The client tries again after connection errors, time-outs, 408, 409, 429 and 5xx, and heeds Retry-After.
        self._client = openai.OpenAI(base_url=url, api_key=api_key, timeout=timeout, max_retries=TRIES_AGAIN)

    def reply(
        self, prompts: Sequence[Prompt], *, max_new_tokens: int, choices: Sequence[str] = ()
    ) -> Iterator[tuple[int, Reply]]:
        """See LanguageModel; there is no common way to hold an endpoint to `choices`.

        A prompt that is refused has as its reply that it was, which answers nothing; but no reply comes, and Refused is
        raised, where the first prompts are all refused.
        """
        first = range(0, len(prompts), max(1, len(prompts) // FIRST))[:FIRST]
        todo = iter([*first, *(place for place in range(len(prompts)) if place not in first)])
        failure: BaseException | None = None
        under_way: dict[Future[Reply], int] = {}
        answered, refused = False, dict[int, Reply]()
        with ThreadPoolExecutor(self.concurrency) as pool:
            while True:
                # After a failure nothing new is asked, but what is under way is paid for, and kept.
                free = 0 if failure else self.concurrency - len(under_way)
                for place in islice(todo, free):
                    under_way[pool.submit(self._ask, prompts[place], max_new_tokens)] = place
                if not under_way:
                    break
                for future in wait(under_way, return_when=FIRST_COMPLETED).done:
                    place, error = under_way.pop(future), future.exception()
                    if isinstance(error, PromptRefusedError):
                        refused[place] = Reply(str(error), 0.0)
                    elif error:
                        failure = failure or error
                    else:
                        answered = True
                        yield place, future.result()
                if answered:
                    yield from refused.items()
                    refused = {}
                elif len(first) == FIRST and refused.keys() >= set(first):
                    failure = failure or Refused(f"{self.url} refuses every prompt: {refused[0].text}")
        if failure:
            raise failure
        yield from refused.items()

    def _ask(self, prompt: Prompt, max_new_tokens: int) -> Reply:
        started = time.perf_counter()
        try:
            got = self._client.chat.completions.create(
                model=self.model,
                messages=[{"role": "system", "content": prompt.system}, {"role": "user", "content": prompt.user}],
                max_tokens=max_new_tokens,
                temperature=0,
            )
        except (openai.APIConnectionError, openai.InternalServerError, openai.RateLimitError) as error:
            tries = f"{TRIES_AGAIN + 1} tries"
            raise ConnectionError(f"{self.url} does not answer, {tries}: {self._told(error)}") from None
        except openai.APIStatusError as error:
            if error.status_code in ONE_PROMPT:
                raise PromptRefusedError(f"the service refused: {neutral(self._told(error), 300)}") from None
            raise Refused(f"{self.url} refuses {self.model}: {self._told(error)}") from None
        except openai.APIError as error:
            raise Refused(f"{self.url} refuses {self.model}: {self._told(error)}") from None
        except ValueError:  # no JSON
            raise Refused(f"{self.url} {NO_ENDPOINT}") from None
        return Reply(self._written(got), time.perf_counter() - started)

    def _written(self, got: Any) -> str:
        """The text of an answer. raises Refused if it is of another form, such as a web page"""
        try:
            return storable(got.choices[0].message.content or "")
        except (AttributeError, LookupError, TypeError):
            raise Refused(f"{self.url} {NO_ENDPOINT}") from None

    def _told(self, error: openai.APIError) -> str:
        """The first line of an error; a server may repeat the key that it was given."""
        first = (str(error).splitlines() or [type(error).__name__])[0]
        return first.replace(self._key, "***")[:300]
