"""Interrupts of a run wait for the clean-up, and no signal is lost."""
import signal
from contextlib import contextmanager


class Interrupts:
    """Turns SIGINT, SIGTERM and SIGHUP into a KeyboardInterrupt, which `shield` delays until its end."""

    def __init__(self):
        self._shields, self._pending = 0, False
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._came)

    def _came(self, *_):
        if self._shields > 0:
            self._pending = True
        else:
            raise KeyboardInterrupt

    @contextmanager
    def shield(self):
        self._shields += 1
        try:
            yield
        finally:
            self._shields -= 1
        if self._pending and self._shields == 0:
            self._pending = False
            raise KeyboardInterrupt
