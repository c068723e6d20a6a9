"""The simulated API server's sender on virtual time: batches, waits, retries, Retry-After, throttle, losses."""

from __future__ import annotations

import itertools
import random

import httpx
import pytest
import trio
from trio_run import run

from actors.evidence import Account
from actors.testing.apiserver import SenderOptions, SimulatedApiServer
from actors.testing.events import Caller, Request, account_user, encode_batch, events_of

CALLER = Caller(account_user(Account("n", "a")))


def events(count):
    """This many items, each of a request of its own."""
    return [
        events_of(Request(caller=CALLER, verb="get", namespace="n", name="s", at=1e9, audit_id=f"id-{i}"))[0]
        for i in range(count)
    ]


class Receiver(httpx.AsyncBaseTransport):
    """A receiver that answers from a script, then 200; every entry is a status, (status, headers), an exception or a function."""

    def __init__(self, *script, takes_s=0.0):
        self.script, self.takes_s = list(script), takes_s
        self.requests = []  # (time, request)

    @property
    def times(self):
        return [at for at, _ in self.requests]

    @property
    def bodies(self):
        return [request.content for _, request in self.requests]

    async def handle_async_request(self, request):
        await request.aread()
        self.requests.append((trio.current_time() - self.began, request))
        step = self.script.pop(0) if self.script else 200
        await trio.sleep(self.takes_s)
        if isinstance(step, Exception):
            raise step
        if callable(step):
            step = await step()
        status, headers = step if isinstance(step, tuple) else (step, {})
        return httpx.Response(status, headers=headers, content=b'{"events":1}')


def send(receiver, *, options=None, seed=1, scenario=None, count=1, url="https://x:1/audit"):
    """Runs a sender until it has nothing more to do. Returns its statistics and what was observed."""
    observed = []

    async def main():
        receiver.began = trio.current_time()
        server = SimulatedApiServer(
            url, "secret", receiver, options=options, chance=random.Random(seed), observe=observed.append
        )
        async with trio.open_nursery() as nursery:
            await nursery.start(server.run)
            if scenario is None:
                server.submit(events(count))
            else:
                await scenario(server)
            server.close()
        return server.statistics()

    return run(main), observed


def gaps(times):
    return [later - earlier for earlier, later in itertools.pairwise(times)]


# --- what is on the wire ------------------------------------------------------------------------------------------


def test_request_is_what_the_real_one_sends():
    """POST with ?timeout=30s, exactly the headers seen on a real API server, and an EventList."""
    receiver = Receiver()
    send(receiver, url="https://x:1/audit/?token=dropped#too", count=2)
    (request,) = (request for _, request in receiver.requests)
    assert str(request.url) == "https://x:1/audit?timeout=30s"
    assert request.method == "POST"
    assert dict(request.headers) == {
        "host": "x:1",
        "accept": "application/json, */*",
        "accept-encoding": "gzip",
        "content-type": "application/json",
        "user-agent": "Go-http-client/2.0",
        "authorization": "Bearer secret",
        "content-length": str(len(request.content)),
    }
    assert request.content == encode_batch(events(2))


def test_url_without_a_path_posts_to_the_root():
    """An empty path becomes /?timeout=30s."""
    receiver = Receiver()
    send(receiver, url="https://x:1")
    assert str(receiver.requests[0][1].url) == "https://x:1/?timeout=30s"


# --- batches --------------------------------------------------------------------------------------------------------


def test_a_full_batch_goes_at_once_and_the_rest_after_the_wait():
    """400 events make a batch; what is left waits for batch_wait_s since the last cut."""
    receiver = Receiver()

    async def scenario(server):
        server.submit(events(850))
        await trio.sleep(31)

    statistics, observed = send(receiver, scenario=scenario)
    assert [attempt.events for attempt in observed] == [400, 400, 50]
    assert receiver.times == [0.0, 0.0, 30.0]
    assert (statistics.events, statistics.batches, statistics.accepted, statistics.lost) == (850, 3, 3, 0)


