"""The language model as judge: in this process, and behind `transformers serve`, where the judge is killed."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from transformers.cli.serve import Serve

from jobs import judge
from jobs.item_pairs.settings import Judge, JudgeLlm, LargerLlm, Llm
from jobs.lake import Lake, UserError
from jobs.lake.contracts import contracts
from jobs.runtime.entry import error_sentence
from jobs.settings.tree import Settings
from tests.scripted_lm import CUE, JUDGES, scripted_lm

DAY = date(2026, 11, 20)
PAIRS = 240


def put(lake: Lake, titles: list[str | None], source: str = "swing") -> None:
    """Items in a sequence; each item is a pair with the next one."""
    items = [
        {"item_id": f"i{n:03}", "title": title, "text": title or "", "content_hash": str(n), "file": "f", "line": n,
         "day": DAY} for n, title in enumerate(titles)
    ]  # fmt: skip
    pairs = [
        {"item_a": f"i{n:03}", "item_b": f"i{n + 1:03}", "source": source, "score": 1.0, "day": DAY}
        for n in range(len(titles) - 1)
    ]
    for name, rows in (("silver.items", items), ("silver.item_pairs", pairs)):
        lake.replace(name, pa.Table.from_pylist(rows, contracts()[name].arrow))


def rows(lake: Lake, table: str) -> list[dict[str, Any]]:
    return list(lake.arrow(table).sort_by("item_a").to_pylist())


def judged(lake: Lake, settings: Settings, reasoning: bool = True, **models: str) -> list[dict[str, Any]]:
    llm = JudgeLlm(
        reasoning=reasoning,
        swing=Llm(model=models.get("swing", "/nowhere")),
        two_tower=LargerLlm(model=models.get("two_tower", "/nowhere")),
    )
    judge.run(lake, settings.model_copy(update={"judge": Judge(kind="llm", llm=llm)}), DAY)
    return rows(lake, "silver.item_pairs")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return scripted_lm(tmp_path_factory.mktemp("lm") / "tiny", JUDGES)


@pytest.mark.parametrize("reasoning", [True, False])
def test_a_local_model_judges_by_the_titles_and_says_why(
    lake: Lake, settings: Settings, folder: Path, reasoning: bool
) -> None:
    put(lake, ["kettle", "teapot", f"{CUE} of rubber"])
    pairs = judged(lake, settings, reasoning, swing=str(folder))
    assert [row["verdict"] for row in pairs] == ["yes", "no"]
    reasons = {True: "Their uses were compared.", False: "likelier than the other answer by "}
    assert all(row["reason"].startswith(reasons[reasoning]) for row in pairs)
    assert all(row["judge_seconds"] > 0 for row in pairs)
    mode = "reasoning" if reasoning else "short"
    assert all(row["judge_version"].startswith(f"llm-1-{mode}-tiny-") for row in pairs)


def test_an_answer_that_cannot_be_read_is_kept_as_unsure_and_not_asked_again(
    lake: Lake, settings: Settings, tmp_path: Path
) -> None:
    put(lake, ["kettle", "teapot"])
    babbling = scripted_lm(tmp_path, ["<answer>", "Maybe", "</answer>"])
    assert judged(lake, settings, swing=str(babbling))[0]["reason"] == "a broken answer: <answer>Maybe</answer>"
    assert judged(lake, settings, swing=str(babbling))[0]["verdict"] == "unsure"
    assert len(rows(lake, "silver.item_verdicts")) == 1


def test_an_item_without_text_is_not_judged_until_it_has_one(lake: Lake, settings: Settings, folder: Path) -> None:
    put(lake, ["kettle", None])
    assert judged(lake, settings, swing=str(folder))[0]["reason"] == "no text of i001"
    assert rows(lake, "silver.item_verdicts") == []
    put(lake, ["kettle", "teapot"])
    assert judged(lake, settings, swing=str(folder))[0]["verdict"] == "yes"


def test_each_source_is_judged_by_its_own_model(lake: Lake, settings: Settings, folder: Path) -> None:
    put(lake, ["kettle", "teapot"], "two_tower")
    assert judged(lake, settings, two_tower=str(folder))[0]["verdict"] == "yes"
    with pytest.raises(UserError, match=r"judge\.llm\.two_tower\.model: there is no folder /elsewhere"):
        judged(lake, settings, two_tower="/elsewhere")


def test_an_endpoint_that_does_not_answer_is_reported_in_a_sentence() -> None:
    message = error_sentence(ConnectionError("http://127.0.0.1:1/v1 does not answer, 11 tries"))
    assert message == "http://127.0.0.1:1/v1 does not answer, 11 tries; the answers so far are saved: run this again"


class Server:
    """`transformers serve`, which records its prompts."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as free_socket:
            free_socket.bind(("127.0.0.1", 0))
            self.port = free_socket.getsockname()[1]
        self.folder, self.asked = folder, list[str]()

    def start(self) -> None:
        self.serve: Any = Serve(
            force_model=str(self.folder), host="127.0.0.1", port=self.port, device="cpu", non_blocking=True
        )
        handler: Any = self.serve._chat_handler
        handle = handler.handle_request

        async def record_and_handle(body: dict[str, Any], request_id: str) -> Any:
            self.asked.append(body["messages"][-1]["content"])
            await asyncio.sleep(0.05)  # even on a fast machine, the judge must still be running when it is killed
            return await handle(body, request_id)

        handler.handle_request = record_and_handle
        wait(lambda: self.serve.server.started)

    def stop(self) -> None:
        self.serve.kill_server()


