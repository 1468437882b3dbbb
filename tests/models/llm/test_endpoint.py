"""The endpoint client: what it tries again, when it gives up, and that it keeps the key secret."""

import json
import logging
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from models.llm.endpoint import Endpoint
from models.llm.interface import Prompt, UnusableModelError
from models.llm.judge_prompt import read_answer
from models.llm.question_prompt import read_questions

KEY = "sk-very-secret"
AGAIN = {"retry-after-ms": "10"}
Step = tuple[int, dict[str, str]]  # status and headers of one answer; status 0: no answer within the time-out


class Server(ThreadingHTTPServer):
    """Answers first by its steps, then well, except for texts that it refuses. It records the texts of all requests."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.steps: list[Step] = []
        self.refused: dict[str, int] = {}  # text -> status
        self.asked: list[str] = []
        self.keys: set[str] = set()
        self.refusal = "no"
        self.body: str | None = None  # sent instead of a good answer
        self.busy = self.busiest = 0
        self.url = f"http://127.0.0.1:{self.server_port}/v1"

    def handle_error(self, request: object, client_address: object) -> None:
        """Ignore clients that did not wait for their answer."""


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:  # http.server's name for it
        server = self.server
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        text = body["messages"][-1]["content"]
        server.asked.append(text)
        server.keys.add(self.headers["authorization"])
        server.busy += 1
        server.busiest = max(server.busy, server.busiest)
        status, headers = server.steps.pop(0) if server.steps else (server.refused.get(text, 200), {})
        time.sleep(6.0 if status == 0 else 0.02)
        server.busy -= 1
        answer = {"choices": [{"index": 0, "message": {"role": "assistant", "content": text.upper()}}]}
        error = {"error": {"message": f"{server.refusal}, {self.headers['authorization']}"}}
        reply = json.dumps(answer if status == 200 else error)
        self.send_response(status or 200)
        self.send_header("content-type", "application/json")
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write((reply if server.body is None else server.body).encode())

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as running:
        threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True).start()
        yield running
        running.shutdown()


def endpoint(server: Server, concurrency: int = 4, timeout: float = 60) -> Endpoint:
    return Endpoint(url=server.url, model="m", api_key=KEY, concurrency=concurrency, timeout=timeout)


def replies(client: Endpoint, count: int) -> dict[int, str]:
    prompts = [Prompt("system", f"text {n}") for n in range(count)]
    return {index: reply.text for index, reply in client.reply(prompts, max_new_tokens=5)}


def test_each_prompt_gets_its_own_reply_with_no_more_requests_at_a_time_than_allowed(server: Server) -> None:
    assert replies(endpoint(server, 3), 20) == {n: f"TEXT {n}" for n in range(20)}
    assert server.busiest == 3
    assert server.keys == {f"Bearer {KEY}"}


@pytest.mark.parametrize("step", [(429, AGAIN), (503, AGAIN), (500, AGAIN), (0, {})])
def test_a_request_that_may_succeed_later_is_tried_again(server: Server, step: Step) -> None:
    server.steps = [step, step] if step[0] else [step]
    failures = len(server.steps)
    assert replies(endpoint(server, 1, timeout=60 if step[0] else 3), 2) == {0: "TEXT 0", 1: "TEXT 1"}
    assert server.asked == ["text 0"] * (1 + failures) + ["text 1"]


@pytest.mark.parametrize("status", [400, 403, 422])
def test_a_refused_prompt_has_no_answer_and_the_other_prompts_are_asked(server: Server, status: int) -> None:
    server.refused = {f"text {n}": status for n in (0, 5, 19)}
    texts = replies(endpoint(server, 3), 20)
    assert len(server.asked) == 20
    for n in range(20):
        if n in (0, 5, 19):
            verdict, reason = read_answer(texts[n])
            assert (verdict, reason[:32]) == ("unsure", "no answer: the service refused: ")
            assert read_questions(texts[n]) is None
        else:
            assert texts[n] == f"TEXT {n}"


def test_a_refusal_that_repeats_the_prompt_is_no_answer(server: Server) -> None:
    server.refusal = "this is not allowed: <answer>Yes</answer>"
    server.refused = {"text 0": 400}
    assert read_answer(replies(endpoint(server), 1)[0])[0] == "unsure"


@pytest.mark.parametrize("prompts", [8, 40])
def test_a_service_that_refuses_every_prompt_is_asked_few_and_has_no_replies(server: Server, prompts: int) -> None:
    server.refused = {f"text {n}": 400 for n in range(prompts)}
    answered = list[int]()
    with pytest.raises(UnusableModelError, match="refuses every prompt: the service refused"):
        answered.extend(
            index for index, _ in endpoint(server).reply([Prompt("", t) for t in server.refused], max_new_tokens=5)
        )
    assert answered == []
    assert 8 <= len(server.asked) <= 16


def test_refusing_all_pairs_of_one_item_does_not_stop_the_others(server: Server) -> None:
    server.refused = {f"text {n}": 400 for n in range(12)}
    assert len(replies(endpoint(server), 40)) == 40


@pytest.mark.parametrize("status", [401, 404])
def test_a_refusal_is_not_tried_again_and_running_requests_are_kept(server: Server, status: int) -> None:
    server.steps = [(status, {})]
    texts = list[str]()
    with pytest.raises(UnusableModelError):
        texts.extend(reply.text for _, reply in endpoint(server, 4).reply([Prompt("", "x")] * 50, max_new_tokens=5))
    assert texts == ["X"] * (len(server.asked) - 1)
    assert 4 <= len(server.asked) <= 8


@pytest.mark.parametrize(("status", "error"), [(401, UnusableModelError), (503, ConnectionError)])
def test_only_the_endpoint_gets_the_key(
    server: Server, status: int, error: type[Exception], caplog: pytest.LogCaptureFixture
) -> None:
    server.steps = [(status, AGAIN)] * 20
    with caplog.at_level(logging.DEBUG), pytest.raises(error) as caught:
        replies(endpoint(server), 1)
    assert server.url in str(caught.value)
    assert KEY not in str(caught.value) + repr(caught.value) + caplog.text


def test_a_server_of_another_kind_is_named(server: Server) -> None:
    server.steps = [(204, {"content-type": "text/html"})]
    with pytest.raises(UnusableModelError, match="not as an OpenAI-compatible endpoint does"):
        replies(endpoint(server), 1)


def test_a_server_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("models.llm.endpoint.RETRIES", 1)
    nowhere = Endpoint(url="http://127.0.0.1:9/v1", model="m", api_key=KEY, concurrency=1, timeout=1)
    with pytest.raises(ConnectionError, match=r"http://127\.0\.0\.1:9/v1 does not answer, 2 tries"):
        replies(nowhere, 1)


MESSAGE = '{"choices": [{"index": 0, "message": %s}]}'


@pytest.mark.parametrize(
    "body",
    ["", "{no JSON", "[]", "{}", '{"choices": []}', '{"choices": {"a": 1}}', '{"choices": [null]}',
     '{"choices": ["x"]}', '{"choices": [{}]}', MESSAGE % "null", MESSAGE % '{"content": 5}',
     MESSAGE % '{"content": [{"type": "text", "text": "hi"}]}'],
)  # fmt: skip
def test_an_answer_of_another_form_means_an_unusable_model(server: Server, body: str) -> None:
    server.body = body
    with pytest.raises(UnusableModelError, match="not as an OpenAI-compatible endpoint does"):
        replies(endpoint(server), 1)


def test_half_an_emoji_in_a_reply_is_replaced(server: Server) -> None:
    server.body = MESSAGE % r'{"content": "yes \ud83d"}'
    assert replies(endpoint(server), 1) == {0: "yes ?"}


@pytest.mark.parametrize("key", ["sk-1\n", "sk-\u20ac"])
def test_a_key_that_no_request_can_carry_is_refused(key: str) -> None:
    with pytest.raises(UnusableModelError, match="OPENAI_API_KEY") as caught:
        Endpoint(url="http://127.0.0.1:1/v1", model="m", api_key=key, concurrency=1, timeout=1)
    assert "sk-" not in str(caught.value)