def test_the_wait_runs_from_the_last_cut():
    """An event that comes 29 s after the last cut waits one second, not thirty."""
    receiver = Receiver()

    async def scenario(server):
        await trio.sleep(29)
        server.submit(events(1))
        await trio.sleep(10)

    send(receiver, scenario=scenario)
    assert receiver.times == [30.0]


def test_close_flushes_what_is_buffered():
    """At its end the API server sends what it has, without waiting."""
    receiver = Receiver()
    send(receiver, count=3)
    assert receiver.times == [0.0]


def test_a_full_buffer_drops_the_new_events():
    """What finds no room is dropped and counted; the old ones, and the one that the collector holds, are kept."""
    receiver = Receiver()
    statistics, _ = send(receiver, options=SenderOptions(buffer_events=5), count=9)
    assert (statistics.events, statistics.dropped) == (6, 3)
    assert receiver.bodies == [encode_batch(events(6))]


def test_throttle_lets_a_burst_through_and_then_ten_a_second():
    """15 batches at once, then one every 0.1 s."""
    receiver = Receiver()
    send(receiver, options=SenderOptions(batch_events_max=1), count=20)
    assert receiver.times == pytest.approx([0.0] * 15 + [0.1, 0.2, 0.3, 0.4, 0.5])


# --- retries ----------------------------------------------------------------------------------------------------------

FAILURES = [301, 400, 401, 403, 404, 413, 429, 500, 503, 207]


@pytest.mark.parametrize("seed", range(5))
def test_five_attempts_with_growing_waits_then_lost(seed):
    """Waits of 10, 15, 22.5 and 33.75 s, each times 1.0 to 1.2; after the fifth failure the batch is lost and counted."""
    receiver = Receiver(*[500] * 9)
    statistics, observed = send(receiver, seed=seed)
    waits = gaps(receiver.times)
    assert len(waits) == 4
    for wait_s, base_s in zip(waits, (10.0, 15.0, 22.5, 33.75), strict=True):
        assert base_s <= wait_s <= base_s * 1.2
    assert (statistics.attempts, statistics.lost, statistics.lost_events, statistics.accepted) == (5, 1, 1, 0)
    assert [attempt.retry_in_s for attempt in observed] == [*map(pytest.approx, waits), None]


def test_the_same_seed_makes_the_same_schedule():
    """Chance comes from the seed alone."""
    first, again, other = Receiver(*[500] * 9), Receiver(*[500] * 9), Receiver(*[500] * 9)
    send(first, seed=3)
    send(again, seed=3)
    send(other, seed=4)
    assert first.times == again.times != other.times


@pytest.mark.parametrize("failure", [*FAILURES, httpx.ConnectError("refused"), httpx.ReadError("reset")])
def test_every_failure_is_retried_with_the_same_bytes(failure):
    """No status drops a batch at once, and a retry is the same body byte for byte."""
    receiver = Receiver(failure)
    statistics, _ = send(receiver, count=3)
    assert len(receiver.bodies) == 2
    assert len(set(receiver.bodies)) == 1
    assert (statistics.accepted, statistics.lost) == (1, 0)


@pytest.mark.parametrize("status", [200, 201, 202, 204, 206])
def test_success_is_200_to_206(status):
    """These are accepted at once."""
    receiver = Receiver(status)
    statistics, _ = send(receiver)
    assert (statistics.attempts, statistics.accepted) == (1, 1)


def test_no_answer_within_30_s_is_a_failure():
    """An attempt is given up after 30 s, and the same batch comes again 10 to 12 s later."""
    receiver = Receiver(trio.sleep_forever)
    _, observed = send(receiver)
    assert 40 <= receiver.times[1] <= 42
    assert observed[0].error == "no answer within 30 s"


