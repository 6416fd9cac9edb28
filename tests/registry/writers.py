"""Publishers as processes of their own; run as a script by the tests.

It imports the registry once and forks, so that a trial costs milliseconds.

    writers.py many ROOT BUNDLE COUNT          COUNT processes publish at once
    writers.py kill ROOT BUNDLE TRIALS SEED    a publisher is killed at a random moment, TRIALS times
    writers.py full ROOT BUNDLE BYTES          publish and write where no file may exceed BYTES
"""

from __future__ import annotations

import json
import os
import random
import resource
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

from fingan.errors import BundleError, NotFound
from fingan.registry import Registry, read_bundle, write_bundle


def main() -> None:
    mode, root, bundle, *numbers = sys.argv[1:]
    action = {"many": many, "kill": kill, "full": full}[mode]
    sys.stdout.write(json.dumps(action(root, bundle, *map(int, numbers))))


def many(root: str, bundle: str, count: int) -> object:
    start = time.monotonic() + 0.1

    def publish() -> None:
        time.sleep(max(0.0, start - time.monotonic()))
        Registry(root).publish("demo", bundle)

    children = [fork(publish) for _ in range(count)]
    return [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]


def kill(root: str, bundle: str, trials: int, seed: int) -> object:
    rng = random.Random(seed)
    registry, leftovers, failures = Registry(root), 0, []
    for trial in range(trials):
        child = fork(lambda: publish_forever(root, bundle))
        time.sleep(rng.uniform(0.0, 0.06))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        leftovers += bool(list(Path(root).glob(".tmp-*")))
        try:
            for version in registry.versions("demo")[-3:]:
                registry.verify(f"demo:{version}")
        except NotFound:
            pass  # killed before the first version
        except BundleError as error:
            failures.append(f"trial {trial}: {error}")
    return {"leftovers": leftovers, "failures": failures}


def publish_forever(root: str, bundle: str) -> None:
    while True:
        Registry(root).publish("demo", bundle)


def full(root: str, bundle: str, limit: int) -> object:
    content = read_bundle(bundle)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    saved = Path(root).parent / "saved"
    actions: list[Callable[[], object]] = [
        lambda: Registry(root).publish("demo", bundle),
        lambda: write_bundle(saved, content.documents, content.tensors),
    ]
    messages = []
    for action in actions:
        try:
            action()
        except BundleError as error:
            messages.append(str(error))
    return messages


def fork(action: Callable[[], None]) -> int:
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        action()
        status = 0
    finally:
        os._exit(status)


if __name__ == "__main__":
    main()
