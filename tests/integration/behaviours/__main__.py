"""`python -m tests.integration.behaviours` renews the table of behaviours in the docs."""

from tests.integration.behaviours.page import PARTS
from tools.docs import renew

if __name__ == "__main__":
    renew(PARTS)
