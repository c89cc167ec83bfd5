"""Schedules explanations: cached already? being computed? admitted? run.

One entrance, `Scheduler.session(context)`: one permit and one budget for all pictures of a request, and
`submit(work, key)` for each of them. Must not know HTTP, models, or what the work is. Read scheduler.py first.
single_flight.py has equal work computed once, shared_task.py is work that several requests wait for, and
concurrency_limit.py refuses what is beyond the few threads that run it.
"""

from server.scheduling.concurrency_limit import BoundedPool as BoundedPool
from server.scheduling.concurrency_limit import lower_thread_priority as lower_thread_priority
from server.scheduling.immediate import ImmediateSession as ImmediateSession
from server.scheduling.scheduler import Lease as Lease
from server.scheduling.scheduler import PooledSession as PooledSession
from server.scheduling.scheduler import Scheduler as Scheduler
from server.scheduling.session import Interrupt as Interrupt
from server.scheduling.session import Outcome as Outcome
from server.scheduling.session import Publish as Publish
from server.scheduling.session import Session as Session
from server.scheduling.session import Task as Task
from server.scheduling.session import TaskKey as TaskKey
from server.scheduling.session import Work as Work
