"""The judges are judged: every fault that they must find is made on purpose."""
