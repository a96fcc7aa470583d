"""The client for asyncio: the calls of kantor.Client, awaited.

    async with kantor.aio.Client() as client:
        result = await client.evaluate(kantor.Sinkhorn(blur=0.5), source=x, target=y, gradients=["source.points"])
        async with client.stream(kantor.Sinkhorn(blur=0.5)) as stream:
            results = await asyncio.gather(*(stream.evaluate(source=x, target=y) for x, y in batches))
        units = await client.diagnose(kantor.ActiveUnits(), posterior=kantor.Gaussian(mean, log_variance))

Arguments, results, errors, timeouts, repetitions and KANTOR_DUMP are those of kantor.Client, whose connection and
streams are underneath. An await that is cancelled, by task.cancel() or asyncio.timeout(), makes the server stop to
compute what it waited for. The loop never waits for the server; what it does itself is to copy arrays.

It does not use grpc.aio, one poller of which serves all loops of a process and wakes the wrong ones, and whose calls
know nothing of what a stream sends again.
"""

from kantor.aio._client import Client
from kantor.aio._stream import Pending, Stream

__all__ = ["Client", "Pending", "Stream"]
