"""Budgets that several processes share, in Redis.

Each process is given a part of what is left of a limit, from which it lets calls through without asking. One thread
speaks with Redis, in batches; a caller waits for it only where this process has nothing left of what it was given.
Given to all together is never more than the limit, so the processes together cannot let through more than one could.
"""

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal
from uuid import uuid4

from genai_observability._budgets.budget import Account

_logger = logging.getLogger("genai_observability")

_PAUSE: Final = 0.2  # seconds between two visits to Redis
_AWAY: Final = 1.0  # seconds after which an answer is given up, and between two attempts to reach a Redis that is away
_COMPLAINTS: Final = 60.0  # seconds between two warnings, where Redis comes and goes
_EMPTY: Final = 1.0  # seconds before Redis is asked again for a budget of which nothing was left
_IDLE: Final = 60.0  # seconds after the last call after which a process gives back what is left of its part
_GRACE: Final = 3600  # seconds that Redis keeps what was used in a period beyond its end, as clocks differ
_BATCH: Final = 1000  # accounts in one round trip
_MEANWHILE: Final = {
    "open": "each process goes by the last total and its own calls",
    "closed": "calls under budgets are treated as beyond them",
}

# One hash holds what each process has spent, reserved and been given, and the total of that. A process writes what it
# has used, not what it adds: an answer that got lost on its way is simply asked for again.
# ARGV: field, committed, kept, needed, wanted, cost of a call, limit, seconds after which the hash expires.
_Claim = tuple[str, float, *tuple[float, ...]]
_SETTLE: Final = """
local function number(name) return tonumber(redis.call('HGET', KEYS[1], name) or 0) end
local function text(value) return string.format('%.17g', value) end
local committed, kept, needed = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local wanted, cost, limit = tonumber(ARGV[5]), tonumber(ARGV[6]), tonumber(ARGV[7])
local others = number('total') - number(ARGV[1])
local left = limit - others - committed
local share = math.floor(left / 8 / cost) * cost
local given = math.max(kept, math.min(wanted, math.max(needed, share), left), 0)
redis.call('HSET', KEYS[1], ARGV[1], text(committed + given), 'total', text(others + committed + given))
redis.call('EXPIRE', KEYS[1], ARGV[8])
return {text(others), text(given)}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisStore:
    """Keeps budgets in a Redis server, for all the processes that name the same one.

    It needs ``pip install 'genai-observability[redis]'``.

    Args:
        url: Such as ``redis://:password@host:6379/0``; ``rediss://`` for TLS, ``unix://`` for a socket.
        when_unreachable: What holds while Redis does not answer. ``"open"``: each process goes on by what it knows, the
            last total and its own calls. ``"closed"``: each uses up what it was given, then its budgets count as used
            up.
        timeout: Seconds, up to 60, after which a call waits no longer for an answer; then none waits until Redis
            answers again. With an asynchronous client the event loop waits. Where a call has to ask again, as others
            took what it was given, it waits less than twice as long altogether.

    Raises:
        ValueError: one of the values is not possible; the message says which.
        ImportError: the package ``redis`` is not installed.
    """

    url: str = field(repr=False)  # holds the password
    when_unreachable: Literal["open", "closed"] = "open"
    timeout: float = 0.05

    def __post_init__(self) -> None:
        if self.when_unreachable not in ("open", "closed"):
            raise ValueError(f"when_unreachable is 'open' or 'closed', not {self.when_unreachable!r}.")
        if not 0 < self.timeout <= 60:
            raise ValueError(f"timeout is a number of seconds up to 60, not {self.timeout!r}.")
        try:
            self.client()
        except ImportError:
            raise ImportError("RedisStore needs the package redis: pip install 'genai-observability[redis]'.") from None
        except (ValueError, AttributeError, TypeError):  # whose message may quote the password; of None, or a number
            raise ValueError("The url of a RedisStore reads like redis://:password@host:6379/0.") from None

    def client(self) -> Any:
        """A client of the server (``redis.Redis``), which connects when it is first used."""
        import redis  # not above: an optional package, and a tenth of a second
        from redis.backoff import NoBackoff
        from redis.retry import Retry

        once = Retry(NoBackoff(), 0)  # there is a next visit; by default it tries for seconds
        return redis.Redis.from_url(self.url, socket_timeout=_AWAY, socket_connect_timeout=_AWAY, retry=once)


class Leases:
    """What this process was given of each limit.

    Attributes:
        store: The server.
        answering: Whether it does.
    """

    def __init__(self, store: RedisStore, *, lock: threading.RLock, clock: Callable[[], float]) -> None:
        """``lock`` guards the accounts, ``clock`` gives seconds since the epoch."""
        self.store = store
        self._clock = clock
        self.renew(lock)
        self._start()

    def renew(self, lock: threading.RLock) -> None:
        """Be a process of its own, in a child made by fork; it meets Redis with its first call."""
        self.answering = True
        self._unsure = True  # whether to greet Redis even where there is nothing to tell
        self._silent_until = 0.0  # on the monotonic clock
        self._lock = lock
        self._process = uuid4().hex[:12]
        self._fields = 0
        self._touched: set[Account] = set()
        self._held: OrderedDict[Account, float] = OrderedDict()
        self._waiting: list[threading.Event] = []
        self._stopped = False
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None

    def touch(self, account: Account) -> None:
        """Have Redis told soon what has changed. The caller holds the lock."""
        if self._thread is None:
            self._start()
        if not account.entry:
            self._fields += 1
            account.entry = f"{self._process}:{self._fields}"
        self._touched.add(account)

    def ask(self, accounts: Collection[Account]) -> bool:
        """Wait for more of the accounts' limits; ``False`` where there is nothing to wait for."""
        if not self.answering or all(account.empty_until > self._clock() for account in accounts):
            return False
        answered = threading.Event()
        with self._lock:
            for account in accounts:
                account.waiting += 1
                self.touch(account)
            self._waiting.append(answered)
        self._wake.set()
        if not answered.wait(self.store.timeout):
            self._lost(f"no answer within {self.store.timeout:g} s")
        return True

    def stop(self, timeout: float) -> None:
        """Give back what is left, and end."""
        self._stopped = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join(timeout)

    def _start(self) -> None:
        self._thread = threading.Thread(target=self._loop, name="genai-observability-budgets", daemon=True)
        self._thread.start()

    def _loop(self) -> None:
        client = self.store.client()
        ended = False
        while not ended:
            ended = self._stopped
            self._visit(client, last=ended)
            if not ended:
                self._wake.wait(_PAUSE if self.answering else _AWAY)
                self._wake.clear()

    def _visit(self, client: Any, *, last: bool) -> None:
        waiting: list[threading.Event] = []
        claims: dict[Account, _Claim] = {}
        try:
            with self._lock:
                waiting, self._waiting = self._waiting, []
                claims = self._claims(self._clock(), last=last)
            if claims:
                self._settle(client, claims)
            elif self._unsure:
                client.ping()
            else:
                return
        except Exception as error:  # of the client library, or an answer that makes no sense
            with self._lock:
                self._touched.update(claims)
            self._lost(f"{type(error).__name__}: {error}")
        else:
            self._found()
        finally:
            for caller in waiting:
                caller.set()

    def _claims(self, now: float, *, last: bool) -> dict[Account, _Claim]:
        """What to tell Redis of each account that has changed or lies idle."""
        changed = dict.fromkeys(self._touched, last)
        self._touched = set()
        while self._held and (last or next(iter(self._held.values())) < now - _IDLE):
            changed.setdefault(self._held.popitem(last=False)[0], True)
        lasting = ((account, idle) for account, idle in changed.items() if now < account.period.ends)
        return {account: self._claim(account, now, idle=idle) for account, idle in lasting}

    def _claim(self, account: Account, now: float, *, idle: bool) -> _Claim:
        account.pace = max(account.admitted, account.pace // 2)
        cost, committed = account.cost, account.committed(now)
        needed = max(account.waiting, 1) * cost
        wanted = 0.0 if idle else needed + 2 * account.pace * cost
        account.admitted = account.waiting = 0
        # Less is used here before Redis is told, more only after it has said so: the sum is never beyond the limit.
        account.allowance = min(account.allowance, committed + wanted)
        if account.pace and not idle:
            self._touched.add(account)  # to give back, on a next visit, what a quieter account need not hold
        kept = max(account.allowance - committed, 0.0)
        lasts = int(account.period.ends - now) + _GRACE
        return account.entry, committed, kept, needed, wanted, cost, account.rule.limit, lasts

    def _settle(self, client: Any, claims: Mapping[Account, _Claim]) -> None:
        accounts = list(claims)
        for start in range(0, len(accounts), _BATCH):
            batch = accounts[start : start + _BATCH]
            pipeline = client.pipeline(transaction=False)
            for account in batch:
                key = f"genai_observability:budget:{account.rule.label}:{account.value}:{account.period.name}"
                pipeline.eval(_SETTLE, 1, key, *claims[account])
            answers = [(float(others), float(given)) for others, given in pipeline.execute()]
            now = self._clock()
            with self._lock:
                for account, (others, given) in zip(batch, answers, strict=True):
                    account.others = others
                    account.allowance = claims[account][1] + given
                    account.empty_until = 0.0 if given > 0 else now + _EMPTY
                    self._held.pop(account, None)
                    if given > 0:
                        self._held[account] = now

    def _lost(self, why: str) -> None:
        self.answering, was_answering = False, self.answering
        self._unsure = True
        if was_answering and time.monotonic() > self._silent_until:
            self._silent_until = time.monotonic() + _COMPLAINTS
            meanwhile = _MEANWHILE[self.store.when_unreachable]
            _logger.warning("Budgets are not shared: Redis does not answer (%s). Until it does, %s.", why, meanwhile)

    def _found(self) -> None:
        self._unsure = False
        if not self.answering:
            self.answering = True
            _logger.info("Budgets are shared again: Redis answers.")
