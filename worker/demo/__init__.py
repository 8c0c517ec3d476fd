"""
The whole system on one machine, against the simulated bank, with a proof at the end.

    plan     the jobs and the expected outcome of each, as data
    stage    the parts: home, broker, bank, a worker process that can be killed
    play     the steps of the demo
    proof    compares the bank's journal with the table
    screen   what is shown during the demo and at the end
"""

from worker.demo.screen import run_demo

__all__ = ["run_demo"]
