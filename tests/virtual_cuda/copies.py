"""Copies to the host that nobody waits for, and the events and streams that tell when they are done.

What a non-blocking copy into pinned memory brings is there when the device was waited for, and not before: until then
the target holds NaN (85 in integers). All streams are one.
"""
from contextlib import nullcontext

import torch


class Copies:
    """Pinned memory, and the copies on their way into it. ``now`` counts the operators on the device; ``waited`` is the
    last of them that was waited for."""

    def __init__(self):
        self.now = self.waited = 0
        self._pinned, self._pending = {}, []

    def pin(self, tensor):
        storage = tensor.untyped_storage()
        self._pinned[storage.data_ptr()] = storage                  # held, so that no other gets its place
        return tensor

    def is_pinned(self, tensor, *args):
        return tensor.untyped_storage().data_ptr() in self._pinned

    def start(self, target, value):
        with torch.inference_mode():                                # the target may be of either kind
            target.fill_(float('nan') if target.is_floating_point() else 85)
        self._pending.append((self.now, target, value))

    def wait(self, until=None):
        """The device has done what it was given until then; by default all."""
        until = self.now if until is None else until
        self.waited = max(self.waited, until)
        with torch.inference_mode():
            for when, target, value in self._pending:
                if when <= until:
                    target.copy_(value)
        self._pending = [copy for copy in self._pending if copy[0] > until]


def events_and_streams(device):
    """Classes and functions that stand in for those of torch.cuda, by name."""
    class Event:
        def __init__(self, *args, **kwargs):
            self.place = 0

        def record(self, stream=None):
            self.place = device.copies.now

        def synchronize(self):
            if self.place > device.copies.waited:
                device.note('sync', 'event')
                device.copies.wait(self.place)

        def query(self):
            device.copies.wait(self.place)
            return True

        def wait(self, stream=None):
            pass

        def elapsed_time(self, other):
            return 0.

    class Stream:
        def __init__(self, *args, **kwargs):
            self.cuda_stream = 0

        def is_capturing(self):
            return False

        def wait_stream(self, stream):
            pass

        wait_event = wait_stream

        def record_event(self, event=None):
            event = event or Event()
            event.record()
            return event

        def synchronize(self):
            device.note('sync', 'stream')

    one = Stream()
    return dict(Event=Event, Stream=Stream, stream=lambda stream: nullcontext(), current_stream=lambda *args: one,
                default_stream=lambda *args: one)
