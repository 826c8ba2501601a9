"""Prints what test_threads.py asks for: how many threads torch had during a fit, and after it.

It runs in a process of its own, since the tests fix the number for theirs.
"""

import json
import sys
import threading

import joblib
import numpy as np
import torch
from skorch.callbacks import Callback
from threadpoolctl import threadpool_limits

N_START = torch.get_num_threads()
if __name__ == "__main__" and sys.argv[1] in ("free", "torch"):  # as on a machine with four cores
    threadpool_limits(4, user_api="openmp")

from hierclf import FlatSoftmaxClassifier  # noqa: E402
from hierclf._utils import threads  # noqa: E402
from hierclf.encoders import ModuleEncoder  # noqa: E402

N_ROWS, N_FEATURES, SIZE, N_CLASSES = 32, 10, 8, 2
X = np.random.default_rng(0).standard_normal((N_ROWS, N_FEATURES))
y = np.arange(N_ROWS) % N_CLASSES
# Of a forward pass over all rows, which are one batch.
WORK = N_ROWS * (N_FEATURES * SIZE + SIZE * N_CLASSES)
SMALL = threads.PER_THREAD

seen: set[int] = set()


class Looks(torch.nn.Linear):
    """Notes with how many threads it runs."""

    def forward(self, x):
        seen.add(torch.get_num_threads())
        return super().forward(x)


class Nested(Callback):
    """Fits another classifier, with work for four."""

    def on_epoch_begin(self, net, **kwargs):
        seen.add(torch.get_num_threads())
        threads.PER_THREAD = WORK / 4
        classifier().fit(X, y)
        seen.add(torch.get_num_threads())


class Fails(Callback):
    def on_epoch_end(self, net, **kwargs):
        raise RuntimeError("as asked")


class Frozen(ModuleEncoder):
    is_frozen = True


def classifier(kind=ModuleEncoder, **params):
    encoder = kind(Looks(N_FEATURES, SIZE).double())
    fixed = {"max_iter": 1, "n_iter_no_change": 1, "random_state": 0, "batch_size": N_ROWS}
    return FlatSoftmaxClassifier(encoder=encoder, **fixed, **params)


def look(function, per_thread=SMALL):
    """Return the numbers of threads seen during a function, and the number after it."""
    threads.PER_THREAD = per_thread
    seen.clear()
    function()
    return sorted(seen), torch.get_num_threads()


def fit(**params):
    clf = classifier(**params)
    clf.fit(X, y)


def fit_steps(per_thread=SMALL, **params):
    """As `look` at a fit, less the first rows that the encoder is given."""
    clf = classifier(warm_start=True, **params)
    clf.fit(X, y)
    return look(lambda: clf.fit(X, y), per_thread)


def failing_fit():
    try:
        fit(callbacks=[Fails()])
    except RuntimeError:
        return
    raise AssertionError("did not fail")


def in_new_thread(function):
    found = []
    thread = threading.Thread(target=lambda: found.append(function()))
    thread.start()
    thread.join()
    return found[0]


def side_by_side():
    """Fit in two threads that wait for each other within their fits."""
    both = threading.Barrier(2)
    found = []

    class Meets(Callback):
        def on_epoch_begin(self, net, **kwargs):
            both.wait(60)
            numbers.append(in_new_thread(torch.get_num_threads))
            found.append(torch.get_num_threads())
            both.wait(60)

    numbers: list[int] = []
    after = []

    def work():
        torch.get_num_threads()  # by which torch takes notice of the thread
        with threadpool_limits(4, user_api="openmp"):
            fit(callbacks=[Meets()])
            after.append(torch.get_num_threads())

    workers = [threading.Thread(target=work) for _ in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return list(zip(found, after, strict=True)), numbers


def free():
    fitted = classifier().fit(X, y)
    found = {
        "a small fit": look(fit),
        "a small prediction": look(lambda: fitted.predict(X)),
        "a fit with work for three": fit_steps(WORK / 3.5),
        "a prediction with work for two": look(lambda: fitted.predict_proba(X), WORK / 2),
        "a fit with work for hundreds": fit_steps(WORK / 500),
        "a small frozen encoder": look(lambda: fit(kind=Frozen)),
        "a frozen encoder with work for two": look(
            lambda: fit(kind=Frozen), N_ROWS * N_FEATURES * SIZE / 2
        ),
        "a fit that fails": look(failing_fit),
        "a large fit in a small one": look(lambda: fit(callbacks=[Nested()])),
    }
    with threadpool_limits(2, user_api="openmp"):
        found["a small fit limited to two"] = look(fit)
        found["a large fit limited to two"] = look(fit, WORK / 500)
    threads.PER_THREAD = SMALL
    found["a new thread before"] = in_new_thread(torch.get_num_threads)
    found["side by side"], (found["a new thread during"], _) = side_by_side()
    found["a new thread after"] = in_new_thread(torch.get_num_threads)
    return found


def main():
    match sys.argv[1:]:
        case ["free"]:
            return free()
        case ["set"]:
            return N_START, *look(fit)
        case ["torch", number]:
            torch.set_num_threads(int(number))
            return look(fit)
        case ["fork"]:  # torch's threads do not come along: a child that waits for them hangs
            fit()
            with joblib.parallel_config("multiprocessing", n_jobs=2):
                return joblib.Parallel(timeout=60)(joblib.delayed(look)(fit) for _ in range(2))
        case ["worker"]:
            with joblib.parallel_config("loky", n_jobs=2, inner_max_num_threads=2):
                return joblib.Parallel()(joblib.delayed(fit_steps)(n) for n in (SMALL, WORK / 500))


if __name__ == "__main__":
    print(json.dumps(main()))
