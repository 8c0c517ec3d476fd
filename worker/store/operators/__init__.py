"""The statements of operators' actions: requeue, rejudge, retention, audits."""
