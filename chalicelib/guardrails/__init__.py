"""What ends a run before its time: alarms and hypotheses."""