@pytest.fixture
def server(folder: Path) -> Iterator[Server]:
    running = Server(folder)
    running.start()
    yield running
    running.stop()


def wait(until: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not until():
        assert time.monotonic() < end
        time.sleep(0.02)


def start_judge(lake: Lake, server: Server) -> subprocess.Popen[str]:
    llm = {"SWING__MODEL": str(server.folder), "SWING__ENDPOINT": f"http://127.0.0.1:{server.port}/v1",
           "SWING__CONCURRENCY": "2", "SWING__MAX_NEW_TOKENS": "16"}  # fmt: skip
    env = {**os.environ, "LAKE": lake.root, "NO_PROXY": "127.0.0.1", "SIDEREAL_JUDGE__KIND": "llm"}
    env |= {f"SIDEREAL_JUDGE__LLM__{name}": value for name, value in llm.items()}
    return subprocess.Popen([sys.executable, "-m", "jobs.judge", "--day", str(DAY)], env=env, text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE)  # fmt: skip


def test_a_killed_judge_and_a_restarted_server_lose_no_pair_and_repeat_no_saved_question(
    lake: Lake, server: Server
) -> None:
    put(lake, [f"thing {n:03}{f' {CUE}' if n % 3 == 0 else ''}" for n in range(PAIRS + 1)])

    def saved() -> set[str]:
        return {row["item_a"] for row in rows(lake, "silver.item_verdicts")}

    first = start_judge(lake, server)
    wait(lambda: bool(saved()))
    first.send_signal(signal.SIGKILL)
    first.wait()
    before, asked_before = saved(), len(server.asked)
    assert 0 < len(before) < PAIRS

    second = start_judge(lake, server)
    wait(lambda: saved() > before)
    assert len(saved()) < PAIRS
    server.stop()
    server.start()
    out, log = second.communicate(timeout=60)
    assert second.returncode == 0, log

    asked_again = [prompt for prompt in server.asked[asked_before:] if f"i{_first(prompt):03}" in before]
    assert asked_again == []
    # Repeated: requests running at the kill or answered within two seconds before it, and those running when the server
    # stopped.
    assert len(server.asked) - PAIRS <= asked_before - len(before) + 2
    verdicts = rows(lake, "silver.item_verdicts")
    assert [row["item_a"] for row in verdicts] == [f"i{n:03}" for n in range(PAIRS)]
    pairs = rows(lake, "silver.item_pairs")
    assert [row["verdict"] for row in pairs] == ["yes" if n % 3 == 1 else "no" for n in range(PAIRS)]
    assert f'"asked": {PAIRS - len(before)}, "carried": {len(before)}' in out


def _first(prompt: str) -> int:
    """The number of the first item in a prompt."""
    return int(prompt.split("thing ")[1][:3])
