"""The statements of operators' acts: requeue, rejudge, retention, audits."""
