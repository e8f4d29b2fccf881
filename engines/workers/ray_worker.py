"""The driver's handle on one Ray actor: its place, its current part, and the stream of its messages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from curate.engines.workers.ray_actor import PartActor
from curate.schemas.errors import first_line
from curate.schemas.thread_limits import as_environment

if TYPE_CHECKING:
    from curate.engines.workers.process import IndexedBatch
    from curate.engines.workers.ray_cluster import Place


@dataclass(eq=False)
class RayWorker:
    """An actor on a node; see `curate.engines.workers.messages` for its messages."""

    place: Place
    actor: Any
    stream: Any
    """What it is sending; None while it waits for a part."""
    part: IndexedBatch | None = None
    """What it is computing; kept here, to be given to another should it end."""
    parts_done: int = 0
    peak_memory: int = 0

    @property
    def label(self) -> str:
        """``worker 2 on node 10.0.0.3 (6b77af), cuda:0``."""
        return f"worker {self.place.number + 1} on node {self.place.name}, {self.place.device}"

    def assign(self, part: IndexedBatch) -> None:
        """Give it the next part to compute."""
        self.part = part
        self.stream = self.actor.compute.remote(*part)

    def finished(self, peak_memory: int) -> None:
        """Note that its part is done."""
        self.part, self.stream = None, None
        self.parts_done, self.peak_memory = self.parts_done + 1, peak_memory

    def receive(self) -> tuple[Any, ...]:
        """Return its next message; ``("ended", reason)`` if the actor or its node is gone."""
        import ray
        from ray.exceptions import RayError, RayTaskError

        try:
            message: tuple[Any, ...] = ray.get(next(self.stream))
        except RayTaskError as error:
            # Raised by Ray itself, before the actor's code runs: it answers with messages.
            return "failed", 1, first_line(error.cause if error.cause else error), str(error)
        except (RayError, StopIteration) as error:
            return "ended", _reason(error)
        return message

    def stop(self) -> None:
        """End the actor at once, whatever it computes."""
        import ray

        ray.kill(self.actor)


def start_worker(place: Place, *opening: Any) -> RayWorker:
    """Start an actor on the node of `place`, which opens its task; `opening` is what `PartActor.open` takes."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    actor = (
        ray.remote(PartActor)
        .options(
            num_cpus=place.cpus,
            num_gpus=place.gpus,
            scheduling_strategy=NodeAffinitySchedulingStrategy(place.node, soft=False),
            runtime_env={"env_vars": as_environment(max(1, place.cpus))},
        )
        .remote()
    )
    return RayWorker(place, actor, actor.open.remote(*opening))


def _reason(error: BaseException) -> str:
    """Return the line of Ray's explanation that says what happened: the first one only says that something did."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    reasons = [line for line in lines if "because" in line or "cause" in line.lower()]
    return (reasons or lines or [type(error).__name__])[0]