def test_a_retrying_batch_does_not_hold_up_newer_ones():
    """Each batch has a task of its own: newer ones overtake, so batches arrive out of order."""
    receiver = Receiver(500)

    async def scenario(server):
        for _ in range(2):
            server.submit(events(1))
            await trio.sleep(1.5)

    statistics, observed = send(receiver, options=SenderOptions(batch_wait_s=1.0), scenario=scenario)
    assert [(attempt.batch, attempt.attempt) for attempt in observed] == [(1, 1), (2, 1), (1, 2)]
    assert statistics.in_flight_high == 2


def test_batches_are_under_way_at_the_same_time():
    """Slow answers do not queue: three batches are with the receiver at once."""
    receiver = Receiver(takes_s=5.0)
    statistics, _ = send(receiver, options=SenderOptions(batch_events_max=1), count=3)
    assert receiver.times == [0.0, 0.0, 0.0]
    assert (statistics.in_flight, statistics.in_flight_high) == (0, 3)


# --- Retry-After ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("status", [429, 500, 503])
def test_retry_after_is_honoured_inside_an_attempt(status):
    """An integer Retry-After on 429 or any 5xx is waited for, and the attempt goes on."""
    receiver = Receiver((status, {"Retry-After": "2"}), (status, {"Retry-After": "2"}))
    statistics, observed = send(receiver)
    assert receiver.times == [0.0, 2.0, 4.0]
    assert (statistics.attempts, statistics.inner_retries, len(observed)) == (1, 2, 1)
    assert len(set(receiver.bodies)) == 1


def test_an_attempt_asks_eleven_times_at_most():
    """Ten inner retries, then the outer schedule."""
    receiver = Receiver(*[(503, {"Retry-After": "1"})] * 11)
    statistics, _ = send(receiver)
    assert receiver.times[:11] == [float(n) for n in range(11)]
    assert 20 <= receiver.times[11] <= 22
    assert (statistics.attempts, statistics.inner_retries) == (2, 10)


def test_retry_after_ends_with_the_attempt():
    """A Retry-After beyond the 30 s of the attempt only fills them."""
    receiver = Receiver((503, {"Retry-After": "40"}))
    send(receiver)
    assert 40 <= receiver.times[1] <= 42


def test_retry_after_zero_is_asked_again_at_once():
    """N = 0 is eleven requests on the spot."""
    receiver = Receiver(*[(503, {"Retry-After": "0"})] * 11)
    send(receiver)
    assert receiver.times[:11] == [0.0] * 11


@pytest.mark.parametrize(
    ("status", "value"),
    [
        (503, "Wed, 21 Oct 2026 07:28:00 GMT"),  # a date is not an integer
        (503, "1.5"),
        (503, ""),
        (400, "2"),  # not a status that waits
        (401, "2"),
    ],
)
def test_retry_after_that_is_ignored(status, value):
    """A date, a fraction or another status leads to the outer schedule."""
    receiver = Receiver((status, {"Retry-After": value}))
    send(receiver)
    assert 10 <= receiver.times[1] <= 12


# --- bodies that are handed in ---------------------------------------------------------------------------------------


def test_deliver_sends_a_body_as_it_is():
    """A recorded body is delivered with the same retries, and the caller learns what became of it."""
    receiver = Receiver(500)
    answers = []

    async def scenario(server):
        answers.append(await server.deliver(b'{"kind":"EventList"}', 0))

    send(receiver, scenario=scenario)
    assert answers == [True]
    assert receiver.bodies == [b'{"kind":"EventList"}'] * 2


def test_an_answer_longer_than_the_bound_is_cut():
    """What the observer gets of an answer is bounded."""

    class Long(Receiver):
        async def handle_async_request(self, request):
            await super().handle_async_request(request)
            return httpx.Response(200, content=b"x" * 200_000)

    _, observed = send(Long())
    assert len(observed[0].answer) == 64 << 10
