"""
The whole system on one machine, against the simulated bank, with a proof at the end.

    plan     the jobs and what must become of each, as data
    stage    the parts: home, broker, bank, a worker process that can be killed
    proof    what the bank's journal and the table say, compared
    screen   what a person sees meanwhile and at the end
"""

from worker.demo.screen import run_demo

__all__ = ["run_demo"]
