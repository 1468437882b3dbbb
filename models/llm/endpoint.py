"""A language model behind an OpenAI-compatible endpoint: several requests at a time, each repeated with back-off."""

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from itertools import islice
from typing import Any

import openai

from models.llm.interface import Prompt, Reply, UnusableModelError
from models.llm.item_text import make_storable, neutralize

RETRIES = 10  # waits 0.5 s, then twice as long each time, at most 8 s: together about a minute
PROMPT_STATUSES = (400, 403, 413, 422)  # may be about one prompt alone: its length, or what a filter finds in it
NO_ENDPOINT = "answers, but not as an OpenAI-compatible endpoint does"
PROBES = 8  # prompts from all over the list; if all of them are refused, the cause is not in the prompts


class PromptRefusedError(Exception):
    """The service does not answer this prompt; it may well answer others."""


class Endpoint:
    """A LanguageModel that another process serves.

    url          such as http://127.0.0.1:8000/v1
    api_key      sent to the endpoint and shown nowhere else
    concurrency  requests at a time
    timeout      seconds for one try
    raises       UnusableModelError if no request could carry the key
    """

    def __init__(self, *, url: str, model: str, api_key: str, concurrency: int, timeout: float) -> None:
        if not (api_key.isascii() and api_key.isprintable()):
            raise UnusableModelError("the key in OPENAI_API_KEY holds a line end or another character that no key has")
        self.url, self.model, self.concurrency, self._key = url, model, concurrency, api_key
        # The client tries again after connection errors, time-outs, 408, 409, 429 and 5xx, and heeds Retry-After.
        self._client = openai.OpenAI(base_url=url, api_key=api_key, timeout=timeout, max_retries=RETRIES)

    def reply(
        self, prompts: Sequence[Prompt], *, max_new_tokens: int, choices: Sequence[str] = ()
    ) -> Iterator[tuple[int, Reply]]:
        """See LanguageModel. There is no common way to restrict an endpoint to `choices`: they are ignored.

        If the service refuses a prompt, the reply says so, and no answer can be read from it. If the service refuses
        all of the first prompts, there is no reply at all and UnusableModelError is raised.
        """
        probes = range(0, len(prompts), max(1, len(prompts) // PROBES))[:PROBES]
        waiting = iter([*probes, *(index for index in range(len(prompts)) if index not in probes)])
        failure: BaseException | None = None
        running: dict[Future[Reply], int] = {}
        has_answered, refusals = False, dict[int, Reply]()
        with ThreadPoolExecutor(self.concurrency) as pool:
            while True:
                # After a failure no new request is sent. Requests that are running are paid for, and kept.
                free = 0 if failure else self.concurrency - len(running)
                for index in islice(waiting, free):
                    running[pool.submit(self._ask, prompts[index], max_new_tokens)] = index
                if not running:
                    break
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    index, error = running.pop(future), future.exception()
                    if isinstance(error, PromptRefusedError):
                        refusals[index] = Reply(str(error), 0.0)
                    elif error:
                        failure = failure or error
                    else:
                        has_answered = True
                        yield index, future.result()
                if has_answered:
                    yield from refusals.items()
                    refusals = {}
                elif len(probes) == PROBES and refusals.keys() >= set(probes):
                    failure = failure or UnusableModelError(f"{self.url} refuses every prompt: {refusals[0].text}")
        if failure:
            raise failure
        yield from refusals.items()

    def _ask(self, prompt: Prompt, max_new_tokens: int) -> Reply:
        started = time.perf_counter()
        try:
            completion = self._client.chat.completions.create(
                model=self.model,
                messages=[{"role": "system", "content": prompt.system}, {"role": "user", "content": prompt.user}],
                max_tokens=max_new_tokens,
                temperature=0,
            )
        except (openai.APIConnectionError, openai.InternalServerError, openai.RateLimitError) as error:
            tries = f"{RETRIES + 1} tries"
            raise ConnectionError(f"{self.url} does not answer, {tries}: {self._first_line(error)}") from None
        except openai.APIStatusError as error:
            if error.status_code in PROMPT_STATUSES:
                raise PromptRefusedError(f"the service refused: {neutralize(self._first_line(error), 300)}") from None
            raise UnusableModelError(f"{self.url} refuses {self.model}: {self._first_line(error)}") from None
        except openai.APIError as error:
            raise UnusableModelError(f"{self.url} refuses {self.model}: {self._first_line(error)}") from None
        except ValueError:  # no JSON
            raise UnusableModelError(f"{self.url} {NO_ENDPOINT}") from None
        return Reply(self._read_text(completion), time.perf_counter() - started)

    def _read_text(self, completion: Any) -> str:
        """The text of an answer. raises UnusableModelError if the answer has another form, such as a web page"""
        try:
            return make_storable(completion.choices[0].message.content or "")
        except (AttributeError, LookupError, TypeError):
            raise UnusableModelError(f"{self.url} {NO_ENDPOINT}") from None

    def _first_line(self, error: openai.APIError) -> str:
        """The first line of an error, without the key: a server may repeat it."""
        line = (str(error).splitlines() or [type(error).__name__])[0]
        return line.replace(self._key, "***")[:300]
